"""Calibrates a network on real videos of people whom it has not seen: their scores, and the conditions of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core import REAL, UsageError
from mgst_data.core.records import main_track
from mgst_data.shards import FaceChunk, PeopleTable, ShardFolder, ShardReader, VideoReport
from mgst_data.shards.report import latest
from mgst_model.evaluate.conditions import SPACING, conditions_of, measure
from mgst_model.evaluate.crops import InputSpec, network_input
from mgst_model.evaluate.windows import score_runs
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import LoadedNetwork, weights_file
from mgst_model.networks.trained_videos import PERSON, TRAINED, VALIDATED, KnownVideo, TrainedVideos

VIDEOS, PICTURES = "videos", "pictures"
# Decimal places of scores in a card.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class RealVideo:
    """A scored real video.

    Attributes:
        key: Key of the video.
        kind: "videos" or "pictures".
        person: Who is in it: the same for videos that share an identity or a person. A video of which that is not known
            is a person of its own.
        known: Whether it is known who is in it.
        score: Its score, [0, 1]: the mean over all windows of the main face, as in ``mgst-predict``.
        conditions: Its conditions, see :func:`mgst_model.evaluate.conditions.conditions_of`.
    """

    key: str
    kind: str
    person: int
    known: bool
    score: float
    conditions: Mapping[str, float]


def calibrate(videos: Iterable[RealVideo]) -> dict[str, Calibration]:
    """Makes calibrations of real videos.

    Args:
        videos: Real videos of people whom the network has not seen.

    Returns:
        A calibration for "videos", and one for "pictures", if there are any.
    """
    found = {}
    in_order = sorted(videos, key=lambda video: (video.kind, video.score, video.key))
    for kind, some in groupby(in_order, key=lambda video: video.kind):
        alike = list(some)
        numbers: dict[int, int] = {}
        person = tuple(numbers.setdefault(video.person, len(numbers)) for video in alike)
        found[kind] = Calibration(
            real=tuple(round(video.score, _DIGITS) for video in alike),
            people=len(numbers),
            person=person,
            conditions=_columns([video.conditions for video in alike]),
        )
    return found


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """Returns the conditions that at least half of the videos have. A missing value is replaced by the median."""
    made = {}
    for name in sorted({name for row in rows for name in row}):
        known = [row[name] for row in rows if name in row]
        if 2 * len(known) >= len(rows):
            usual = median(known)
            made[name] = tuple(row.get(name, usual) for row in rows)
    return made


def score_reals(
    loaded: LoadedNetwork,
    locations: Sequence[str],
    *,
    split: str | None = None,
    batch: int = 8,
    device: torch.device | str = "cpu",
    saw: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005
) -> list[RealVideo]:
    """Scores the real videos of folders of shards as ``mgst-predict`` does: all windows of the main face.

    Args:
        loaded: The network, on the device.
        locations: Folders of shards, by path or URL.
        split: Only videos of this split; None for all.
        batch: Windows per call of the network.
        device: Device of the network.
        saw: Called with the number of scored videos and the number of all videos.

    Returns:
        The videos that have enough consecutive frames for the network.

    Raises:
        UsageError: if there are no real videos, or none is long enough.
        ShardError: if a shard is damaged.
    """
    reader = ShardReader.open(list(locations), split=split, label=REAL)
    where = ", ".join(locations)
    if not len(reader):
        what = f"no real videos in the split {split!r}" if split else "no real videos"
        raise UsageError(what, where=where, hint="give shards of real people, or another --split")
    spec = InputSpec.of(loaded)
    parts: list[_Part] = []

    def runs() -> Iterator[UInt8[Tensor, "t 3 h w"]]:
        for video, chunk in _main_chunks(reader, spec.min_frames):
            crops = list(chunk.frames())
            some = range(0, len(chunk), SPACING)
            measured = measure(chunk, some, [crops[i] for i in some])
            parts.append(_Part(video, len(chunk), measured))
            yield network_input(chunk, range(len(chunk)), crops, spec)[0]

    total = len(reader.videos)
    results = score_runs(loaded.network, runs(), frames=loaded.frames, batch=batch, device=device)
    for number, scores in enumerate(results):
        parts[number].windows = scores.window
        saw(parts[number].video, total)
    saw(total, total)
    if not parts:
        hint = "extract longer videos, or calibrate a network of single frames"
        raise UsageError(f"no real video has {spec.min_frames} consecutive frames", where=where, hint=hint)
    return _videos(reader, parts)


def check_unseen(weights: str | Path, locations: Sequence[str], split: str | None = None) -> tuple[str, ...]:
    """Checks that a network was not trained on the real videos of shards, nor on other videos of their people.

    Args:
        weights: Weights of the network, see :func:`mgst_model.networks.checkpoint.read_card`.
        locations: Folders of shards, by path or URL.
        split: Only videos of this split; None for all.

    Returns:
        What could not be checked, or is not as independent as it should be: one line each.

    Raises:
        UsageError: if the network was trained on one of the videos or people, or the list of its videos is damaged.
    """
    trained = TrainedVideos.load(weights_file(weights))
    if trained is None:
        what = (
            "it is not known which videos this network was trained on (there is no list of videos beside the weights)"
        )
        return (f"{what}: make sure that none of these people are among them",)
    reports = [(location, report) for location in locations for report in _reals(location, split)]
    found = [(where, report, trained.find(KnownVideo.of(report))) for where, report in reports]
    words = {TRAINED: "was trained on", PERSON: "was trained on other videos of the people in"}
    for where, report, known in found:
        if known is not None and known[0] in words:
            same = sum(other is not None and other[0] == known[0] for _, _, other in found)
            what = f"the network {words[known[0]]} {same:,} of {len(found):,} real videos, for example {report.video}"
            raise UsageError(what, where=where, hint="calibrate with other people, for example --split val")
    counts = Counter(known[0] for _, _, known in found if known)
    if counts[VALIDATED]:
        return (f"{counts[VALIDATED]:,} of {len(found):,} real videos chose the best weights: their scores may be low",)
    return ()


@dataclass(slots=True)
class _Part:
    """One run of a video: number of the video, number of frames, measured frames, and scores of its windows."""

    video: int
    frames: int
    measured: Float[ndarray, "n 4"]
    windows: Float[Tensor, " w"] = field(default_factory=lambda: torch.zeros(0))


def _main_chunks(reader: ShardReader, shortest: int) -> Iterator[tuple[int, FaceChunk]]:
    """Yields the chunks of the main face of every video that are long enough, with the number of the video."""
    for number in range(len(reader.videos)):
        rows = (reader.video == number).nonzero()[:, 0].tolist()
        chunks = [chunk for row in rows if len(chunk := reader[row]) >= shortest]
        areas: dict[int, float] = {}
        for chunk in chunks:
            areas[chunk.track] = areas.get(chunk.track, 0.0) + chunk.face_area
        if areas:
            main = main_track(areas)
            yield from ((number, chunk) for chunk in chunks if chunk.track == main)


def _videos(reader: ShardReader, parts: Sequence[_Part]) -> list[RealVideo]:
    """Joins the runs of each video."""
    persons, named = _persons(reader)
    stills = set(reader.video[reader.stills].tolist())
    found = []
    for number, some in groupby(parts, key=attrgetter("video")):
        mine = list(some)
        measured = [part.measured for part in mine]
        found.append(
            RealVideo(
                key=reader.videos[number],
                kind=PICTURES if number in stills else VIDEOS,
                person=persons[number],
                known=number in named,
                score=float(torch.cat([part.windows for part in mine]).mean()),
                conditions=conditions_of(measured, sum(part.frames for part in mine)),
            )
        )
    return found


def _persons(reader: ShardReader) -> tuple[dict[int, int], set[int]]:
    """Returns the person of each video by number, and the videos of which it is known who is in them.

    Videos that share the identity of the data set, or a person that ``mgst-data people`` has found, show one person.
    """
    # Imported here because it takes a second, and only a calibration needs it.
    from mgst_data.people.split import connected

    tables = [PeopleTable.read(source.location) for source in reader.sources]
    codes = [{} if table is None else table.main_persons() for table in tables]
    first = dict(zip(reversed(reader.video.tolist()), reversed(range(len(reader))), strict=True))
    names: dict[int, set[Hashable]] = {}
    for number, key in enumerate(reader.videos):
        names[number] = set()
        if number not in first:
            continue
        record = reader[first[number]].record
        if record.target_key:
            names[number].add((record.dataset, record.target_key))
        if code := codes[int(reader.source[first[number]])].get(key):
            names[number].add(code)
    groups = enumerate(connected(names))
    return {video: person for person, group in groups for video in group}, {n for n, some in names.items() if some}


def _reals(location: str, split: str | None) -> Iterator[VideoReport]:
    people = PeopleTable.read(location)
    for report in latest(ShardFolder.read(location).reports()).values():
        video = report if people is None else replace(report, split=people.completed(report).split)
        if video.chunks and video.label == REAL and split in (None, video.split):
            yield video
