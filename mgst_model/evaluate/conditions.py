"""Measures the conditions of a video: face size, sharpness, turn, brightness, and number of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from mgst_data.core.geometry import turn
from mgst_data.shards import FaceChunk
from mgst_data.shards.images import grey_face, sharpness
from mgst_model.networks.conditions import BRIGHTNESS, FACE_SIZE, FRAMES, SHARPNESS, TURN

# One frame in so many is measured.
SPACING = 8
_MEASURED = (FACE_SIZE, SHARPNESS, TURN, BRIGHTNESS)


def measure(
    chunk: FaceChunk, positions: Sequence[int], crops: Sequence[UInt8[ndarray, "s s 3"]]
) -> Float[ndarray, "n 4"]:
    """Measures frames of a chunk.

    Args:
        chunk: Chunk that the crops come from.
        positions: Numbers of the frames in the chunk.
        crops: Crops of these frames, RGB.

    Returns:
        One row per frame: side of the face box in pixels of the video; sharpness, the mean absolute Laplacian of the
            face at 160 pixels, in grey levels; how far the face is turned, see :func:`mgst_data.core.geometry.turn`;
            brightness, the mean grey level of the face. NaN where something cannot be measured.
    """
    rows = list(positions)
    boxes = chunk.boxes[rows].double()
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1).sqrt() / float(chunk.crop_from_frame[0, 0])
    known = chunk.landmarks.shape[1] in (68, 81)
    turned = turn(chunk.landmarks[rows]).tolist() if known else [float("nan")] * len(rows)
    found = np.full((len(rows), len(_MEASURED)), np.nan)
    for row, (box, side, aside, crop) in enumerate(zip(boxes.tolist(), sides.tolist(), turned, crops, strict=True)):
        found[row, 0], found[row, 2] = side, aside
        if (grey := grey_face(crop, box)) is not None:
            found[row, 1], found[row, 3] = sharpness(grey), grey.mean()
    return found


def conditions_of(parts: Sequence[Float[ndarray, "_ 4"]], frames: int) -> dict[str, float]:
    """Returns the conditions of a video: the median over its measured frames, and its number of frames.

    Args:
        parts: Measured frames of the main face, from :func:`measure`.
        frames: Number of frames that are scored.

    Returns:
        The conditions by name. Those that could not be measured in any frame are left out.
    """
    rows = np.concatenate([np.zeros((0, len(_MEASURED))), *parts])
    known = {name: column[~np.isnan(column)] for name, column in zip(_MEASURED, rows.T, strict=True)}
    found = {name: round(float(np.median(column)), 3) for name, column in known.items() if len(column)}
    return {**found, FRAMES: float(frames)}
