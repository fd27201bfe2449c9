"""Layout of WildDeepfake: archives of cropped faces, stored as images."""

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
    """Reads ``{real,fake}_{train,test}/N.tar.gz``, or the unpacked archives: ``N/{real,fake}/<sequence>/*.png``.

    Folder names may have a space instead of the underscore ("real train"), as in the README of the authors.

    The data set contains images instead of videos. The path of a record is an archive with the sequences of one video,
    or the folder of one sequence. The images are named by frame number, with gaps. If an archive and its unpacked
    folder exist, the folder is used. Identities are unknown, so that leakage cannot be checked. The splits are those of
    the data set.

    Source: Zi et al., "WildDeepfake: A Challenging Real-World Dataset for Deepfake Detection" (2020).
    """

    looks_for: ClassVar[str] = "real_train/, real_test/, fake_train/ or fake_test/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has one of the four folders."""
        return root.is_dir() and any(_name(folder) in FOLDERS for folder in Tree.of(root).listing().folders)

    def scan(self, root: Path) -> Scan:
        """Finds the archives and the unpacked sequences.

        Raises:
            LayoutError: if none of the four folders is found.
        """
        tree = Tree.of(root, suffix=ARCHIVE)
        notes: list[Note] = []
        present = [folder for folder in tree.listing().folders if _name(folder) in FOLDERS]
        if not present:
            hint = "give the folder that contains them, or choose another layout"
            raise LayoutError(f"contains none of the folders {', '.join(FOLDERS)}", where=root, hint=hint)
        names = {_name(folder) for folder in present}
        notes += [Note(folder, "not found", "missing_folder") for folder in FOLDERS if folder not in names]
        records = []
        for folder in present:
            label, split = FOLDERS[_name(folder)]
            for sequence in _sequences(tree, folder, notes):
                method = "WildDeepfake" if label == FAKE else "real"
                records.append(tree.record(sequence, dataset="wilddeepfake", split=split, label=label, method=method))
        return Scan.of(records, notes)


def _name(folder: str) -> str:
    return folder.replace(" ", "_")


def _sequences(tree: Tree, folder: str, notes: list[Note]) -> Iterator[str]:
    listing = tree.listing(folder)
    for name in listing.folders:
        kinds = [join(folder, f"{name}/{kind}") for kind in ("real", "fake")]
        found = [
            join(kind, sequence) for kind in kinds if tree.has_folder(kind) for sequence in tree.listing(kind).folders
        ]
        if not found:
            notes.append(Note(printable(join(folder, name)), "contains no sequences in real/ or fake/", "not_video"))
        yield from found
    unpacked = set(listing.folders)
    archives = [name for name in listing.files if name.endswith(ARCHIVE)]
    yield from (join(folder, name) for name in archives if name.removesuffix(ARCHIVE) not in unpacked)
    others = [name for name in listing.files if not name.endswith(ARCHIVE)]
    if others:
        notes.append(Note(folder, f"{some(others)}: file name without the suffix {ARCHIVE}", "not_video"))
