"""Facts about one track, and the frames of it that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core.geometry import apply_transform, box_size, invert_transform
from mgst_data.core.sampling import evenly_spaced
from mgst_data.report.pose import head_pose
from mgst_data.shards import FaceChunk
from mgst_data.shards.images import grey_face, sharpness


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """What a report says about one track. Medians are over its frames; those marked (shown) over the shown frames.

    Attributes:
        folder: Name of the folder of shards.
        key: Key of the video.
        video: Path of the video, relative to the root of the data set.
        dataset: Name of the data set.
        split: "train", "val", "test", or "".
        label: 0 real, 1 fake: whether the track has a fake frame.
        method: Method of manipulation; "real" for real videos.
        compression: Compression of the data set, such as "c23"; or "".
        track: Number of the track within the video.
        chunks: Number of chunks.
        frames: Number of frames.
        fps: Frames per second of the video; 0 if unknown.
        width: Width of the frames, pixels.
        height: Height of the frames, pixels.
        crop_size: Side of the crops, pixels.
        face: Side of the face box, pixels of the video: the median of the square root of its area.
        score: Median face probability, [0, 1].
        doubt: Landmark doubt: share of the landmarks that are marked invalid, [0, 1].
        jitter: Median distance between landmarks before and after smoothing, relative to the side of the face box.
        damaged: Number of damaged frames.
        fakes: Number of fake frames.
        sharpness: Mean absolute Laplacian of the face at 160 pixels, grey levels, median (shown).
        yaw: Degrees, median (shown); see :func:`mgst_data.report.head_pose`. None if it is not known.
        pitch: Degrees, median (shown); None if it is not known.
        roll: Degrees, median (shown); None if it is not known.
        models: Detector and landmark model.
    """

    folder: str
    key: str
    video: str
    dataset: str
    split: str
    label: int
    method: str
    compression: str
    track: int
    chunks: int
    frames: int
    fps: float
    width: int
    height: int
    crop_size: int
    face: float
    score: float
    doubt: float
    jitter: float
    damaged: int
    fakes: int
    sharpness: float
    yaw: float | None
    pitch: float | None
    roll: float | None
    models: str


@dataclass(frozen=True, slots=True, eq=False)
class ShownFrame:
    """One frame of a film strip; positions are relative to the side of the crop.

    Attributes:
        number: Number of the frame in the video.
        time: Presentation time, seconds.
        picture: The crop, scaled.
        mask: Manipulation mask, scaled; None if there is none.
        landmarks: Landmarks, relative to the side of the crop.
        invalid: Landmarks that are marked invalid, as indices.
        box: Face box ``x0, y0, x1, y1``, relative to the side of the crop.
        score: Face probability, [0, 1].
        sharpness: Mean absolute Laplacian of the face at 160 pixels, grey levels; 0 without a face in the crop.
        fake: Whether the frame is fake.
        damaged: Whether the frame was decoded from damaged data.
    """

    number: int
    time: float
    picture: UInt8[ndarray, "s s 3"]
    mask: UInt8[ndarray, "s s"] | None
    landmarks: Float[Tensor, "k 2"]
    invalid: tuple[int, ...]
    box: tuple[float, float, float, float]
    score: float
    sharpness: float
    fake: bool
    damaged: bool


def view_track(
    chunks: Sequence[FaceChunk], *, folder: str, shown: int, side: int
) -> tuple[TrackFacts, list[ShownFrame]]:
    """Measures a track, and decodes the frames that are shown: evenly spaced over the track.

    Args:
        chunks: Chunks of one track, in order.
        folder: Name of the folder of shards.
        shown: Largest number of frames to show, at least 1.
        side: Side of the scaled crops, pixels.

    Raises:
        ShardError: if a crop is damaged.
    """
    places = [(chunk, i) for chunk in chunks for i in range(len(chunk))]
    some = [places[i] for i in evenly_spaced(len(places), min(shown, len(places)))]
    frames = [_frame(chunk, i, side) for chunk, i in some]
    first, record = chunks[0], chunks[0].record
    poses = torch.cat([_pose(chunk, i) for chunk, i in some])
    # Of each angle, the median of the frames with a pose; NaN if there is none.
    pose = [None if angle.isnan() else round(float(angle), 1) for angle in poses.nanmedian(dim=0).values]
    side_of = [box_size(chunk.boxes).clamp_min(0).prod(dim=-1).sqrt() for chunk in chunks]
    moved = [
        (chunk.landmarks - chunk.landmarks_raw).norm(dim=-1).median(dim=1).values / size.clamp_min(1)
        for chunk, size in zip(chunks, side_of, strict=True)
    ]
    scale = [float(chunk.crop_from_frame[0, :2].norm()) for chunk in chunks]
    faces = torch.cat([size / factor for size, factor in zip(side_of, scale, strict=True)])
    fakes = sum(int(chunk.fake_frames.sum()) for chunk in chunks)
    facts = TrackFacts(
        folder=folder,
        key=record.key,
        video=record.video,
        dataset=record.dataset,
        split=record.split,
        label=int(fakes > 0),
        method=record.method,
        compression=record.compression,
        track=first.track,
        chunks=len(chunks),
        frames=len(places),
        fps=round(first.fps, 3),
        width=first.frame_size[0],
        height=first.frame_size[1],
        crop_size=first.crop_size,
        face=round(float(faces.median()), 1),
        score=round(float(torch.cat([chunk.scores for chunk in chunks]).median()), 4),
        doubt=round(1 - float(torch.cat([chunk.valid for chunk in chunks]).double().mean()), 4),
        jitter=round(float(torch.cat(moved).median()), 4),
        damaged=sum(int(chunk.damaged.sum()) for chunk in chunks),
        fakes=fakes,
        sharpness=round(float(np.median([frame.sharpness for frame in frames])), 1),
        yaw=pose[0],
        pitch=pose[1],
        roll=pose[2],
        models=", ".join(first.models.values()),
    )
    return facts, frames


def _frame(chunk: FaceChunk, i: int, side: int) -> ShownFrame:
    crop = next(chunk.frames([i]))
    mask = next(chunk.mask_frames([i]), None)
    x0, y0, x1, y1 = (chunk.boxes[i] / chunk.crop_size).tolist()
    grey = grey_face(crop, chunk.boxes[i].tolist())
    return ShownFrame(
        number=int(chunk.frame_indices[i]),
        time=float(chunk.pts[i]),
        picture=_scaled(crop, side),
        mask=None if mask is None else _scaled(mask, side),
        landmarks=chunk.landmarks[i] / chunk.crop_size,
        invalid=tuple((~chunk.valid[i]).nonzero()[:, 0].tolist()),
        box=(x0, y0, x1, y1),
        score=float(chunk.scores[i]),
        sharpness=0.0 if grey is None else sharpness(grey),
        fake=bool(chunk.fake_frames[i]),
        damaged=bool(chunk.damaged[i]),
    )


def _pose(chunk: FaceChunk, i: int) -> Float[Tensor, "1 3"]:
    frame = apply_transform(invert_transform(chunk.crop_from_frame), chunk.landmarks[i].double())
    return head_pose(frame[None], chunk.frame_size)


def _scaled(image: UInt8[ndarray, "h w *c"], side: int) -> UInt8[ndarray, "s s *c"]:
    smaller = image.shape[0] > side
    made: UInt8[ndarray, "s s *c"] = cv2.resize(
        image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    return made
