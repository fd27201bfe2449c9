"""Chooses the best frames of a track, and cuts the aligned pictures of the face that the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.core import UsageError
from mgst_data.core.geometry import eye_distance, turn
from mgst_data.shards import FaceChunk

# Side of the aligned picture, pixels, and its margin, relative to the face: what dlib's network was trained with.
SIDE, MARGIN = 150, 0.25
# A face with a smaller eye distance, pixels of the video, is too small for the network; one whose nose is farther from
# the middle between the eyes, in eye distances, is turned too far. Measured by benchmarks/bench_people.py.
SMALLEST_EYES, FARTHEST_TURN = 12.0, 0.45
# Frames that are decoded for each frame that is used; the sharpest one is used.
_DECODED = 3


def quality(chunk: FaceChunk) -> Float[Tensor, " t"]:
    """Rates the frames of a chunk for recognition, from 0 (unusable) to 1, without decoding them.

    The rating is the product of the face probability, the share of valid landmarks and the frontality. Damaged frames
    and faces that are too small or turned too far have rating 0.

    Raises:
        UsageError: if the landmarks are not the 68 of iBUG 300-W, or 81 with a forehead.
    """
    k = chunk.landmarks.shape[1]
    if k not in (68, 81):
        hint = "extract with a landmark model of 68 or 81 points"
        raise UsageError(f"persons cannot be found with {k} landmarks", where=chunk.key, hint=hint)
    scale = float(chunk.crop_from_frame[0, 0])
    eyes, aside = eye_distance(chunk.landmarks) / scale, turn(chunk.landmarks)
    usable = (eyes >= SMALLEST_EYES) & (aside <= FARTHEST_TURN) & ~chunk.damaged
    return chunk.scores.clamp(0, 1) * chunk.valid.float().mean(dim=1) * (1 - aside) * usable


def best_frames(chunks: Sequence[FaceChunk], count: int) -> list[tuple[int, int]]:
    """Chooses frames of one track: sharp, frontal, with a high face probability, and spread over the track.

    The track is cut into parts of equal length. From each part, the frames with the highest :func:`quality` are
    decoded, and the sharpest one is used.

    Args:
        chunks: Chunks of one track, in order.
        count: Largest number of frames.

    Returns:
        Positions as (chunk, frame). Empty if no frame is usable.

    Raises:
        ShardError: if a crop is damaged.
        UsageError: if the landmarks are unsuitable.
    """
    places = [(number, i) for number, chunk in enumerate(chunks) for i in range(len(chunk))]
    rating = torch.cat([quality(chunk) for chunk in chunks])
    usable = rating.nonzero()[:, 0].tolist()
    found = []
    for part in np.array_split(np.array(usable, dtype=int), min(count, len(usable)) or 1):
        best = sorted(part.tolist(), key=lambda i: (-float(rating[i]), i))[:_DECODED]
        tried = [places[i] for i in best]
        if tried:
            found.append(tried[0] if len(tried) == 1 else max(tried, key=lambda at: _sharpness(chunks[at[0]], at[1])))
    return found


def face_chip(dlib: Any, chunk: FaceChunk, position: int) -> UInt8[ndarray, "s s 3"]:
    """Cuts the upright, centred picture of a face as dlib does.

    Args:
        dlib: The module dlib.
        chunk: Chunk of the face.
        position: Position of the frame in the chunk.

    Raises:
        ShardError: if the crop is damaged.
    """
    crop = next(chunk.frames([position]))
    points = [dlib.point(round(x), round(y)) for x, y in chunk.landmarks[position, :68].tolist()]
    # dlib needs a box, and does not use it.
    face = dlib.full_object_detection(dlib.rectangle(0, 0, chunk.crop_size, chunk.crop_size), points)
    chip: UInt8[ndarray, "s s 3"] = dlib.get_face_chip(crop, face, size=SIDE, padding=MARGIN)
    return chip


def _sharpness(chunk: FaceChunk, position: int) -> float:
    """Measures the sharpness inside the face box at the resolution of the crop: the variance of the Laplacian."""
    crop = next(chunk.frames([position]))
    x0, y0, x1, y1 = chunk.boxes[position].round().clamp(0, chunk.crop_size).int().tolist()
    face = crop[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return float(cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()) if face.size else 0.0
