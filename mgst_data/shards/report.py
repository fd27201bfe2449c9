"""Reports of the extracted and skipped videos, and their totals."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar

from mgst_data.core import FAKE, REAL, ShardError, VideoRecord
from mgst_data.core.documents import parse_json

DONE, SKIPPED = "done", "skipped"
# Names of samples, and of files in a folder of shards.
_SAMPLE, _FILE = re.compile(r"[\w-]+-\d{1,9}-\d{1,9}"), re.compile(r"[\w-][\w.-]*")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoReport:
    """The result of the extraction of one video.

    Attributes:
        key: Key of the record. Video, dataset, split, label, method, compression, source_key and target_key are those
            of the record too. The last two are None in reports of earlier versions.
        status: "done" or "skipped".
        reason: Reason code of a skipped video ("no_face", "truncated", ...); otherwise "".
        message: Error message of a skipped video: what happened, where, and what to do next.
        frames: Number of decoded frames.
        tracks: Number of stored tracks.
        chunks: Number of stored samples.
        images: Number of stored crops.
        prepared: Number of these crops that the data set ships with landmarks, and that were stored as they are.
        seconds: Time of the extraction, seconds.
        notes: Reason code and text of every defect of a video that was kept.
        content: Hash of the bytes of the file (:func:`mgst_data.video.content_hash`), which recognises it under another
            name. "" if the video was skipped, and in reports of earlier versions.
    """

    key: str
    video: str
    dataset: str
    split: str
    label: int
    method: str
    status: str = DONE
    reason: str = ""
    message: str = ""
    frames: int = 0
    tracks: int = 0
    chunks: int = 0
    images: int = 0
    seconds: float = 0.0
    notes: tuple[tuple[str, str], ...] = ()
    compression: str = ""
    source_key: str | None = None
    target_key: str | None = None
    content: str = ""
    prepared: int = 0

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"{self.key}: label must be 0 (real) or 1 (fake), got {self.label!r}")
        if self.status not in (DONE, SKIPPED):
            raise ValueError(f"{self.key}: status must be {DONE!r} or {SKIPPED!r}, got {self.status!r}")
        if self.skipped != bool(self.reason):
            raise ValueError(f"{self.key}: a skipped video must have a reason, and other videos must have none")
        if self.skipped and (self.tracks or self.chunks or self.images):
            raise ValueError(f"{self.key}: a skipped video must have no tracks, chunks and images")

    @staticmethod
    def of(record: VideoRecord, **outcome: Any) -> VideoReport:
        """Makes the report of a record.

        Args:
            record: Record of the video.
            **outcome: The other attributes of the report.
        """
        about = ("key", "video", "dataset", "split", "label", "method", "compression", "source_key", "target_key")
        return VideoReport(**{name: getattr(record, name) for name in about}, **outcome)

    @property
    def skipped(self) -> bool:
        """Whether the video was skipped; then nothing of it is stored."""
        return self.status == SKIPPED


@dataclass(frozen=True, slots=True)
class SampleSpan:
    """The position of a sample in its shard: ``size`` bytes from ``offset``, with ``frames`` crops.

    ``fakes`` of the crops are from fake frames. It is None in reports of earlier versions: they have no video that is
    fake in parts.
    """

    key: str
    offset: int
    size: int
    frames: int
    fakes: int | None = None

    def __post_init__(self) -> None:
        if not _SAMPLE.fullmatch(self.key):
            raise ValueError(f"the sample name {self.key!r} is not VIDEO-TRACK-CHUNK")
        if not 0 <= min(self.offset, self.size, self.frames) <= max(self.offset, self.size, self.frames) < 2**63:
            raise ValueError(f"{self.key}: impossible position {self.offset}, {self.size}, {self.frames}")


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file of a shard, with its size and digest to verify a copy."""

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if not 0 <= self.bytes < 2**63:
            raise ValueError(f"{self.name}: impossible size {self.bytes}")


@dataclass(frozen=True, slots=True)
class ShardReport:
    """The report of a shard. The report file marks the shard as complete, and is the index of its samples.

    A shard whose videos were all skipped has no samples and no files.
    """

    name: str
    videos: tuple[VideoReport, ...]
    samples: tuple[SampleSpan, ...] = ()
    files: tuple[ShardFile, ...] = ()
    seconds: float = 0.0

    @property
    def skips(self) -> Counter[str]:
        """Number of skipped videos by reason."""
        return Counter(video.reason for video in self.videos if video.skipped)

    def to_json(self, *, indent: int | None = 1) -> bytes:
        """Returns the content of the report file.

        Args:
            indent: Indentation of the JSON, spaces; None writes it on one line.
        """
        return (json.dumps(dataclasses.asdict(self), indent=indent) + "\n").encode()

    @staticmethod
    def from_json(data: bytes, *, where: object = "") -> ShardReport:
        """Reads a report.

        Args:
            data: Content of the report file.
            where: Path or URL of the report file, for error messages.

        Raises:
            ShardError: if the report is malformed.
        """
        try:
            raw = parse_json(data)
            for video in raw["videos"]:
                video["notes"] = tuple((str(reason), str(text)) for reason, text in video["notes"])
            for name, kind in (("videos", VideoReport), ("samples", SampleSpan), ("files", ShardFile)):
                raw[name] = tuple(_build(kind, item) for item in raw[name])
            check_file_name(raw["name"])
            return _build(ShardReport, raw)
        except KeyError as error:
            what = f"malformed report: {error.args[0]!r} is missing"
        except (TypeError, ValueError) as error:
            what = f"malformed report: {error}"
        hint = "delete this file and run the same extraction again; it makes the shard again"
        raise ShardError(what, where=where, hint=hint)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts that can be added. ``videos`` counts the videos that were kept."""

    videos: int = 0
    skipped: int = 0
    frames: int = 0
    tracks: int = 0
    chunks: int = 0
    images: int = 0
    prepared: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals over videos, overall and by group. ``skips`` and ``notes`` list the videos by reason code."""

    overall: Tally = Tally()
    dataset: dict[str, Tally] = field(default_factory=dict)
    split: dict[str, Tally] = field(default_factory=dict)
    label: dict[str, Tally] = field(default_factory=dict)
    method: dict[str, Tally] = field(default_factory=dict)
    skips: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns the totals as plain values, for JSON."""
        return dataclasses.asdict(self)


def latest(reports: Iterable[ShardReport]) -> dict[str, VideoReport]:
    """Returns the newest report of every video by key: a later shard in which the video was tried again wins."""
    return {video.key: video for report in reports for video in report.videos}


def summarise(reports: Iterable[ShardReport]) -> Totals:
    """Sums up reports in the order of the plan. A video that was tried again counts once."""
    videos = sorted(latest(reports).values(), key=lambda video: video.key)
    groups: dict[str, dict[str, Tally]] = {"dataset": {}, "split": {}, "label": {}, "method": {}}
    overall = Tally()
    skips: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    notes: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for video in videos:
        tally = Tally(
            not video.skipped, video.skipped, video.frames, video.tracks, video.chunks, video.images, video.prepared
        )
        overall += tally
        for by, group in groups.items():
            value = ("real", "fake")[video.label] if by == "label" else getattr(video, by)
            group[value] = group.get(value, Tally()) + tally
        if video.skipped:
            skips[video.reason] += (video.video,)
        for reason in dict.fromkeys(reason for reason, _ in video.notes):
            notes[reason] += (video.video,)
    return Totals(
        overall,
        **{by: dict(sorted(group.items())) for by, group in groups.items()},
        skips=dict(skips),
        notes=dict(notes),
    )


_SCALARS: dict[str, Any] = {
    "str": str, "int": int, "float": (int, float), "str | None": (str, NoneType), "int | None": (int, NoneType),
}  # fmt: skip
# Fields that reports of earlier versions do not have.
_CAME_LATER = ("compression", "prepared", "source_key", "target_key", "content", "fakes")


def check_file_name(name: str) -> None:
    """Checks the name of a shard or of its file, which is joined to the path of the folder.

    Raises:
        ValueError: if it could name a file elsewhere.
    """
    if not _FILE.fullmatch(name):
        raise ValueError(f"the name {name!r} is not that of a file in the folder")


def _build(kind: type[T], values: Any) -> T:
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} is no object")
    for column in dataclasses.fields(kind):  # type: ignore[arg-type]
        if column.name in _CAME_LATER:
            values.setdefault(column.name, column.default)
        value = values[column.name]
        if not isinstance(value, _SCALARS.get(str(column.type), object)):
            raise TypeError(f"{column.name!r} is {value!r}")
    return kind(**values)
