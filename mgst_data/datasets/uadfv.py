"""Layout of UADFV: 49 real videos, each with one face swap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError
from mgst_data.core.errors import printable
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, stem

FOLDERS = {"real": (REAL, re.compile(r"(\d{4})")), "fake": (FAKE, re.compile(r"(\d{4})_fake"))}


@LAYOUTS.register("uadfv")
@dataclass(frozen=True, slots=True)
class UADFV:
    """Reads ``real/[videos/]NNNN.mp4`` and ``fake/[videos/]NNNN_fake.mp4``.

    A fake has the target identity of its paired real video ("uadfv/0000"). The persons whose face is shown are unknown.
    There are no official splits.

    Because other data sets have the folders ``real/`` and ``fake/``, too, the layout is recognised only if the name of
    the root contains "uadfv" in upper or lower case. It can always be named explicitly.

    Source: Yang et al., "Exposing Deep Fakes Using Inconsistent Head Poses" (2019). The tree is the one that
    https://github.com/SCLBD/DeepfakeBench reads.
    """

    looks_for: ClassVar[str] = "real/NNNN.mp4 and fake/NNNN_fake.mp4 in a folder whose name contains UADFV"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the name of the data set and one of its fakes."""
        tree = Tree.of(root)
        if "uadfv" not in tree.root.name.lower() or not tree.has_folder("fake"):
            return False
        return any(FOLDERS["fake"][1].fullmatch(stem(video)) for video in tree.videos("fake", []))

    def scan(self, root: Path) -> Scan:
        """Finds the real and the fake videos.

        Raises:
            LayoutError: if neither folder is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        present = [folder for folder in FOLDERS if tree.has_folder(folder)]
        if not present:
            raise LayoutError("contains none of the folders real, fake", where=root, hint=f"expected {self.looks_for}")
        notes += [Note(folder, "not found", "missing_folder") for folder in FOLDERS if folder not in present]
        records = []
        for folder in present:
            label, name = FOLDERS[folder]
            for video in tree.videos(folder, notes):
                match = name.fullmatch(stem(video))
                if match is None:
                    notes.append(Note(printable(video), "file name does not follow the naming scheme", "unknown_name"))
                    continue
                method = "UADFV" if label == FAKE else "real"
                record = tree.record(
                    video, dataset="uadfv", split="", label=label, method=method, target=f"uadfv/{match[1]}"
                )
                records.append(record)
        return Scan.of(records, notes)
