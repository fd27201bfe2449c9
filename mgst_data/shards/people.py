"""The table of persons beside shards: which person each track shows, and splits by person. Only this file knows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgst_data.core import ShardError
from mgst_data.core.documents import parse_json
from mgst_data.core.locations import join
from mgst_data.core.records import SPLITS
from mgst_data.shards.report import VideoReport
from mgst_data.shards.storage import read_bytes
from mgst_data.shards.store import ShardStore

PEOPLE = "people.json"
PEOPLE_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonTrack:
    """The person that one track shows.

    Attributes:
        video: Key of the video.
        track: Number of the track within the video.
        main: Whether it is the main face of its video.
        person: Code of the person, "p" and 12 hexadecimal digits. "" if the face is too small or too far turned.
        tracks: Number of tracks of the person, in all folders that were compared.
        distance: Distance between the embedding of the track and the mean embedding of the person.
    """

    video: str
    track: int
    main: bool
    person: str
    tracks: int
    distance: float

    def __post_init__(self) -> None:
        if not (isinstance(self.video, str) and isinstance(self.person, str)):
            raise TypeError(f"a video or a person is no text: {self.video!r}, {self.person!r}")


@dataclass(frozen=True, slots=True)
class PeopleTable:
    """Persons of a folder of shards, as stored in its ``people.json``. ``mgst-data people`` writes it.

    Attributes:
        network: Network that the embeddings are from.
        threshold: Largest mean distance between two groups of tracks that are joined to one person.
        tracks: One row per track, sorted by video and track.
        splits: Split of each video that the data set puts in no split, by key of the video; empty without
            ``--split-by``.
        options: Options of the splits: seed, val, test.
    """

    network: str
    threshold: float
    tracks: tuple[PersonTrack, ...]
    splits: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, float] = field(default_factory=dict)
    _main: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        main = {track.video: track.person for track in self.tracks if track.main and track.person}
        object.__setattr__(self, "_main", main)

    @staticmethod
    def read(location: str | Path) -> PeopleTable | None:
        """Reads the table of a folder; None if it has none.

        Args:
            location: Path or fsspec URL of the folder.

        Raises:
            ShardError: if the table is malformed or has another schema version.
        """
        path = join(str(location), PEOPLE)
        hint = "delete it and run mgst-data people again"
        try:
            raw: dict[str, Any] = parse_json(read_bytes(path))
            if raw.pop("schema") != PEOPLE_SCHEMA:
                raise ShardError("has another schema version", where=path, hint=hint)
            tracks = tuple(PersonTrack(**row) for row in raw.pop("tracks"))
            table = PeopleTable(tracks=tracks, **raw)
            unknown = set(table.splits.values()) - set(SPLITS)
        except FileNotFoundError:
            return None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ShardError(f"malformed: {error!r}", where=path, hint=hint) from error
        if unknown:
            raise ShardError(f"unknown split {min(unknown)!r}", where=path, hint=f"known: {', '.join(SPLITS)}")
        return table

    def write(self, folder: str | Path) -> None:
        """Writes the table into a folder of shards, one line per track and per split.

        Args:
            folder: Path or fsspec URL of the folder.

        Raises:
            OutputError: if the file cannot be written.
        """
        head = {"schema": PEOPLE_SCHEMA, "network": self.network, "threshold": self.threshold}
        rows = ",\n  ".join(json.dumps(dataclasses.asdict(track)) for track in self.tracks)
        tail = json.dumps({"options": dict(self.options), "splits": dict(sorted(self.splits.items()))}, indent=1)
        text = f'{json.dumps(head)[:-1]},\n "tracks": [\n  {rows}\n ],\n{tail[2:]}\n'
        ShardStore.at(folder).write(PEOPLE, text.encode())

    def completed(self, video: VideoReport) -> VideoReport:
        """Returns a report with the split by person and the person, where the data set gives none.

        A video whose main face is unclear is a person of its own. A report of an earlier version, which does not say
        whether there is an identity, keeps its None.
        """
        split = video.split or self.splits.get(video.key, "")
        person = self._main.get(video.key, video.key) if video.target_key == "" else video.target_key
        return dataclasses.replace(video, split=split, target_key=person)

    def main_persons(self) -> dict[str, str]:
        """Returns the person of the main face of each video by key. A video whose main face is unclear is missing."""
        return dict(self._main)
