"""Scores the videos of a folder of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.augment.compression import FrameCodec
from mgst_data.core import ShardError, UsageError, generator_for
from mgst_data.core.records import main_track
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import FaceChunk, ShardCache, ShardFolder, ShardReader
from mgst_data.shards.report import VideoReport, latest
from mgst_model.evaluate.conditions import conditions_of, measure
from mgst_model.evaluate.crops import InputSpec, network_input
from mgst_model.evaluate.perturbations import perturb
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.windows import RunScores, score_runs
from mgst_model.networks.scorer import Scorer

SEGMENTS = 8
Tracks = Literal["main", "max"]
# Videos that are read before any of them is scored, to fill batches.
_AHEAD = 4
# Reason codes of readable videos in which the extraction found no usable face.
_NO_FACE = ("no_face", "faces_too_small", "faces_too_brief", "unclear_faces", "only_damaged_frames")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A perturbation of the crops before they are scored.

    Attributes:
        kind: A name in :data:`mgst_model.evaluate.perturbations.PERTURBATIONS`.
        severity: 1 to 5.
        codec: Encodes and decodes frames, for ``h264``.
        seed: Seed of the perturbation. The random values of a segment depend only on the seed and the segment.
    """

    kind: str
    severity: int
    codec: FrameCodec | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One segment to score: frames ``start`` to ``stop`` of a chunk; the face is visible in ``visible`` frames."""

    video: int
    track: int
    chunk: FaceChunk
    start: int
    stop: int
    visible: int


# A segment with its scores and its measured frame.
_Scored = tuple[_Wanted, RunScores, Float[np.ndarray, "1 4"]]


def score_shards(
    loaded: Scorer,
    location: str,
    *,
    model: str = "",
    split: str | None = None,
    methods: Sequence[str] | None = None,
    segments: int = SEGMENTS,
    tracks: Tracks = "main",
    disturbance: Disturbance | None = None,
    batch: int = 8,
    device: torch.device | str = "cpu",
    cache: ShardCache | None = None,
    saw: Callable[[int, int], None] = lambda done, of: None,  # noqa: ARG005
) -> Predictions:
    """Scores every video of a folder of shards.

    The score of a video is the mean over evenly spaced segments of consecutive frames. The segments come from the main
    track, whose face boxes have the largest sum of areas. With ``tracks="max"``, the score is the highest mean over all
    tracks. A track that is shorter than a segment is scored with the frames that it has. A track that is shorter than
    the network needs is skipped. A video without a usable face is listed without a score.

    Args:
        loaded: The network, or a detector of others (:func:`mgst_model.evaluate.plug_detector`).
        location: Folder of shards, by path or URL.
        model: Name of the detector in tables.
        split: Only videos of this split; None for all.
        methods: Only videos of these methods, "real" for real videos; None for all.
        segments: Largest number of segments of a track.
        tracks: "main" or "max".
        disturbance: Perturbation of the crops before scoring.
        batch: Segments per call of the network.
        device: Device of the network.
        cache: Keeps local copies of shards behind URLs; None reads them from their store.
        saw: Called with the number of finished videos and the number of all videos.

    Returns:
        Scores of all selected videos.

    Raises:
        UsageError: if no video is selected.
        ShardError: if a shard is damaged.
    """
    reader = ShardReader.open(location, split=split, methods=methods, cache=cache)
    if not len(reader):
        raise UsageError("no videos to score", where=location, hint="check the split and the methods")
    scored: list[VideoScore] = []
    spec = InputSpec.of(loaded)
    count = len(reader.videos)
    if cache is not None:
        cache.fetch(reader.shards[shard] for shard in dict.fromkeys(reader.shard.tolist()))
    for begin in range(0, count, _AHEAD):
        videos = range(begin, min(begin + _AHEAD, count))
        wanted = [item for video in _read(reader, videos) for item in _segments(*video, loaded, segments, tracks)]
        measured: list[Float[np.ndarray, "1 4"]] = []
        runs = (_pictures(item, spec, disturbance, measured) for item in wanted)
        results = list(score_runs(loaded.network, runs, frames=loaded.frames, batch=batch, device=device))
        for _, mine in groupby(zip(wanted, results, measured, strict=True), key=lambda part: part[0].video):
            scored.append(_video_score(list(mine)))
        seen = {item.video for item in wanted}
        scored += [_too_brief(reader, video) for video in videos if video not in seen]
        saw(len(scored), count)
        if cache is not None:
            cache.check()
    kind = f"{disturbance.kind} {disturbance.severity}" if disturbance else ""
    test = {"shards": location, "segments": segments, "tracks": tracks, "perturbation": kind}
    info = {**test, "frames": loaded.frames, "size": loaded.size, "network": dict(loaded.info)}
    compressions = {(video.dataset, video.compression) for video in scored}
    return Predictions(model, (*scored, *_faceless(location, split, methods, compressions)), info)


def _read(reader: ShardReader, videos: range) -> Iterator[tuple[int, list[FaceChunk]]]:
    """Reads all chunks of some videos at the same time. Raises ShardError for a damaged one."""
    rows = {video: (reader.video == video).nonzero()[:, 0].tolist() for video in videos}
    chunks = iter(reader.read([row for some in rows.values() for row in some]))
    for video, some in rows.items():
        mine = []
        for chunk in islice(chunks, len(some)):
            if isinstance(chunk, ShardError):
                raise chunk
            mine.append(chunk)
        yield video, mine


def _segments(video: int, chunks: list[FaceChunk], loaded: Scorer, count: int, tracks: Tracks) -> Iterator[_Wanted]:
    """Yields the segments of a video to score: from the main track, or from all tracks that are long enough."""
    by_track = {track: list(some) for track, some in groupby(chunks, key=lambda chunk: chunk.track)}
    by_track = {track: some for track, some in by_track.items() if max(map(len, some)) >= loaded.shortest}
    if tracks == "main" and by_track:
        main = main_track({track: sum(chunk.face_area for chunk in some) for track, some in by_track.items()})
        by_track = {main: by_track[main]}
    for track, some in by_track.items():
        length = min(loaded.frames, max(map(len, some)))
        visible = sum(len(chunk) for chunk in some if len(chunk) >= loaded.shortest)
        starts = [(chunk, start) for chunk in some for start in range(len(chunk) - length + 1)]
        for i in evenly_spaced(len(starts), min(count, len(starts))):
            chunk, start = starts[i]
            yield _Wanted(video, track, chunk, start, start + length, visible)


def _pictures(
    wanted: _Wanted,
    spec: InputSpec,
    disturbance: Disturbance | None,
    measured: list[Float[np.ndarray, "1 4"]],
) -> UInt8[Tensor, "t 3 h w"]:
    """Returns the input of the network, and appends the conditions of its first frame."""
    positions = range(wanted.start, wanted.stop)
    crops = list(wanted.chunk.frames(positions))
    if disturbance is not None:
        frames = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        name = (disturbance.kind, wanted.chunk.key, wanted.start)  # the severity is left out: same draws for all
        generator = generator_for(disturbance.seed, *name)
        frames = perturb(frames, disturbance.kind, disturbance.severity, generator, codec=disturbance.codec)
        crops = list(frames.permute(0, 2, 3, 1).contiguous().numpy())
    measured.append(measure(wanted.chunk, positions[:1], crops[:1]))
    return network_input(wanted.chunk, positions, crops, spec)[0]


def _video_score(parts: list[_Scored]) -> VideoScore:
    """Returns the score of the track with the highest mean. With tracks="main" there is only one track."""
    by_track = [list(some) for _, some in groupby(parts, key=lambda part: part[0].track)]
    chosen = max(by_track, key=_mean)
    record = chosen[0][0].chunk.record
    frames: dict[int, list[float]] = {}
    fakes: dict[int, int] = {}
    segment_labels: list[int] = []
    for wanted, scores, _ in chosen:
        indices = wanted.chunk.frame_indices[wanted.start : wanted.stop].tolist()
        is_fake = wanted.chunk.fake_frames[wanted.start : wanted.stop]
        fakes |= zip(indices, is_fake.int().tolist(), strict=True)
        segment_labels.append(int(is_fake.any()))
        for index, score in zip(indices, scores.frame.tolist(), strict=True):
            frames.setdefault(index, []).append(score)  # segments of a short track overlap
    return VideoScore(
        key=record.key,
        dataset=record.dataset,
        method=record.method,
        label=record.label,
        split=record.split,
        compression=record.compression,
        source_key=record.source_key,
        target_key=record.target_key,
        score=_mean(chosen),
        segments=tuple(float(scores.window.mean()) for _, scores, _ in chosen),
        frames=tuple(sum(some) / len(some) for some in frames.values()),
        frame_indices=tuple(frames),
        segment_labels=tuple(segment_labels) if record.fake_spans else (),
        frame_labels=tuple(fakes[index] for index in frames) if record.fake_spans else (),
        conditions=conditions_of([measured for _, _, measured in chosen], chosen[0][0].visible),
    )


def _too_brief(reader: ShardReader, video: int) -> VideoScore:
    """Returns a video without a score: no face is visible for as many frames as the network needs."""
    record = reader[int((reader.video == video).nonzero()[0])].record
    names = ("key", "dataset", "method", "label", "split", "compression", "source_key", "target_key")
    return VideoScore(score=None, **{name: getattr(record, name) for name in names})


def _mean(parts: list[_Scored]) -> float:
    return float(torch.stack([scores.window.mean() for _, scores, _ in parts]).mean())


def faceless_reports(location: str) -> list[VideoReport]:
    """Returns the reports of videos in which no face was found. Unreadable videos are not part of a test.

    Args:
        location: Folder of shards, by path or URL.

    Raises:
        UsageError: if there are no shards.
        ShardError: if a report is malformed.
    """
    reports = latest(ShardFolder.read(location).reports())
    return [video for video in reports.values() if video.skipped and video.reason in _NO_FACE]


def _faceless(
    location: str, split: str | None, methods: Sequence[str] | None, compressions: set[tuple[str, str]]
) -> list[VideoScore]:
    """Returns videos without a face; ``compressions`` are (data set, compression) of the scored videos."""

    def compression_of(video: VideoReport) -> str:
        # Reports of earlier versions lack the compression. If all scored videos of the data set share one, use it.
        known = [compression for name, compression in compressions if name == video.dataset]
        return video.compression or (known[0] if len(known) == 1 else "")

    return [
        VideoScore(
            key=video.key,
            dataset=video.dataset,
            method=video.method,
            label=video.label,
            split=video.split,
            compression=compression_of(video),
            score=None,
        )
        for video in faceless_reports(location)
        if split in (None, video.split) and (methods is None or video.method in methods)
    ]
