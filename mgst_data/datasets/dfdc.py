"""Layout of DFDC, the Deepfake Detection Challenge: train parts, validation and test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, LayoutError, RecordTable, VideoRecord
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
    """Metadata of one video.

    Attributes:
        label: 0 for real, 1 for fake.
        split: Split of the video; "" if unknown.
        original: File name of the paired real video; "" if there is none.
    """

    label: int
    split: str = ""
    original: str = ""


@LAYOUTS.register("dfdc")
@dataclass(frozen=True, slots=True)
class DFDC:
    """Reads ``[train/]dfdc_train_part_N/{*.mp4,metadata.json}`` and ``{test,validation}/{*.mp4,labels.csv}``.

    A part may be inside a folder of the same name, as the archives unpack. The root may be a single part or set. Videos
    may be in a subfolder ``videos/``, and the labels of a set may be in ``metadata.json``. The split comes from the
    metadata, or else from the folder. All videos of the train parts are in train, because the data set defines no
    validation videos in them. A fake has the same identity as its paired real video, so that further splits keep both
    together. The people in the videos are not named.

    Source: Dolhansky et al., "The DeepFake Detection Challenge (DFDC) Dataset" (2020).
    """

    looks_for: ClassVar[str] = "dfdc_train_part_N/, or metadata.json or labels.csv next to videos or in test/"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root is or has a train part or a labelled set."""
        tree = Tree.of(root)
        folders = _folders(tree) if root.is_dir() else ()
        return any(_is_part(tree, folder) or _is_labelled(tree, folder) for folder in folders)

    def scan(self, root: Path) -> Scan:
        """Finds the videos of every part and set.

        Raises:
            LayoutError: if a folder with videos has no labels, if labels are malformed, or if no part or set is found.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        folders = list(_folders(tree))
        if not folders:
            hint = f"expected {self.looks_for}"
            raise LayoutError("contains no train part and no labelled set", where=root, hint=hint)
        present = {int(match[1]) for folder in folders if folder and (match := PART.fullmatch(_name(tree, folder)))}
        absent = sorted(set(range(PARTS)) - present) if present else []
        notes += [Note(f"dfdc_train_part_{number}", "not found", "missing_folder") for number in absent]
        records = RecordTable()
        for folder in folders:
            videos = tree.videos(folder, notes)
            if not videos:
                notes.append(Note(folder or ".", "contains no video", "missing_video"))
                continue
            entries = _entries(tree, folder)
            for video in videos:
                entry = entries.pop(video.rpartition("/")[2], None)
                if entry is None:
                    notes.append(Note(printable(video), "has no label in the metadata", "no_label"))
                else:
                    split = entry.split or ("train" if _is_part(tree, folder) else SETS.get(_name(tree, folder), ""))
                    records.append(_record(tree, video, entry, split))
            what = "listed in the metadata, but not found"
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
    """Yields the folders of videos: parts and sets, also nested ones, or the root itself."""
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
        f"contains videos, but neither {METADATA} nor {LABELS}; the labels are unknown",
        where=tree.path(folder),
        hint="copy the file from the archive of these videos, or move the folder out of the data set",
    )


def _read_metadata(path: Path) -> dict[str, Entry]:
    entries, data = {}, read_json(path)
    if not isinstance(data, dict):
        raise LayoutError("not a JSON object with one entry per video", where=path, hint="download the file again")
    for name, entry in data.items():
        label = parse_label(entry.get("label", entry.get("is_fake"))) if isinstance(entry, dict) else None
        if label is None:
            raise LayoutError(f"no label (REAL, FAKE) for {name!r}", where=path, hint="download the file again")
        split = entry.get("split")
        entries[name] = Entry(label, split if split in SPLITS else "", str(entry.get("original") or ""))
    return entries


def _read_labels(path: Path) -> dict[str, Entry]:
    entries = {}
    for line, row in read_csv(path).rows:
        label = parse_label(row.get("label"))
        if label is None or not row.get("filename"):
            hint = "expected the columns filename and label, with 0 (real) or 1 (fake)"
            raise LayoutError("no file name or no label", where=f"{path}:{line}", hint=hint)
        entries[row["filename"]] = Entry(label)
    return entries
