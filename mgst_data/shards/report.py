"""Reports of the extracted and skipped videos, and their totals."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar

from mgst_data.core import FAKE, REAL, ShardError, VideoRecord
from mgst_data.core.documents import parse_json
from mgst_data.core.records import SPLITS

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
        if self.split not in (*SPLITS, ""):
            raise ValueError(f"{self.key}: split must be one of {SPLITS} or '', got {self.split!r}")
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
            if isinstance(raw["name"], str):  # else the next line says so
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


@dataclass(frozen=True, slots=True)
class Survey:
    """What the complete shards of a folder hold.

    Attributes:
        complete: Names of the complete shards, in the order of the plan.
        bytes: Size of their files, bytes.
        totals: Totals over their videos.
        skipped: Skipped videos, sorted by key.
        noted: Videos that were kept with a note, sorted by key.
    """

    complete: tuple[str, ...]
    bytes: int
    totals: Totals
    skipped: tuple[VideoReport, ...]
    noted: tuple[VideoReport, ...]


def latest(reports: Iterable[ShardReport]) -> dict[str, VideoReport]:
    """Returns the newest report of every video by key: a later shard in which the video was tried again wins."""
    return {video.key: video for report in reports for video in report.videos}


def survey(reports: Iterable[ShardReport], tried_again: Collection[str]) -> Survey:
    """Sums up reports in the order of the plan, in one pass. Only skipped and noted videos are kept in memory.

    Args:
        reports: Reports of complete shards.
        tried_again: Keys of the videos that may be in more than one report; the last one counts.
    """
    complete, size = list[str](), 0
    newest: dict[str, VideoReport] = {}
    remarkable: list[VideoReport] = []

    def videos() -> Iterator[VideoReport]:
        nonlocal size
        for report in reports:
            complete.append(report.name)
            size += sum(file.bytes for file in report.files)
            for video in report.videos:
                if video.key in tried_again:
                    newest[video.key] = video
                else:
                    yield video
        yield from newest.values()

    def noticed() -> Iterator[VideoReport]:
        for video in videos():
            if video.skipped or video.notes:
                remarkable.append(video)
            yield video

    totals = _totals(noticed())
    remarkable.sort(key=lambda video: video.key)
    return Survey(
        tuple(complete),
        size,
        totals,
        tuple(video for video in remarkable if video.skipped),
        tuple(video for video in remarkable if not video.skipped),
    )


def summarise(reports: Iterable[ShardReport]) -> Totals:
    """Sums up reports in the order of the plan. A video that was tried again counts once."""
    return _totals(latest(reports).values())


def _totals(videos: Iterable[VideoReport]) -> Totals:
    """Sums up videos with distinct keys, in any order."""
    groups = ("dataset", "split", "label", "method")
    sums: dict[tuple[Any, ...], list[int]] = {}
    # Key, number of the note, and name of the videos by reason.
    skips: defaultdict[str, list[tuple[str, int, str]]] = defaultdict(list)
    notes: defaultdict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for video in videos:
        kind = (video.dataset, video.split, ("real", "fake")[video.label], video.method)
        total = sums.setdefault(kind, [0] * len(dataclasses.fields(Tally)))
        skipped = video.skipped
        counts = (
            not skipped, skipped, video.frames, video.tracks, video.chunks, video.images, video.prepared
        )  # fmt: skip
        for i, number in enumerate(counts):
            total[i] += number
        if skipped:
            skips[video.reason].append((video.key, 0, video.video))
        for number, reason in enumerate(dict.fromkeys(reason for reason, _ in video.notes)):
            notes[reason].append((video.key, number, video.video))
    tallies = {kind: Tally(*total) for kind, total in sums.items()}
    by_group: dict[str, dict[str, Tally]] = {name: {} for name in groups}
    for kind, tally in tallies.items():
        for name, value in zip(groups, kind, strict=True):
            by_group[name][value] = by_group[name].get(value, Tally()) + tally
    return Totals(
        sum(tallies.values(), Tally()),
        **{name: dict(sorted(group.items())) for name, group in by_group.items()},
        skips=_by_first_key(skips),
        notes=_by_first_key(notes),
    )


def _by_first_key(found: Mapping[str, list[tuple[str, int, str]]]) -> dict[str, tuple[str, ...]]:
    """Sorts the videos of each reason by key, and the reasons by their first video."""
    ordered = sorted((sorted(videos), reason) for reason, videos in found.items())
    return {reason: tuple(video for *_, video in videos) for videos, reason in ordered}


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
    for name, types, default in _COLUMNS[kind]:
        value = values.setdefault(name, default) if name in _CAME_LATER else values[name]
        if not isinstance(value, types):
            raise TypeError(f"{name!r} is {value!r}")
    return kind(**values)


# Name, types and default of every field.
_COLUMNS: dict[type, tuple[tuple[str, Any, Any], ...]] = {
    kind: tuple(
        (column.name, _SCALARS.get(str(column.type), object), column.default) for column in dataclasses.fields(kind)
    )
    for kind in (VideoReport, SampleSpan, ShardFile, ShardReport)
}
