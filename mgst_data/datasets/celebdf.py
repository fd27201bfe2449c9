"""Celeb-DF, versions 1 and 2."""

from __future__ import annotations

import re
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
CELEB_NAME = re.compile(r"(?P<target>id\d+)(?:_(?P<source>id\d+))?_\d+")
# The list of version 1 names 100 videos, that of version 2 518.
LIST_LENGTH_V1 = 100


@LAYOUTS.register("celebdf")
@dataclass(frozen=True, slots=True)
class CelebDF:
    """``{Celeb-real,YouTube-real,Celeb-synthesis}/[videos/]*.mp4`` and ``List_of_testing_videos.txt``.

    For evaluation only. The list's videos are test. The others get no split, not train: the celebrities of the list
    appear in them too, so that a model trained on them would have seen the faces it is tested on.
    A label comes from the folder, and the list, in which **1 means real**, has to agree with it.

    Data set "celeb_df_v1" where the list has 100 lines or, without a list, the root's name ends in "v1"; else
    "celeb_df_v2". The people of ``YouTube-real`` are nameless: each video counts as an identity of its own.

    Source: Li et al., "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics" (2020).

    Attributes:
        splits: Folder of ``List_of_testing_videos.txt``, if it is not the root.
    """

    splits: Path | None = None
    looks_for: ClassVar[str] = "Celeb-real/ or Celeb-synthesis/"

    def recognises(self, root: Path) -> bool:
        """Looks for the folders that only this data set has."""
        own = ("celeb-real", "celeb-synthesis")
        return root.is_dir() and any(name.lower() in own for name in Tree.of(root).listing().folders)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of the three folders.

        Raises:
            LayoutError: if the list is malformed or contradicts a folder, or no folder is there.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        folders = [name for name in tree.listing().folders if name.lower() in FOLDERS]
        if not folders:
            hint = "give the folder that holds them, or another layout"
            raise LayoutError("has no Celeb-real/ and no Celeb-synthesis/", where=root, hint=hint)
        missing = FOLDERS.keys() - {name.lower() for name in folders}
        notes += [Note(name, "is not there", "missing_folder") for name in missing]
        listed = self._listed(tree, notes)
        is_v1 = len(listed) == LIST_LENGTH_V1 if listed else tree.root.name.lower().endswith("v1")
        records = []
        for folder in folders:
            kind = folder.lower()
            for video in tree.videos(folder, notes):
                identities = _identities(kind, stem(video))
                if identities is None:
                    notes.append(Note(printable(video), "is not named as this data set names videos", "unknown_name"))
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
        what = f"listed in {LIST}, but not there"
        notes += [Note(printable(video), what, "missing_video") for video in listed.values()]
        return Scan.of(records, notes)

    def _listed(self, tree: Tree, notes: list[Note]) -> dict[tuple[str, str], str]:
        """The test videos: folder in lower case and name without suffix, with the path as listed."""
        path = (self.splits or tree.root) / LIST
        if not path.is_file():
            if self.splits:
                raise LayoutError(f"{LIST} is not there", where=self.splits, hint="give the folder that holds it")
            what = "not there, so the test videos are unknown; put it there, or give its folder (--splits)"
            notes.append(Note(LIST, what, "no_split_files"))
            return {}
        return _read_list(path)


def _read_list(path: Path) -> dict[tuple[str, str], str]:
    listed = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        digit, video = line.split(maxsplit=1)[0], line.split(maxsplit=1)[-1].strip()
        folder = video.partition("/")[0].lower()
        hint = "expected lines such as '1 Celeb-real/id0_0000.mp4', where 1 means real"
        if digit not in ("0", "1") or folder not in FOLDERS:
            raise LayoutError(f"cannot read {line!r:.80}", where=f"{path}:{number}", hint=hint)
        if FOLDERS[folder] != (REAL if digit == "1" else FAKE):
            kind = "real" if digit == "1" else "fake"
            raise LayoutError(f"calls a video of {folder} {kind}", where=f"{path}:{number}", hint=hint)
        listed[folder, stem(video)] = video
    return listed


def _identities(kind: str, name: str) -> tuple[str, str] | None:
    """Target and source, or None where the name does not follow the pattern."""
    if kind == "youtube-real":
        return f"celeb_df/youtube_{name}", ""
    match = CELEB_NAME.fullmatch(name)
    if match is None or (match["source"] is None) != (FOLDERS[kind] == REAL):
        return None
    return f"celeb_df/{match['target']}", f"celeb_df/{match['source']}" if match["source"] else ""
