"""Layout of Celeb-DF, versions 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError
from mgst_data.core.errors import printable
from mgst_data.datasets.files import read_text
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, stem

LIST = "List_of_testing_videos.txt"
FOLDERS = {"celeb-real": REAL, "youtube-real": REAL, "celeb-synthesis": FAKE}
# Subfolders of Celeb-synthesis in Celeb-DF++, which is another layout.
SCENARIOS = ("FaceSwap", "FaceReenact", "TalkingFace")
CELEB_NAME = re.compile(r"(?P<target>id\d+)(?:_(?P<source>id\d+))?_\d+")
LINE_HINT = "expected lines like '1 Celeb-real/id0_0000.mp4', where 1 means real"
# The list of version 1 contains 100 videos, the list of version 2 contains 518.
LIST_LENGTH_V1 = 100


@LAYOUTS.register("celebdf")
@dataclass(frozen=True, slots=True)
class CelebDF:
    """Reads ``{Celeb-real,YouTube-real,Celeb-synthesis}/[videos/]*.mp4`` and ``List_of_testing_videos.txt``.

    This data set is only for evaluation. The videos of the list are in the split test. The other videos have no split.
    They are not in train, because the celebrities of the list appear in them, too: a model that is trained on them
    would know the faces of the test. The label comes from the folder. The list, in which **1 means real**, must agree
    with it.

    The data set is "celeb_df_v1" if the list has 100 lines. Without a list, it is "celeb_df_v1" if the name of the root
    ends in "v1". Otherwise it is "celeb_df_v2". The identities in ``YouTube-real`` are unknown: each video counts as an
    identity of its own.

    Source: Li et al., "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics" (2020).

    Attributes:
        splits: Folder of ``List_of_testing_videos.txt``; by default the root.
    """

    splits: Path | None = None
    looks_for: ClassVar[str] = "Celeb-real/ or Celeb-synthesis/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the folders that only this data set has, and is not Celeb-DF++."""
        tree = Tree.of(root)
        own = [name for name in celeb_folders(tree) if name.lower() != "youtube-real"] if root.is_dir() else []
        return bool(own) and not any(tree.has_folder(f"{name}/{scenario}") for name in own for scenario in SCENARIOS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of the three folders.

        Raises:
            LayoutError: if the list is malformed or contradicts a folder, or if no folder is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        folders = celeb_folders(tree)
        if not folders:
            hint = "give the folder that contains them, or choose another layout"
            what = "contains none of the folders Celeb-real, YouTube-real, Celeb-synthesis"
            raise LayoutError(what, where=root, hint=hint)
        missing = FOLDERS.keys() - {name.lower() for name in folders}
        notes += [Note(name, "not found", "missing_folder") for name in missing]
        path = find_list(tree, self.splits, notes)
        listed = _read_listed(path) if path else {}
        is_v1 = len(listed) == LIST_LENGTH_V1 if listed else tree.root.name.lower().endswith("v1")
        records = []
        for folder in folders:
            kind = folder.lower()
            for video in tree.videos(folder, notes):
                identities = _identities(kind, stem(video))
                if identities is None:
                    notes.append(Note(printable(video), "file name does not follow the naming scheme", "unknown_name"))
                    continue
                target, source = identities
                record = tree.record(
                    video,
                    dataset="celeb_df_v1" if is_v1 else "celeb_df_v2",
                    split="test" if listed.pop((kind, stem(video)), None) else "",
                    label=FOLDERS[kind],
                    method=folder if FOLDERS[kind] == FAKE else "real",
                    target=target,
                    source=source,
                )
                records.append(record)
        what = f"listed in {LIST}, but not found"
        notes += [Note(printable(video), what, "missing_video") for video in listed.values()]
        return Scan.of(records, notes)


def celeb_folders(tree: Tree) -> list[str]:
    """Returns the names of the folders of Celeb-DF in the root; they may be in upper or lower case."""
    return [name for name in tree.listing().folders if name.lower() in FOLDERS]


def find_list(tree: Tree, given: Path | None, notes: list[Note]) -> Path | None:
    """Returns the list of test videos, or None if there is none.

    Args:
        tree: Folder of the data set.
        given: Folder that the user gave; by default the root.
        notes: List to which a note is added if the list is missing.

    Raises:
        LayoutError: if the folder that the user gave does not have the list.
    """
    path = (given or tree.root) / LIST
    if path.is_file():
        return path
    if given:
        raise LayoutError(f"{LIST} not found", where=given, hint="give the folder that contains it")
    what = "not found, so the test videos are unknown; copy it to the data set, or give its folder (--splits)"
    notes.append(Note(LIST, what, "no_split_files"))
    return None


def read_list(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yields file and line number, the digit and the path of the video of every line.

    Raises:
        LayoutError: if a line does not consist of a digit and the path of a video in a known folder.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        digit, video = line.split(maxsplit=1)[0], line.split(maxsplit=1)[-1].strip()
        if digit not in ("0", "1") or video.partition("/")[0].lower() not in FOLDERS:
            raise LayoutError(f"cannot parse {line!r:.80}", where=f"{path}:{number}", hint=LINE_HINT)
        yield f"{path}:{number}", digit, video


def _read_listed(path: Path) -> dict[tuple[str, str], str]:
    """Returns the listed path of every test video, by (folder in lower case, file name without suffix).

    Raises:
        LayoutError: if a line is malformed, or if its digit contradicts the folder.
    """
    listed = {}
    for where, digit, video in read_list(path):
        folder = video.partition("/")[0].lower()
        if FOLDERS[folder] != (REAL if digit == "1" else FAKE):
            kind = "real" if digit == "1" else "fake"
            raise LayoutError(f"labels a video of {folder} as {kind}", where=where, hint=LINE_HINT)
        listed[folder, stem(video)] = video
    return listed


def _identities(kind: str, name: str) -> tuple[str, str] | None:
    """Returns target and source identity, or None if the name does not follow the pattern."""
    if kind == "youtube-real":
        return f"celeb_df/youtube_{name}", ""
    match = CELEB_NAME.fullmatch(name)
    if match is None or (match["source"] is None) != (FOLDERS[kind] == REAL):
        return None
    return f"celeb_df/{match['target']}", f"celeb_df/{match['source']}" if match["source"] else ""
