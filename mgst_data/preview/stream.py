"""A video that is written while its pictures are made: none is kept."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

from mgst_data.core import OutputError
from mgst_data.shards.storage import output_errors

# Ticks of a second that times are written in: what MPEG uses.
_CLOCK = 90_000
# ITU-T H.273: BT.709 for primaries, transfer and matrix. Without a word on it, players guess by the size.
_BT709 = 1


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
            count = _write(part, pictures, fps, quality, threads)
            part.replace(path)
    except av.FFmpegError as error:
        raise OutputError(str(error), where=path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count


def _write(
    path: Path,
    pictures: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    fps: float,
    quality: int,
    threads: int,
) -> int:
    count, began, last = 0, 0.0, -1
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as out:
        rate = Fraction(fps).limit_denominator(1001)
        stream = out.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "ultrafast"})
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, _CLOCK)
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        stream.thread_count = threads
        about = stream.codec_context
        about.colorspace = about.color_primaries = about.color_trc = _BT709
        about.color_range = ColorRange.MPEG
        for time, picture in pictures:
            if not count:
                stream.height, stream.width, began = *picture.shape[:2], time
            # More threads would only wait for each other, and the encoder has the other cores.
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
            )
            # Two pictures at one time would end the file.
            last = max(last + 1, round((time - began) * _CLOCK))
            frame.pts, frame.time_base = last, Fraction(1, _CLOCK)
            out.mux(stream.encode(frame))
            count += 1
        if count:
            out.mux(stream.encode(None))
    return count
