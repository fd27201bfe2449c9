"""Writes small videos for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream


def plain_frames(count: int, *, width: int = 64, height: int = 48) -> list[av.VideoFrame]:
    """Yields grey frames with brightness 10 + 8 n, which identifies the frame number n."""
    return [
        av.VideoFrame.from_ndarray(np.full((height, width, 3), 10 + 8 * n, np.uint8), format="rgb24")
        for n in range(count)
    ]


def textured_frames(count: int, *, width: int = 64, height: int = 48) -> list[av.VideoFrame]:
    """Yields frames of changing noise, whose packets are large enough to be damaged individually."""
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 255, (height, width, 3), np.uint8) for _ in range(count))
    return [av.VideoFrame.from_ndarray(rgb, format="rgb24") for rgb in noise]


def drifting_frames(count: int, *, width: int = 96, height: int = 64) -> list[av.VideoFrame]:
    """Yields a blurred pattern that moves by two pixels per frame; frames predicted from a damaged one show damage."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    pattern = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    shifted = (np.ascontiguousarray(np.roll(pattern, 2 * n, axis=1)) for n in range(count))
    return [av.VideoFrame.from_ndarray(rgb, format="rgb24") for rgb in shifted]


def encode(
    path: Path,
    frames: Iterable[av.VideoFrame],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    ticks: Iterable[int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    setup: Callable[[VideoStream], Any] = lambda stream: None,
) -> str:
    """Writes frames to a file; ``ticks`` are their times in milliseconds, ``setup`` configures the stream."""
    frames = list(frames)
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        times = [n * 1000 // rate for n in range(len(frames))] if ticks is None else list(ticks)
        stream.codec_context.time_base = Fraction(1, 1000) if codec != "mpeg4" else Fraction(1, rate)
        setup(stream)
        for n, (frame, time) in enumerate(zip(frames, times, strict=True)):
            frame.pts = time if codec != "mpeg4" else n
            frame.time_base = stream.codec_context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return str(path)
