"""Layout of DeepSpeak, versions 1 and 2: persons in front of their webcams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.datasets.files import read_csv
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

REALS, FAKES, SPLITS = "annotations-real.csv", "annotations-fake.csv", "annotations-split-def.csv"
FILE, ENGINE = "video-file", "engine"
PERSONS = {REALS: ("identity",), FAKES: ("identity-target", "identity-source")}


@LAYOUTS.register("deepspeak")
@dataclass(frozen=True, slots=True)
class DeepSpeak:
    """Reads ``annotations-{real,fake,split-def}.csv`` in the root, and the listed videos in any folder below it.

    The archives of the data set may be unpacked to any folders, because the tables list file names only. The method of
    a fake is its engine, for example "facefusion". The split of a video is the split of its persons (train or test). If
    the two persons of a fake are in different splits, it has no split, with a note.

    The data set is "deepspeak_v1" if file names of fakes contain "--" (``facefusion--10-11--4100-4897--0.mp4``).
    Otherwise it is "deepspeak_v2". Whether both versions have the same persons is not published, so that each has its
    own identities ("deepspeak_v1/87").

    Source: Barrington et al., "The DeepSpeak Dataset" (2024), https://huggingface.co/datasets/faridlab/deepspeak_v1_1,
    https://huggingface.co/datasets/faridlab/deepspeak_v2, and https://github.com/hfaridlab/deepspeak.
    """

    looks_for: ClassVar[str] = "annotations-fake.csv next to annotations-split-def.csv"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root has the tables of fakes and splits."""
        tree = Tree.of(root)
        return tree.has_file(FAKES) and tree.has_file(SPLITS)

    def scan(self, root: Path) -> Scan:
        """Finds the videos that the tables list.

        Raises:
            LayoutError: if a table is missing or malformed.
        """
        tree = Tree.of(root)
        notes: list[Note] = []
        listed = {name: _read(tree.root / name, (FILE, *persons)) for name, persons in PERSONS.items()}
        split_of = {row["identity"]: row["split"].lower() for row in _read(tree.root / SPLITS, ("identity", "split"))}
        dataset = "deepspeak_v1" if any("--" in row[FILE] for row in listed[FAKES]) else "deepspeak_v2"
        present: dict[str, str] = {}
        for video in tree.videos_below("", notes):
            name = video.rpartition("/")[2]
            if present.setdefault(name, video) != video:
                what = f"not used: {printable(present[name])} has the same name"
                notes.append(Note(printable(video), what, "same_name"))
        records = []
        for table, rows in listed.items():
            for row in rows:
                video = present.pop(_file_name(row), "")
                if not video:
                    notes.append(Note(printable(_file_name(row)), f"listed in {table}, but not found", "missing_video"))
                    continue
                records.append(_record(tree, video, dataset, row, table, split_of))
                if not records[-1].split:
                    what = f"its persons are not in the same split of {SPLITS}"
                    notes.append(Note(printable(video), what, "no_split"))
        what = f"not listed in {REALS} or {FAKES}, so the label is unknown"
        notes += [Note(printable(video), what, "no_label") for video in present.values()]
        return Scan.of(records, notes)


def _record(
    tree: Tree, video: str, dataset: str, row: dict[str, str], table: str, split_of: dict[str, str]
) -> VideoRecord:
    persons = [row[column] for column in PERSONS[table]]
    splits = {split_of.get(person, "") for person in persons if person}
    keys = [f"{dataset}/{person}" if person else "" for person in persons]
    return tree.record(
        video,
        dataset=dataset,
        split=splits.pop() if len(splits) == 1 else "",
        label=FAKE if table == FAKES else REAL,
        method=(printable(row.get(ENGINE, "")) or "DeepSpeak") if table == FAKES else "real",
        target=keys[0],
        source=keys[1] if table == FAKES else "",
    )


def _file_name(row: dict[str, str]) -> str:
    name = row[FILE].rpartition("/")[2]
    return name if name.lower().endswith(".mp4") else f"{name}.mp4"


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    table = read_csv(path)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        hint = "use the published file"
        raise LayoutError(f"has no column {', '.join(missing)}", where=path, hint=hint)
    for line, row in table.rows:
        if row.get("split", "train").lower() not in ("train", "val", "test"):
            hint = "known: train, val, test"
            raise LayoutError(f"unknown split {row['split']!r}", where=f"{path}:{line}", hint=hint)
    return [row for _, row in table.rows]
