"""The videos that a network was trained and validated on, in a file beside its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mgst_data.core import UsageError
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import first_line
from mgst_data.shards import VideoReport
from mgst_data.shards.storage import write_atomic

VIDEOS = ".videos.json"
FORMAT = 1
# How a network knows a video: it was trained on it, validated on it, or trained on another video of the same person.
TRAINED, VALIDATED, PERSON = "trained", "validated", "person"


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """What identifies a video.

    Attributes:
        dataset: Data set of the record.
        key: Key of the record, unique within its data set.
        content: Hash of the file, or "" if it is unknown.
        persons: Identities of the video, where the data set names them.
    """

    dataset: str
    key: str
    content: str = ""
    persons: tuple[str, ...] = ()

    @staticmethod
    def of(report: VideoReport) -> KnownVideo:
        """Returns the video of a report."""
        persons = tuple(sorted({key for key in (report.source_key, report.target_key) if key}))
        return KnownVideo(report.dataset, report.key, report.content, persons)


@dataclass(frozen=True)
class TrainedVideos:
    """The videos of a training.

    Attributes:
        train: Videos that the network was trained on.
        val: Videos that it was validated on. They chose the best weights.
    """

    train: tuple[KnownVideo, ...]
    val: tuple[KnownVideo, ...]

    def find(self, video: KnownVideo) -> tuple[str, KnownVideo] | None:
        """Looks for a video: by the hash of its file; by data set and key, if a hash is unknown; then by its persons.

        Returns:
            "trained", "validated" or "person", and the video of the training; None if the training did not have it.
        """
        for name, index in ((TRAINED, self._trained), (VALIDATED, self._validated)):
            if video.content and (same := index.contents.get(video.content)):
                return name, same
            same = index.names.get((video.dataset, video.key))
            if same and not (same.content and video.content):
                return name, same
        for person in video.persons:
            if same := self._trained.persons.get(person):
                return PERSON, same
        return None

    @property
    def hashed(self) -> bool:
        """Whether the hashes of all videos are known."""
        return all(video.content for video in (*self.train, *self.val))

    @cached_property
    def _trained(self) -> _Index:
        return _Index.of(self.train)

    @cached_property
    def _validated(self) -> _Index:
        return _Index.of(self.val)

    def save(self, path: Path) -> None:
        """Writes ``PATH.videos.json``.

        Args:
            path: Path of the weights, without suffix.

        Raises:
            OutputError: if the file cannot be written.
        """
        document = {"format": FORMAT, "train": _columns(self.train), "val": _columns(self.val)}
        text = json.dumps(document, separators=(",", ":"))
        write_atomic(path.with_name(path.name + VIDEOS), (text + "\n").encode())

    @staticmethod
    def load(weights: Path) -> TrainedVideos | None:
        """Reads the file beside weights.

        Args:
            weights: Path of the weights, with its suffix.

        Returns:
            The videos; None if there is no file: the weights were copied without it, or come from an earlier version.

        Raises:
            UsageError: if the file is damaged.
        """
        path = weights.with_suffix(VIDEOS)
        hint = "copy the file again, or delete it to evaluate without a check for leakage"
        try:
            document = parse_json(path.read_bytes())
            version, train, val = document["format"], _videos(document["train"]), _videos(document["val"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError) as error:
            what = f"not a list of videos of a training: {type(error).__name__}: {first_line(error)}"
            raise UsageError(what, where=path, hint=hint) from error
        if version != FORMAT:
            raise UsageError(f"format version must be {FORMAT}, got {version!r}", where=path, hint=hint)
        return TrainedVideos(train, val)


@dataclass(frozen=True, slots=True)
class _Index:
    contents: dict[str, KnownVideo]
    names: dict[tuple[str, str], KnownVideo]
    persons: dict[str, KnownVideo]

    @staticmethod
    def of(videos: Iterable[KnownVideo]) -> _Index:
        index = _Index({}, {}, {})
        for video in videos:
            if video.content:
                index.contents.setdefault(video.content, video)
            index.names.setdefault((video.dataset, video.key), video)
            for person in video.persons:
                index.persons.setdefault(person, video)
        return index


def _columns(videos: Iterable[KnownVideo]) -> dict[str, dict[str, list[Any]]]:
    """Returns columns by data set, so that no name is repeated for every video."""
    found: dict[str, dict[str, list[Any]]] = {}
    for video in videos:
        columns = found.setdefault(video.dataset, {"key": [], "content": [], "persons": []})
        for name, column in columns.items():
            column.append(getattr(video, name))
    return found


def _videos(columns: dict[str, dict[str, list[Any]]]) -> tuple[KnownVideo, ...]:
    return tuple(
        KnownVideo(dataset, str(key), str(content), tuple(map(str, persons)))
        for dataset, some in columns.items()
        for key, content, persons in zip(some["key"], some["content"], some["persons"], strict=True)
    )
