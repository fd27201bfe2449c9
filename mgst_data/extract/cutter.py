"""Cuts one track into chunks of crops while its frames are decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.core.geometry import apply_transform
from mgst_data.core.records import FaceTrack, FrameBatch, VideoRecord
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.faces.crop import Patch, Square, crop_from_frame, cut, keep, reach, reduction, stable_square
from mgst_data.faces.landmarks import check_landmarks
from mgst_data.faces.smooth import CONTEXT, smooth_landmarks
from mgst_data.shards.images import encode_image, encode_mask
from mgst_data.shards.schema import FaceChunk


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Information that all chunks of a video share."""

    record: VideoRecord
    fps: float
    frame_size: tuple[int, int]
    models: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One frame of a track. Coordinates are in pixels of the frame."""

    index: int
    pts: float
    box: Float[np.ndarray, "4"]
    score: float
    landmarks: Float[Tensor, "k 2"]
    damaged: bool


@dataclass(slots=True, eq=False)
class _Run:
    """A run that is still being collected: frames that share a crop."""

    start: int
    factor: int
    square: Square
    boxes: Float[np.ndarray, "frames 4"]
    reaches: list[Square] = field(default_factory=list)
    pictures: list[Patch] = field(default_factory=list)
    masks: list[Patch] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """A finished run. Its landmarks may still need the frames after it.

    ``first`` and ``last`` are the bounds of its sequence of consecutive frames; ``last`` is None until the sequence
    ends.
    """

    start: int
    stop: int
    first: int
    last: int | None
    transform: Float[Tensor, "2 3"]
    size: int
    images: tuple[bytes, ...]
    masks: tuple[bytes, ...]


class TrackCutter:
    """Cuts one track into chunks. The pixels of a frame are released as soon as they are cropped.

    A run ends when it has ``frames`` frames, when the face has moved too far for one crop, when masks begin or end, and
    when frames are missing. If the configuration drops damaged frames, they count as missing. Landmarks are smoothed
    over the whole sequence of consecutive frames. Therefore a chunk is yielded when the ``CONTEXT`` frames after it are
    known.

    Args:
        config: Configuration of the extraction.
        info: Information about the video.
        id: Number of the track within the video.
    """

    def __init__(self, config: ExtractConfig, info: VideoInfo, id: int) -> None:  # noqa: A002
        self.config, self.info, self.id = config, info, id
        self.chunks = 0
        self._rows: deque[_Row] = deque()
        self._pruned = 0
        self._stretch = 0
        self._run: _Run | None = None
        self._cuts: deque[_Cut] = deque()

    @property
    def _count(self) -> int:
        return self._pruned + len(self._rows)

    def add(
        self, track: FaceTrack, batch: FrameBatch, masks: Sequence[UInt8[np.ndarray, "h w"] | None]
    ) -> Iterator[FaceChunk]:
        """Adds the frames of the track in the next batch, and yields the chunks that are complete.

        Args:
            track: Part of the track in this batch, with landmarks.
            batch: Batch of frames; the track may be in only some of them.
            masks: Manipulation mask of each frame of the batch; None for a frame without a mask.
        """
        where = torch.searchsorted(batch.index, track.frame).tolist()
        pictures = batch.frames.permute(0, 2, 3, 1).numpy()
        columns = (
            track.frame.tolist(),
            batch.pts[where].tolist(),
            track.boxes.double().numpy(),
            track.scores.tolist(),
            track.landmarks,
            batch.damaged[where].tolist(),
        )
        for row, i in zip(map(_Row, *columns), where, strict=True):
            if not (row.damaged and self.config.damaged == "drop"):
                self._collect(row, pictures[i], masks[i])
        yield from self._complete(ended=False)

    def finish(self) -> Iterator[FaceChunk]:
        """Ends the track and yields its remaining chunks."""
        self._close_run()
        yield from self._complete(ended=True)

    def _collect(self, row: _Row, picture: np.ndarray, mask: np.ndarray | None) -> None:
        if self._rows and row.index != self._rows[-1].index + 1:
            self._end_stretch()
        margin, run = self.config.margin, self._run
        box_reach = reach(row.box, margin)
        if run is not None:
            length = len(run.pictures)
            goes_on = length < self.config.frames and bool(run.masks) == (mask is not None)
            if goes_on:
                run.boxes[length] = row.box
                square = stable_square(run.boxes[: length + 1], margin)
                goes_on = all(held.holds(square) for held in (*run.reaches, box_reach))
            if not goes_on:
                self._close_run()
                run = None
            else:
                run.square = square
        if run is None:
            boxes = np.tile(row.box, (self.config.frames, 1))
            square = stable_square(boxes[:1], margin)
            run = self._run = _Run(self._count, reduction(row.box, margin, self.config.size), square, boxes)
        self._rows.append(row)
        run.reaches.append(box_reach)
        run.pictures.append(keep(picture, box_reach, run.factor))
        if mask is not None:
            run.masks.append(keep(mask, box_reach, run.factor))

    def _end_stretch(self) -> None:
        self._close_run()
        self._stretch = self._count
        self._cuts = deque(replace(piece, last=piece.last or self._stretch) for piece in self._cuts)

    def _row(self, i: int) -> _Row:
        return self._rows[i - self._pruned]

    def _close_run(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        square, factor = run.square, run.factor
        if factor > 1:
            square = Square(square.x0 // factor, square.y0 // factor, square.side // factor)
        size = self.config.size if self.config.upsample else min(self.config.size, square.side)
        how, quality = self.config.image_format, self.config.quality
        crops = (cut(patch, square, size) for patch in run.pictures)
        self._cuts.append(
            _Cut(
                run.start,
                self._count,
                self._stretch,
                None,
                crop_from_frame(square, factor, size),
                size,
                tuple(encode_image(crop, image_format=how, quality=quality) for crop in crops),
                tuple(encode_mask(cut(patch, square, size)) for patch in run.masks),
            )
        )

    def _complete(self, *, ended: bool) -> Iterator[FaceChunk]:
        """Yields the finished runs whose context is known, if the track is long enough."""
        if self._count < self.config.min_frames and not ended:
            return
        while self._cuts and (ended or self._cuts[0].last or self._cuts[0].stop + CONTEXT <= self._count):
            piece = self._cuts.popleft()
            chunk = self._chunk(piece)
            keep_from = max(0, piece.stop - CONTEXT)
            while self._pruned < keep_from:
                self._rows.popleft()
                self._pruned += 1
            if chunk is not None:
                yield chunk

    def _chunk(self, piece: _Cut) -> FaceChunk | None:
        """Returns the chunk of a finished run; None if its median score is too low or the track is too short."""
        rows = [self._row(i) for i in range(piece.start, piece.stop)]
        scores = torch.tensor([row.score for row in rows])
        if self._count < self.config.min_frames or float(scores.median()) < self.config.min_score:
            return None
        before = max(piece.start - CONTEXT, piece.first)
        after = min(piece.stop + CONTEXT, piece.last or self._count)
        around = [self._row(i).landmarks for i in range(before, after)]
        points = torch.stack(around)
        width, height = self.info.frame_size
        valid = check_landmarks(points, height, width)
        smooth = smooth_landmarks(points, valid)
        mine = slice(piece.start - before, piece.stop - before)
        corners = torch.from_numpy(np.stack([row.box for row in rows])).reshape(-1, 2, 2)
        self.chunks += 1
        return FaceChunk(
            record=self.info.record,
            track=self.id,
            chunk=self.chunks - 1,
            fps=self.info.fps,
            frame_indices=torch.tensor([row.index for row in rows]),
            pts=torch.tensor([row.pts for row in rows], dtype=torch.float64),
            frame_size=self.info.frame_size,
            crop_size=piece.size,
            crop_from_frame=piece.transform,
            landmarks=apply_transform(piece.transform, smooth[mine].double()).float(),
            landmarks_raw=apply_transform(piece.transform, points[mine].double()).float(),
            valid=valid[mine],
            boxes=apply_transform(piece.transform, corners).reshape(-1, 4).float(),
            scores=scores,
            images=piece.images,
            masks=piece.masks,
            image_format=self.config.image_format,
            quality=self.config.quality,
            models=self.info.models,
            damaged=torch.tensor([row.damaged for row in rows]),
        )
