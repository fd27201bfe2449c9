"""DFDC, the Deepfake Detection Challenge: train parts, validation and test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.core.records import SPLITS
from mgst_data.datasets.files import parse_label, read_csv, read_json
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree, stem

METADATA, LABELS = "metadata.json", "labels.csv"
PART = re.compile(r"dfdc_train_part_0*(\d+)")
PARTS = 50
SETS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the metadata says of one video."""

    label: int
    split: str = ""
    original: str = ""


@LAYOUTS.register("dfdc")
@dataclass(frozen=True, slots=True)
class DFDC:
    """``[train/]dfdc_train_part_N/{*.mp4,metadata.json}`` and ``{test,validation}/{*.mp4,labels.csv}``.

    Parts may lie in a folder of their own name, as unpacking leaves them, and the root may itself be a part or set.
    Videos may lie in ``videos/``, and a set's labels in ``metadata.json``. The split is that of the metadata, else
    that of the folder; the train parts are train as a whole, since the set defines no validation videos in them.
    Fakes share an identity with the original they were made from, which keeps both together wherever one splits
    further; the people are not named otherwise.

    Source: Dolhansky et al., "The DeepFake Detection Challenge (DFDC) Dataset" (2020).
    """

    looks_for: ClassVar[str] = "dfdc_train_part_N/, or metadata.json or labels.csv beside videos or in test/"

    def recognises(self, root: Path) -> bool:
        """Looks for part folders and labelled sets."""
        tree = Tree.of(root)
        folders = _folders(tree) if root.is_dir() else ()
        return any(_is_part(tree, folder) or _is_labelled(tree, folder) for folder in folders)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of every part and set.

        Raises:
            LayoutError: if a folder with videos has no labels, or they are malformed, or there is no such folder.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        folders = list(_folders(tree))
        if not folders:
            raise LayoutError("holds no part and no labelled set", where=root, hint=f"expected {self.looks_for}")
        present = {int(match[1]) for folder in folders if folder and (match := PART.fullmatch(_name(tree, folder)))}
        absent = sorted(set(range(PARTS)) - present) if present else []
        notes += [Note(f"dfdc_train_part_{number}", "is not there", "missing_folder") for number in absent]
        records = []
        for folder in folders:
            videos = tree.videos(folder, notes)
            if not videos:
                notes.append(Note(folder or ".", "holds no video", "missing_video"))
                continue
            entries = _entries(tree, folder)
            for video in videos:
                entry = entries.pop(video.rpartition("/")[2], None)
                if entry is None:
                    notes.append(Note(printable(video), "has no label in the metadata", "no_label"))
                else:
                    split = entry.split or ("train" if _is_part(tree, folder) else SETS.get(_name(tree, folder), ""))
                    records.append(_record(tree, video, entry, split))
            what = "described in the metadata, but not there"
            notes += [Note(printable(join(folder, name)), what, "missing_video") for name in entries]
        return Scan.of(records, notes)


def _record(tree: Tree, video: str, entry: Entry, split: str) -> VideoRecord:
    return tree.record(
        video,
        dataset="dfdc",
        split=split,
        label=entry.label,
        method="DFDC" if entry.label == FAKE else "real",
        target=f"dfdc/{stem(entry.original or video)}",
    )


def _folders(tree: Tree, at: str = "") -> Iterator[str]:
    """Folders of videos: parts and sets at any depth of such folders, or the root itself."""
    inner = [folder for folder in tree.listing(at).folders if folder in SETS or PART.fullmatch(folder)]
    for folder in inner:
        yield from _folders(tree, join(at, folder))
    if not inner and (_is_part(tree, at) or _is_labelled(tree, at) or (at and tree.videos(at, []))):
        yield at


def _is_part(tree: Tree, folder: str) -> bool:
    return PART.fullmatch(_name(tree, folder)) is not None


def _is_labelled(tree: Tree, folder: str) -> bool:
    labels = any(tree.has_file(join(folder, name)) for name in (LABELS, METADATA))
    return labels and bool(tree.videos(folder, []))


def _name(tree: Tree, folder: str) -> str:
    return folder.rpartition("/")[2] or tree.root.name


def _entries(tree: Tree, folder: str) -> dict[str, Entry]:
    for name, read in ((LABELS, _read_labels), (METADATA, _read_metadata)):
        if tree.has_file(join(folder, name)):
            return read(Path(tree.path(join(folder, name))))
    raise LayoutError(
        f"holds videos, but no {METADATA} and no {LABELS}: their labels are unknown",
        where=tree.path(folder),
        hint="fetch the file from the archive these videos came in, or move the folder away",
    )


def _read_metadata(path: Path) -> dict[str, Entry]:
    entries, data = {}, read_json(path)
    if not isinstance(data, dict):
        raise LayoutError("is no table of videos", where=path, hint="fetch the file again")
    for name, entry in data.items():
        label = parse_label(entry.get("label", entry.get("is_fake"))) if isinstance(entry, dict) else None
        if label is None:
            raise LayoutError(f"gives no label, REAL or FAKE, for {name!r}", where=path, hint="fetch the file again")
        split = entry.get("split")
        entries[name] = Entry(label, split if split in SPLITS else "", str(entry.get("original") or ""))
    return entries


def _read_labels(path: Path) -> dict[str, Entry]:
    entries = {}
    for line, row in read_csv(path).rows:
        label = parse_label(row.get("label"))
        if label is None or not row.get("filename"):
            hint = "expected the columns filename and label, with 0 (real) or 1 (fake)"
            raise LayoutError("has no file name or no label", where=f"{path}:{line}", hint=hint)
        entries[row["filename"]] = Entry(label)
    return entries
