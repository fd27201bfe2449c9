"""The clips and stills of a table ``labels.csv``: their shards, who is in them, and what may be trained on."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path, PurePosixPath

from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.people import find_people
from mgst_data.people.split import connected
from mgst_data.shards import PeopleTable, ShardFolder
from mgst_data.shards.people import PEOPLE
from mgst_data.shards.report import latest

from .names import CLIPS, KINDS, STILLS

LABELS = "labels.csv"
# A video: the folder of its shards, and its key.
Video = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One line of ``labels.csv``.

    Attributes:
        path: Path relative to the table.
        label: 0 real, 1 fake.
        kind: Kind of a fake, one of :data:`KINDS`; "real" for real ones.
        generator: What made the fake.
        split: "train", "val" or "test".
        person: Name of the person, or "".
        pair: The same for a fake and the real clips that it was made from; "" if they are not there.
        source: Where the file is from.
        licence: Licence of the source.
    """

    path: str
    label: int
    kind: str
    generator: str
    split: str
    person: str
    pair: str
    source: str
    licence: str

    @property
    def folder(self) -> str:
        """Folder of shards: clips or stills."""
        return STILLS if self.path.startswith(f"{STILLS}/") else CLIPS


def read_labels(kit: Path) -> tuple[Labelled, ...]:
    """Reads the table of a folder of clips and stills.

    Raises:
        UsageError: if the table is missing or has other columns, labels or kinds.
    """
    path = kit / LABELS
    columns = [field.name for field in fields(Labelled)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        hint = f"give a folder with {LABELS} with --clips or MGST_CLIPS"
        raise UsageError("cannot be read", where=path, hint=hint) from error
    found = []
    for number, row in enumerate(rows, 2):
        where = f"{path}, line {number}"
        if set(row) != set(columns):
            raise UsageError(f"columns must be {', '.join(columns)}", where=where, hint="correct the table")
        if row["label"] not in ("0", "1") or row["kind"] not in (KINDS if row["label"] == "1" else ("real",)):
            what = f"label {row['label']!r} with kind {row['kind']!r}"
            raise UsageError(what, where=where, hint=f"kinds of fakes: {', '.join(KINDS)}; real ones: real")
        found.append(Labelled(**{**row, "label": int(row["label"])}))
    return tuple(found)


@dataclass(frozen=True)
class Kit:
    """Labelled clips and stills with their shards.

    Attributes:
        folder: Folder with ``labels.csv``.
        shards: Folder with the folders of shards ``clips`` and ``stills``.
        labels: The table.
    """

    folder: Path
    shards: Path
    labels: tuple[Labelled, ...]

    @staticmethod
    def make(folder: Path, out: Path, *, workers: int | None = None) -> Kit:
        """Extracts clips and stills and finds the persons. Finished parts are kept.

        Args:
            folder: Folder with ``labels.csv``.
            out: Folder of the manifests and the shards.
            workers: Number of processes; None for one per core.
        """
        labels = read_labels(folder)
        out.mkdir(parents=True, exist_ok=True)
        for name in (CLIPS, STILLS):
            rows = [row for row in labels if row.folder == name and row.split]
            config = ExtractConfig(tracks="main") if name == CLIPS else ExtractConfig()
            extract(scan_dataset(_manifest(folder, rows, out / f"{name}.csv")), config, out / name, workers=workers)
        people = find_people([out / CLIPS, out / STILLS], workers=workers)
        for faces, table in zip(people.faces, people.tables(), strict=True):
            table.write(Path(faces.location))
        return Kit(folder, out, labels)

    @staticmethod
    def open(folder: Path, shards: Path) -> Kit:
        """Opens shards that :meth:`make` has written; see there.

        Raises:
            UsageError: if persons have not been looked for.
        """
        for name in (CLIPS, STILLS):
            if not (shards / name / PEOPLE).is_file():
                hint = f"run mgst-data people {shards / CLIPS} {shards / STILLS}"
                raise UsageError("has no table of persons", where=shards / name, hint=hint)
        return Kit(folder, shards, read_labels(folder))

    @cached_property
    def videos(self) -> dict[Video, Labelled]:
        """The videos with a face, with their line of the table.

        Raises:
            UsageError: if a video is not in the table.
        """
        by_path = {row.path: row for row in self.labels}
        found = {}
        for name in (CLIPS, STILLS):
            for key, report in latest(ShardFolder.read(self.shards / name).reports()).items():
                # The shards may have been made where the clips were in another folder.
                parts = PurePosixPath(report.video).parts
                row = next((by_path[path] for i in range(len(parts)) if (path := "/".join(parts[i:])) in by_path), None)
                if row is None:
                    what = f"{report.video} is not in {self.folder / LABELS}"
                    raise UsageError(what, where=self.shards / name, hint="extract again with the present table")
                if report.chunks:
                    found[name, key] = row
        return found

    @cached_property
    def persons(self) -> dict[Video, frozenset[str]]:
        """Everything that says who is in a video: the person of the table, and the persons of its tracks."""
        found: dict[Video, set[str]] = {
            video: {f"person {row.person}"} if row.person else set() for video, row in self.videos.items()
        }
        for name in (CLIPS, STILLS):
            table = PeopleTable.read(self.shards / name)
            for track in table.tracks if table else ():
                if track.person and (name, track.video) in found:
                    found[name, track.video].add(track.person)
        return {video: frozenset(some) for video, some in found.items()}

    @cached_property
    def groups(self) -> dict[Video, str]:
        """The group of each video for intervals: videos that share a person or a pair are in one group."""
        shown = {v: self.persons[v] | ({f"pair {row.pair}"} if row.pair else set()) for v, row in self.videos.items()}
        return {video: f"g{number}" for number, group in enumerate(connected(shown)) for video in group}

    @cached_property
    def trainable(self) -> tuple[Video, ...]:
        """Real training videos of people who are in no video of val and test."""
        held = {p for v, row in self.videos.items() if row.split != "train" for p in self.persons[v]}
        real = [v for v, row in self.videos.items() if row.split == "train" and row.label == REAL]
        return tuple(video for video in real if not self.persons[video] & held)

    def of(self, folder: str, split: str, *, label: int | None = None) -> dict[Video, Labelled]:
        """Returns the videos of a split.

        Args:
            folder: "clips" or "stills".
            split: "train", "val" or "test".
            label: 0 real, 1 fake; None for both.
        """
        chosen = (item for item in self.videos.items() if item[0][0] == folder and item[1].split == split)
        return {video: row for video, row in chosen if label in (None, row.label)}


def _manifest(kit: Path, rows: Iterable[Labelled], path: Path) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "method", "target"))
        for row in rows:
            method = row.kind if row.label == FAKE else "real"
            table.writerow(((kit / row.path).resolve(), row.label, row.split, method, row.person))
    return path


def counts(rows: Iterable[Labelled]) -> dict[str, int]:
    """Counts videos by licence, the most frequent first."""
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        found[row.licence] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
