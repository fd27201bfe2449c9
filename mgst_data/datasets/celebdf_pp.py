"""Layout of Celeb-DF++, which extends Celeb-DF to 22 methods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.celebdf import FOLDERS, LIST, SCENARIOS, celeb_folders, find_list, read_list
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, stem

# Talking faces have no source identity: id0_0000_test_12.
NAME = re.compile(r"(?P<target>id\d+)(?:_(?P<source>id\d+))?_\d+(?:_.+)?")


@LAYOUTS.register("celebdf_pp")
@dataclass(frozen=True, slots=True)
class CelebDFPP:
    """Reads ``Celeb-synthesis/{FaceSwap,FaceReenact,TalkingFace}/<method>/*.mp4``, the real videos and the test list.

    Real videos and persons are those of Celeb-DF v2. As for Celeb-DF, only the videos of ``List_of_testing_videos.txt``
    have a split, which is test: the same persons are in the other videos, too. The label comes from the folder; the
    digit at the beginning of a line is not used. Videos may be in a subfolder ``videos/`` of each folder. A fake whose
    name does not contain persons is used without identities, with a note.

    Source: Li et al., "Celeb-DF++: A Large-scale Challenging Video DeepFake Benchmark for Generalizable Forensics"
    (2025), https://github.com/OUC-VAS/Celeb-DF-PP.

    Attributes:
        splits: Folder of ``List_of_testing_videos.txt``; by default the root.
    """

    splits: Path | None = None
    looks_for: ClassVar[str] = "Celeb-synthesis/FaceSwap/, Celeb-synthesis/FaceReenact/ or .../TalkingFace/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the three scenarios."""
        return root.is_dir() and any(_methods(Tree.of(root)))

    def scan(self, root: Path) -> Scan:
        """Finds the real videos, and the fakes of every method.

        Raises:
            LayoutError: if the list is malformed, or if no folder is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        reals = [folder for folder in celeb_folders(tree) if FOLDERS[folder.lower()] != FAKE]
        folders = [*reals, *_methods(tree)]
        if not folders:
            hint = f"expected {self.looks_for}"
            raise LayoutError("contains no folder of Celeb-DF++", where=root, hint=hint)
        present = {folder.partition("/")[0].lower() for folder in folders}
        notes += [Note(name, "not found", "missing_folder") for name in FOLDERS if name not in present]
        path = find_list(tree, self.splits, notes)
        listed = {_place(video.rpartition("/")[0], video): video for _, _, video in read_list(path)} if path else {}
        records = []
        for folder in folders:
            for video in tree.videos(folder, notes):
                split = "test" if listed.pop(_place(folder, video), None) else ""
                record = _record(tree, folder, video, split)
                records.append(record)
                if not record.identities:
                    what = "file name does not contain the persons in the expected form"
                    notes.append(Note(printable(video), what, "no_identity"))
        what = f"listed in {LIST}, but not found"
        notes += [Note(printable(video), what, "missing_video") for video in listed.values()]
        return Scan.of(records, notes)


def _methods(tree: Tree) -> Iterator[str]:
    """Yields the folders of fakes: ``Celeb-synthesis/<scenario>/<method>``."""
    for folder in celeb_folders(tree):
        for scenario in SCENARIOS:
            if FOLDERS[folder.lower()] == FAKE and tree.has_folder(f"{folder}/{scenario}"):
                at = f"{folder}/{scenario}"
                yield from (f"{at}/{method}" for method in tree.listing(at).folders)


def _place(folder: str, video: str) -> str:
    return f"{folder.lower()}/{stem(video)}"


def _record(tree: Tree, folder: str, video: str, split: str) -> VideoRecord:
    top, label = folder.partition("/")[0].lower(), FOLDERS[folder.partition("/")[0].lower()]
    match = NAME.fullmatch(stem(video))
    target = f"celeb_df/{match['target']}" if match else ""
    if top == "youtube-real":
        target = f"celeb_df/youtube_{stem(video)}"
    return tree.record(
        video,
        dataset="celeb_df_pp",
        split=split,
        label=label,
        method=printable(folder.rpartition("/")[2]) if label == FAKE else "real",
        target=target,
        source=f"celeb_df/{match['source']}" if match and match["source"] and label == FAKE else "",
    )
