"""Encodes pictures as an H.264 video while they are made, without keeping them in memory."""

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

# Ticks per second of the time stamps, as in MPEG.
_CLOCK = 90_000


def write_video(
    path: Path,
    pictures: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    *,
    fps: float,
    quality: int = 22,
    threads: int = 0,
) -> int:
    """Writes an MP4 file with H.264 video and 4:2:0 chroma, which every browser plays.

    Args:
        path: File to write.
        pictures: Presentation time (seconds) and RGB picture; all pictures have the same size, with even sides.
        fps: Approximate frame rate, frames per second. The presentation times set the exact timing.
        quality: Constant rate factor, 0 to 51; lower is better.
        threads: Number of threads of the encoder; 0 uses one per core.

    Returns:
        The number of written pictures.

    Raises:
        OutputError: if the file cannot be written. Then no partial file is left.
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
    """Encodes an MP4 file in memory, at a constant frame rate. Equal pictures give a bit-identical file.

    Args:
        pictures: RGB pictures of the same size; an odd side loses its last pixel.
        fps: Frame rate, frames per second.
        quality: Constant rate factor, 0 to 51; lower is better.

    Raises:
        ValueError: if there is no picture.
    """
    even = (picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2] for picture in pictures)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        if not _write(out, ((i / fps, picture) for i, picture in enumerate(even)), fps, quality, 1, "veryfast"):
            raise ValueError("pictures must contain at least one picture")
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
        # Times must ascend: FFmpeg fails for two pictures with the same time.
        last = max(last + 1, round((time - began) * _CLOCK))
        frame = as_yuv(picture)
        frame.pts, frame.time_base = last, Fraction(1, _CLOCK)
        out.mux(stream.encode(frame))
        count += 1
    if count:
        out.mux(stream.encode(None))
    return count
