"""General layout: a folder with ``real/`` and ``fake/``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, RecordTable
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

LABELS = {"real": REAL, "fake": FAKE}
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@LAYOUTS.register("folder")
@dataclass(frozen=True, slots=True)
class Folder:
    """Reads ``[train|val|test]/{real,fake}/`` with videos in these folders or in their subfolders at any depth.

    The first folder below ``fake/`` is the name of the method; it is "fake" for videos directly in ``fake/``. Folder
    names may be in upper or lower case. Identities are unknown, so that leakage cannot be checked. Use a manifest to
    give identities.
    """

    looks_for: ClassVar[str] = "real/ and fake/, also inside train/, val/, test/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root or a split folder has a folder of one of the labels."""
        return root.is_dir() and any(True for _ in class_folders(Tree.of(root)))

    def scan(self, root: Path) -> Scan:
        """Finds every video by the suffix of its file name.

        Raises:
            LayoutError: if there is no folder real/ or fake/.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        classes = list(class_folders(tree))
        if not classes:
            raise LayoutError("contains none of the folders real, fake", where=root, hint=f"expected {self.looks_for}")
        absent = LABELS.keys() - {label for _, label, _ in classes}
        notes += [Note(label, "not found", "missing_folder") for label in absent]
        for split, at in _places(tree):
            strange = [name for name in tree.listing(at).folders if name.lower() not in LABELS]
            strange = [name for name in strange if split or name.lower() not in SPLIT_FOLDERS]
            notes += [
                Note(printable(join(at, n)), "not used: neither real/ nor fake/", "unknown_folder") for n in strange
            ]
            what = "not used: outside real/ and fake/"
            notes += [Note(printable(video), what, "no_label") for video in tree.videos_in(at, [])]
        records = RecordTable()
        for split, label, top in classes:
            for at in tree.walk(top, notes):
                below = at.removeprefix(top).strip("/").partition("/")[0]
                method = printable(below) if label == "fake" and below not in ("", "videos") else label
                for video in tree.videos_in(at, notes):
                    record = tree.record(
                        video, dataset=printable(tree.root.name), split=split, label=LABELS[label], method=method
                    )
                    records.append(record)
        return Scan.of(records, notes)


def _places(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yields split and name of every folder that may contain class folders."""
    yield "", ""
    for name in tree.listing().folders:
        if name.lower() in SPLIT_FOLDERS:
            yield SPLIT_FOLDERS[name.lower()], name


def class_folders(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Yields split, label ("real", "fake") and name of every class folder."""
    for split, at in _places(tree):
        names = tree.listing(at).folders
        yield from ((split, name.lower(), join(at, name)) for name in names if name.lower() in LABELS)
