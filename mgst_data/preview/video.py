"""Pictures as a video that any player shows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import chain

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8

# ITU-T H.273: BT.709 for primaries, transfer and matrix. Without a word on it, players guess by the size.
_BT709 = 1


def encode_video(pictures: Iterable[UInt8[np.ndarray, "h w 3"]], *, fps: int, quality: int = 14) -> bytes:
    """Encodes an MP4 of H.264 with half the chroma, as every browser plays it; equal pictures give equal bytes.

    Args:
        pictures: RGB, all of one size; an odd side loses its last pixel.
        fps: Pictures per second.
        quality: Constant rate factor: lower is better, 0 to 51.

    Raises:
        ValueError: if there is no picture.
    """
    remaining = iter(pictures)
    first = next(remaining, None)
    if first is None:
        raise ValueError("a video has at least one picture")
    height, width = (side - side % 2 for side in first.shape[:2])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": str(quality), "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.thread_count = 1  # the number of threads shows in the bytes
        about = stream.codec_context
        about.colorspace = about.color_primaries = about.color_trc = _BT709
        about.color_range = ColorRange.MPEG
        for picture in chain((first,), remaining):
            even = np.ascontiguousarray(picture[:height, :width])
            frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()
