"""Pictures as a video that any player shows, written while they are made: none is kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from jaxtyping import UInt8

from mgst_data.core import OutputError
from mgst_data.shards.storage import output_errors
from mgst_data.video.h264 import add_h264_stream, as_yuv

# Ticks of a second that times are written in: what MPEG uses.
_CLOCK = 90_000


def write_video(
    path: Path,
    pictures: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    *,
    fps: float,
    quality: int = 22,
    threads: int = 0,
) -> int:
    """Writes an MP4 of H.264 with half the chroma, as every browser plays it; a file that is not whole is removed.

    Args:
        path: Of the file.
        pictures: When each is shown, seconds, and the picture: RGB, all of one size, even sides.
        fps: About how many there are in a second; the times are those of the pictures.
        quality: Constant rate factor: lower is better, 0 to 51.
        threads: Of the encoder; 0 takes as many as there are cores.

    Returns:
        How many pictures were written.

    Raises:
        OutputError: if the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with output_errors(path):
            with av.open(f"file:{part}", "w", format="mp4", options={"movflags": "+faststart"}) as out:
                count = _write(out, pictures, fps, quality, threads, "ultrafast")
            part.replace(path)
    except av.FFmpegError as error:
        raise OutputError(str(error), where=path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count


def encode_video(pictures: Iterable[UInt8[np.ndarray, "h w 3"]], *, fps: int, quality: int = 14) -> bytes:
    """The same in memory, at a steady rate; equal pictures give equal bytes.

    Args:
        pictures: RGB, all of one size; an odd side loses its last pixel.
        fps: Pictures per second.
        quality: Constant rate factor: lower is better, 0 to 51.

    Raises:
        ValueError: if there is no picture.
    """
    even = (picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2] for picture in pictures)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        if not _write(out, ((i / fps, picture) for i, picture in enumerate(even)), fps, quality, 1, "veryfast"):
            raise ValueError("a video has at least one picture")
    return file.getvalue()


def _write(
    out: OutputContainer,
    pictures: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    fps: float,
    quality: int,
    threads: int,
    preset: str,
) -> int:
    count, began, last = 0, 0.0, -1
    rate = Fraction(fps).limit_denominator(1001)
    stream = add_h264_stream(out, rate=rate, crf=quality, preset=preset, threads=threads)
    stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
    for time, picture in pictures:
        if not count:
            stream.height, stream.width, began = *picture.shape[:2], time
        # Two pictures at one time would end the file.
        last = max(last + 1, round((time - began) * _CLOCK))
        frame = as_yuv(picture)
        frame.pts, frame.time_base = last, Fraction(1, _CLOCK)
        out.mux(stream.encode(frame))
        count += 1
    if count:
        out.mux(stream.encode(None))
    return count
