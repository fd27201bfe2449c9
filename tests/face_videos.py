"""Tiny videos of the portrait of scikit-image, and videos without a face."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.data import astronaut

FACE = (slice(20, 260), slice(100, 340))  # rows and columns of the head in the picture


@cache
def head(side: int) -> np.ndarray:
    """Returns a square picture of the head; the side of the face box is about 40 % of its side."""
    return cv2.resize(np.ascontiguousarray(astronaut()[FACE]), (side, side), interpolation=cv2.INTER_AREA)


def faces(
    count: int, *places: tuple[int, int], size: tuple[int, int] = (240, 240), side: int = 200
) -> list[np.ndarray]:
    """Makes frames with the head at the given positions (x and y of its upper left corner), with a small nod."""
    return [_frame(n, places or ((20, 20),), size, side) for n in range(count)]


def _frame(n: int, places: Iterable[tuple[int, int]], size: tuple[int, int], side: int) -> np.ndarray:
    width, height = size
    canvas = np.full((height + 2 * side, width + 2 * side, 3), 90, np.uint8)
    for x, y in places:
        top, left = y + side + round(2 * np.sin(n / 3)), x + side
        canvas[top : top + side, left : left + side] = head(side)
    return canvas[side : side + height, side : side + width]


def empty_rooms(count: int, *, size: tuple[int, int] = (240, 240)) -> list[np.ndarray]:
    """Makes frames with a gradient and no face."""
    row = np.linspace(40, 200, size[0])[None, :, None]
    return [np.broadcast_to(row + n, (size[1], size[0], 3)).astype(np.uint8) for n in range(count)]


def encode(path: Path | str | bytes, frames: list[np.ndarray], *, codec: str = "libx264", front: bool = False) -> Path:
    """Writes frames at 25 per second; ``front`` writes the index of an MP4 file before its frames."""
    with av.open("file:" + str(path), "w", options={"movflags": "+faststart"} if front else {}) as out:
        stream = out.add_stream(codec, rate=25, options={"crf": "20", "g": "10"} if codec == "libx264" else {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode(None))
    return Path(path)
