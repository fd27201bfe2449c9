"""WildDeepfake: cropped faces as images, packed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, some

FOLDERS = {
    "real_train": (REAL, "train"),
    "real_test": (REAL, "test"),
    "fake_train": (FAKE, "train"),
    "fake_test": (FAKE, "test"),
}
ARCHIVE = ".tar.gz"


@LAYOUTS.register("wilddeepfake")
@dataclass(frozen=True, slots=True)
class WildDeepfake:
    """``{real,fake}_{train,test}/N.tar.gz``, or the same unpacked: ``N/{real,fake}/<sequence>/*.png``.

    These are no videos: a record's path is the archive, which holds the sequences of one video, or the folder of one
    sequence: images named by frame number, with gaps. Where an archive lies beside its unpacked folder, the folder is
    taken. Who is shown is not recorded, so leakage cannot be checked; the split is the set's own.

    Source: Zi et al., "WildDeepfake: A Challenging Real-World Dataset for Deepfake Detection" (2020).
    """

    looks_for: ClassVar[str] = "real_train/, real_test/, fake_train/ or fake_test/"

    def recognises(self, root: Path) -> bool:
        """Looks for one of the four folders."""
        return any(Tree.of(root).has_folder(folder) for folder in FOLDERS)

    def scan(self, root: Path) -> Scan:
        """Finds the archives and the unpacked sequences.

        Raises:
            LayoutError: if none of the four folders is there.
        """
        tree = Tree.of(root, suffix=ARCHIVE)
        notes: list[Note] = []
        present = [folder for folder in FOLDERS if tree.has_folder(folder)]
        if not present:
            hint = "give the folder that holds them, or another layout"
            raise LayoutError(f"has none of {', '.join(FOLDERS)}", where=root, hint=hint)
        notes += [Note(folder, "is not there", "missing_folder") for folder in FOLDERS if folder not in present]
        records = []
        for folder in present:
            label, split = FOLDERS[folder]
            for sequence in _sequences(tree, folder, notes):
                method = "WildDeepfake" if label == FAKE else "real"
                records.append(tree.record(sequence, dataset="wilddeepfake", split=split, label=label, method=method))
        return Scan.of(records, notes)


def _sequences(tree: Tree, folder: str, notes: list[Note]) -> Iterator[str]:
    listing = tree.listing(folder)
    for name in listing.folders:
        kinds = [join(folder, f"{name}/{kind}") for kind in ("real", "fake")]
        found = [
            join(kind, sequence) for kind in kinds if tree.has_folder(kind) for sequence in tree.listing(kind).folders
        ]
        if not found:
            notes.append(Note(printable(join(folder, name)), "holds no real/ or fake/ with sequences", "not_video"))
        yield from found
    unpacked = set(listing.folders)
    archives = [name for name in listing.files if name.endswith(ARCHIVE)]
    yield from (join(folder, name) for name in archives if name.removesuffix(ARCHIVE) not in unpacked)
    others = [name for name in listing.files if not name.endswith(ARCHIVE)]
    if others:
        notes.append(Note(folder, f"{some(others)}: no {ARCHIVE} by name", "not_video"))
