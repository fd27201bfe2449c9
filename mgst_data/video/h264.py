"""H.264: the stream of every file that is written here, and frames that go through encoder and decoder in memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from av import CodecContext
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

# ITU-T H.273: BT.709 for primaries, transfer and matrix.
_BT709 = 1
# Matrix and range that are written into the stream, and used in both directions: standard definition's.
_MATRIX, _RANGE = Colorspace.ITU601, ColorRange.MPEG
# Without the exact path, swscale takes up to two levels off a picture that goes there and back.
_SCALING = (
    Interpolation.AREA
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)


def add_h264_stream(
    out: OutputContainer, *, rate: Fraction | int, crf: int, preset: str, threads: int = 1, labelled: bool = True
) -> VideoStream:
    """Adds the video that all files here have: H.264 with half the chroma, as every browser plays it.

    Args:
        out: An opened file.
        rate: Frames per second.
        crf: Constant rate factor from 0 to 51; more is worse.
        preset: How hard x264 tries, by its own names.
        threads: Threads of the encoder; their number shows in the bytes. 0 takes as many as there are cores.
        labelled: Whether the stream says that its colours are BT.709, as :func:`as_yuv` makes them. Without a word on
            it, players guess by the size.
    """
    stream = out.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset})
    stream.pix_fmt, stream.thread_count = "yuv420p", threads
    if labelled:
        about = stream.codec_context
        about.colorspace = about.color_primaries = about.color_trc = _BT709
        about.color_range = ColorRange.MPEG
    return stream


def as_yuv(picture: UInt8[np.ndarray, "h w 3"]) -> VideoFrame:
    """An RGB picture as such a stream takes it."""
    # More threads would only wait for each other, and the encoder has the other cores.
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
    )


def encode_h264(
    frames: UInt8[Tensor, "t 3 h w"], crf: int, fps: float = 25.0, *, preset: str = "medium"
) -> UInt8[Tensor, "t 3 h w"]:
    """Encodes RGB frames with x264 as one video and decodes it again; no file is written.

    4:2:0, limited range, as nearly all videos are; one thread, so that the same frames always come back the same. Odd
    sides are extended by a row or a column, which is cut off again.

    Args:
        frames: On the CPU.
        crf: Constant rate factor from 0 to 51; more is worse. 0 loses nothing but chroma.
        fps: Frames per second; x264 spends less on frames that are shown for a shorter time.
        preset: How hard x264 tries, by its own names ("ultrafast" to "placebo").

    Returns:
        As many frames, in order.

    Raises:
        ValueError: for a rate factor or frame rate that does not exist.
        RuntimeError: if another number of frames comes back.
    """
    if not 0 <= crf <= 51:
        raise ValueError(f"crf is in [0, 51], not {crf}")
    if not fps > 0:
        raise ValueError(f"fps is above 0, not {fps}")
    if frames.numel() == 0:
        return frames.clone()
    h, w = frames.shape[-2:]
    # Replication wants floats; 8-bit levels are exact in them.
    even = functional.pad(frames.float(), (0, w % 2, 0, h % 2), mode="replicate").to(torch.uint8)
    packed = np.ascontiguousarray(even.permute(0, 2, 3, 1).numpy())
    decoded = [_rgb(frame) for frame in _through_codec(packed, crf, fps, preset)]
    if len(decoded) != len(frames):
        raise RuntimeError(f"{len(decoded)} of {len(frames)} frames came back from the codec")
    back = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    return back[..., :h, :w].contiguous()


def _through_codec(frames: UInt8[np.ndarray, "t h w 3"], crf: int, fps: float, preset: str) -> Iterator[VideoFrame]:
    """Decoded frames, as they come."""
    rate = Fraction(fps).limit_denominator(1001)
    encoder = CodecContext.create("libx264", "w")
    decoder = CodecContext.create("h264", "r")
    if not (isinstance(encoder, VideoCodecContext) and isinstance(decoder, VideoCodecContext)):
        raise TypeError("the codec is no video codec")
    encoder.height, encoder.width, encoder.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    encoder.colorspace, encoder.color_range = _MATRIX, _RANGE
    encoder.options = {"crf": str(crf), "preset": preset, **_steady()}
    encoder.thread_count = decoder.thread_count = 1
    for number, rgb in enumerate(frames):
        frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=_MATRIX, dst_color_range=_RANGE, interpolation=_SCALING, threads=1
        )
        frame.pts, frame.time_base = number, encoder.time_base
        for packet in encoder.encode(frame):
            yield from decoder.decode(packet)
    for packet in encoder.encode(None):
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _steady() -> dict[str, str]:
    """Keeps x264 off AVX-512, with which it encodes the same small frames differently from run to run.

    Seen at widths of 64, 224 and 320 pixels, not of 256, and only with its macroblock tree. Without AVX-512 it
    gives what its plain code gives, as fast for such sizes. x264 takes the name at its word, hence the question.
    """
    return {"x264-params": "asm=avx2"} if torch.backends.cpu.get_cpu_capability().startswith("AVX") else {}


def _rgb(frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    return frame.to_ndarray(
        format="rgb24",
        src_colorspace=_MATRIX,
        src_color_range=_RANGE,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SCALING,
        threads=1,
    )
