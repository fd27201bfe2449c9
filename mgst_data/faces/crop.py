"""One crop for a whole run of frames, so that nothing in it moves but what moved before the camera.

Boxes jitter by a pixel or two between frames; a crop that follows them makes the background swim, and a network learns
the swimming. Here one square of whole pixels serves all frames of a run, and all frames are scaled alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

# The pixels kept of each frame reach this many times as far as the crop would if the face stood still; it lets a face
# move by 0.95 of its size within one run before the run has to end.
_REACH = 2.0


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels: x0 <= x < x0 + side, likewise y. It may reach beyond the frame."""

    x0: int
    y0: int
    side: int

    def holds(self, other: Square) -> bool:
        """Whether the other lies inside this one."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x0 + other.side <= self.x0 + self.side
            and other.y0 + other.side <= self.y0 + self.side
        )


def stable_square(boxes: Float[np.ndarray, "t 4"], margin: float) -> Square:
    """The crop of a run of boxes.

    Its side is the median of the boxes' longer sides with ``margin`` of it added all round; more, if it takes more to
    show every box with half the margin. It lies around the boxes' median middle, as far as that shows them all.
    """
    middle, side = _squares(boxes)
    least = side * (0.5 + margin / 2)
    low, high = (middle - least[:, None]).min(axis=0), (middle + least[:, None]).max(axis=0)
    width = max(float(np.median(side)) * (1 + 2 * margin), *(high - low))
    corner = np.clip(np.median(middle, axis=0) - width / 2, high - width, low)
    x0, y0 = np.floor(corner + 0.5).astype(int).tolist()
    return Square(x0, y0, int(np.ceil(width)))


def reach(box: Float[np.ndarray, "4"], margin: float) -> Square:
    """What to keep of a frame until the crop of its run is known."""
    middle, side = _squares(box[None])
    half = float(side[0]) * (0.5 + margin) * _REACH
    x0, y0 = np.floor(middle[0] - half).astype(int).tolist()
    return Square(x0, y0, int(np.ceil(2 * half)) + 1)


def reduction(box: Float[np.ndarray, "4"], margin: float, size: int) -> int:
    """By how much pixels may be averaged when they are kept, so that a crop of ``size`` loses nothing.

    Bounds the memory that faces take in frames of any resolution.
    """
    side = float(_squares(box[None])[1][0]) * (1 + 2 * margin)
    return max(1, int(side / (1.5 * size)))


@dataclass(frozen=True, slots=True)
class Patch:
    """Pixels kept of a frame, reduced; ``x0`` and ``y0`` count in reduced pixels."""

    pixels: UInt8[np.ndarray, "h w *c"]
    x0: int
    y0: int


def keep(picture: UInt8[np.ndarray, "h w *c"], square: Square, factor: int) -> Patch:
    """Copies the part of a frame that lies in a square, averaged over blocks of ``factor`` pixels.

    Blocks are aligned with the frame, not with the square, so that they are the same in every frame.
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
    """The crop out of what was kept; ``square`` counts in reduced pixels. Black beyond the frame's border."""
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
    """Scales a picture to a square with antialiasing: a triangle filter to make it smaller, a cubic one to enlarge it.

    Torch's filter, because OpenCV's area filter takes 1.6 ms for what this does in 0.4 (540 to 320 pixels).
    """
    if picture.shape[:2] == (size, size):
        return np.ascontiguousarray(picture)
    planes = torch.from_numpy(np.ascontiguousarray(picture)).reshape(*picture.shape[:2], -1).permute(2, 0, 1)[None]
    mode = "bilinear" if size < picture.shape[0] else "bicubic"
    scaled = functional.interpolate(planes, size=(size, size), mode=mode, antialias=True)
    return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy()).reshape(size, size, *picture.shape[2:])


def crop_from_frame(square: Square, factor: int, size: int) -> Float[Tensor, "2 3"]:
    """The affine map from pixels of the frame to pixels of the crop; middles of pixels are whole numbers."""
    scale = size / square.side
    # Frame to reduced pixels: x / factor + shift. Reduced pixels to crop: (x - x0 + 1/2) * scale - 1/2.
    shift = 0.5 / factor - 0.5
    rows = [[scale / factor, 0.0, 0.0], [0.0, scale / factor, 0.0]]
    for row, corner in zip(rows, (square.x0, square.y0), strict=True):
        row[2] = (shift - corner + 0.5) * scale - 0.5
    return torch.tensor(rows, dtype=torch.float64)


def _squares(boxes: Float[np.ndarray, "t 4"]) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
