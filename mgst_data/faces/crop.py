"""Computes and cuts one crop for all frames of a run.

Face boxes jitter by one or two pixels from frame to frame. A crop that follows them adds this jitter to the background,
and a network learns the jitter. Therefore all frames of a run share one square of whole pixels and one scale, so that
only real motion remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

# Size of the stored part of each frame, relative to the crop of a still face. With this value, a face can move by 0.95
# of its size within one run before the run has to end.
_REACH = 2.0


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels: x0 <= x < x0 + side, and the same for y. It may extend beyond the frame.

    Attributes:
        x0: Left column, pixels.
        y0: Top row, pixels.
        side: Width and height, pixels.
    """

    x0: int
    y0: int
    side: int

    def holds(self, other: Square) -> bool:
        """Returns whether another square lies inside this one."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x0 + other.side <= self.x0 + self.side
            and other.y0 + other.side <= self.y0 + self.side
        )


def stable_square(boxes: Float[np.ndarray, "t 4"], margin: float) -> Square:
    """Returns the crop square of a run.

    The side of the square is the median of the longer sides of the boxes, enlarged by the margin on each side. It is
    larger if this is needed to contain every box with half the margin. The centre is the median of the centres of the
    boxes, moved only as far as needed to contain all boxes.

    Args:
        boxes: Face boxes (x0, y0, x1, y1) of the run, pixels of the frame.
        margin: Margin on each side, relative to the longer side of a box.
    """
    middle, side = _squares(boxes)
    least = side * (0.5 + margin / 2)
    low, high = (middle - least[:, None]).min(axis=0), (middle + least[:, None]).max(axis=0)
    *centre, usual = _medians(np.column_stack((middle, side)))
    width = max(float(usual) * (1 + 2 * margin), *(high - low))
    corner = np.clip(np.array(centre) - width / 2, high - width, low)
    x0, y0 = np.floor(corner + 0.5).astype(int).tolist()
    return Square(x0, y0, int(np.ceil(width)))


def reach(box: Float[np.ndarray, "4"], margin: float) -> Square:
    """Returns the part of a frame to store until the crop of its run is known.

    Args:
        box: Face box (x0, y0, x1, y1), pixels of the frame.
        margin: Margin on each side, relative to the longer side of the box.
    """
    middle, side = _squares(box[None])
    half = float(side[0]) * (0.5 + margin) * _REACH
    x0, y0 = np.floor(middle[0] - half).astype(int).tolist()
    return Square(x0, y0, int(np.ceil(2 * half)) + 1)


def reduction(box: Float[np.ndarray, "4"], margin: float, size: int) -> int:
    """Returns the reduction factor at which a frame is stored without loss of resolution in the crop.

    The reduction limits the memory per face for frames of any resolution.

    Args:
        box: Face box (x0, y0, x1, y1), pixels of the frame.
        margin: Margin on each side, relative to the longer side of the box.
        size: Side of the crop, pixels.
    """
    side = float(_squares(box[None])[1][0]) * (1 + 2 * margin)
    return max(1, int(side / (1.5 * size)))


@dataclass(frozen=True, slots=True)
class Patch:
    """The stored part of a frame, reduced.

    Attributes:
        pixels: Reduced pixels, [0, 255].
        x0: Left column in the frame, reduced pixels.
        y0: Top row in the frame, reduced pixels.
    """

    pixels: UInt8[np.ndarray, "h w *c"]
    x0: int
    y0: int


def keep(picture: UInt8[np.ndarray, "h w *c"], square: Square, factor: int) -> Patch:
    """Copies the part of a frame inside a square, averaged over blocks of pixels.

    Blocks are aligned with the frame, not with the square, so that they are the same in every frame.

    Args:
        picture: Frame, [0, 255].
        square: Part of the frame to copy; the part outside the frame is left out.
        factor: Side of the averaged blocks, pixels.
    """
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    x0, y0 = (min(max(v // factor, 0), limit) for v, limit in ((square.x0, width), (square.y0, height)))
    x1 = min(max((square.x0 + square.side) // factor + 1, x0), width)
    y1 = min(max((square.y0 + square.side) // factor + 1, y0), height)
    part = picture[y0 * factor : y1 * factor, x0 * factor : x1 * factor]
    if factor > 1 and part.size:
        return Patch(cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA), x0, y0)
    return Patch(part.copy(), x0, y0)


def cut(patch: Patch, square: Square, size: int) -> UInt8[np.ndarray, "size size *c"]:
    """Cuts the crop out of the stored part of a frame; pixels outside the stored part are black.

    Args:
        patch: Stored part of the frame.
        square: Crop square, reduced pixels.
        size: Side of the crop that is returned, pixels.
    """
    x, y = square.x0 - patch.x0, square.y0 - patch.y0
    height, width = patch.pixels.shape[:2]
    if x >= 0 and y >= 0 and x + square.side <= width and y + square.side <= height:
        crop = patch.pixels[y : y + square.side, x : x + square.side]
    else:
        crop = np.zeros((square.side, square.side, *patch.pixels.shape[2:]), np.uint8)
        left, top = max(-x, 0), max(-y, 0)
        part = patch.pixels[max(y, 0) : max(y + square.side, 0), max(x, 0) : max(x + square.side, 0)]
        crop[top : top + part.shape[0], left : left + part.shape[1]] = part
    return resize(crop, size)


def resize(picture: UInt8[np.ndarray, "h w *c"], size: int) -> UInt8[np.ndarray, "size size *c"]:
    """Scales a picture to a square with antialiasing: a triangle filter to reduce, a cubic filter to enlarge.

    It uses the filter of torch, which takes 0.4 ms from 540 to 320 pixels; the area filter of OpenCV takes 1.6 ms.

    Args:
        picture: Picture, [0, 255].
        size: Side of the result, pixels.
    """
    if picture.shape[:2] == (size, size):
        return np.ascontiguousarray(picture)
    # The batch axis comes before the permutation; else torch does not see that channels are last, and the filter takes
    # four times as long.
    channels_last = torch.from_numpy(np.ascontiguousarray(picture)).reshape(1, *picture.shape[:2], -1)
    planes = channels_last.permute(0, 3, 1, 2)
    mode = "bilinear" if size < picture.shape[0] else "bicubic"
    scaled = functional.interpolate(planes, size=(size, size), mode=mode, antialias=True)
    return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy()).reshape(size, size, *picture.shape[2:])


def crop_from_frame(square: Square, factor: int, size: int) -> Float[Tensor, "2 3"]:
    """Returns the affine map from pixels of the frame to pixels of the crop; pixel centres are whole numbers.

    Args:
        square: Crop square, reduced pixels.
        factor: Reduction factor of the stored frame.
        size: Side of the crop, pixels.
    """
    scale = size / square.side
    # Frame to reduced pixels: x / factor + shift. Reduced pixels to crop: (x - x0 + 1/2) * scale - 1/2.
    shift = 0.5 / factor - 0.5
    rows = [[scale / factor, 0.0, 0.0], [0.0, scale / factor, 0.0]]
    for row, corner in zip(rows, (square.x0, square.y0), strict=True):
        row[2] = (shift - corner + 0.5) * scale - 0.5
    return torch.tensor(rows, dtype=torch.float64)


def _medians(values: Float[np.ndarray, "t c"]) -> Float[np.ndarray, " c"]:
    """Returns the median of each column; np.median takes several times as long for some tens of values."""
    ordered, middle = np.sort(values, axis=0), (len(values) - 1) / 2
    medians: np.ndarray = (ordered[int(middle)] + ordered[math.ceil(middle)]) / 2
    return medians


def _squares(boxes: Float[np.ndarray, "t 4"]) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
