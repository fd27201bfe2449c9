"""H.264: the video stream of all files that this project writes, and in-memory compression of frames."""

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
# Matrix and range of standard definition. They are written into the stream and used for encoding and decoding.
_MATRIX, _RANGE = Colorspace.ITU601, ColorRange.MPEG
# Without these flags, swscale changes a picture by up to two levels when it is converted to YUV and back.
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
    """Adds an H.264 stream with 4:2:0 chroma subsampling, which every browser plays.

    Args:
        out: Open output file.
        rate: Frames per second.
        crf: Constant rate factor, [0, 51]; higher values give lower quality.
        preset: Speed preset of x264 ("ultrafast" to "placebo").
        threads: Number of encoder threads; the encoded bytes depend on it. 0 uses one thread per core.
        labelled: Whether the stream names BT.709 as its colour space, which :func:`as_yuv` produces. Without this
            label, players guess the colour space from the picture size.

    Returns:
        The new stream; width and height are not set.
    """
    stream = out.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": preset})
    stream.pix_fmt, stream.thread_count = "yuv420p", threads
    if labelled:
        about = stream.codec_context
        about.colorspace = about.color_primaries = about.color_trc = _BT709
        about.color_range = ColorRange.MPEG
    return stream


def as_yuv(picture: UInt8[np.ndarray, "h w 3"]) -> VideoFrame:
    """Converts an RGB picture to the YUV format of a stream from :func:`add_h264_stream`."""
    # More threads would wait for each other, and the encoder uses the other cores.
    return VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
    )


def encode_h264(
    frames: UInt8[Tensor, "t 3 h w"], crf: int, fps: float = 25.0, *, preset: str = "medium"
) -> UInt8[Tensor, "t 3 h w"]:
    """Encodes RGB frames with x264 as one video and decodes it again; no file is written.

    The video has 4:2:0 chroma subsampling and limited range, as nearly all videos. Encoder and decoder use one thread
    each, so that the result is deterministic. If height or width is odd, one row or column is added for the codec and
    removed again.

    Args:
        frames: RGB frames on the CPU, [0, 255].
        crf: Constant rate factor, [0, 51]; higher values give lower quality. 0 loses only chroma.
        fps: Frames per second, above 0; x264 uses fewer bits for frames with a shorter duration.
        preset: Speed preset of x264 ("ultrafast" to "placebo").

    Returns:
        The decoded frames: same number, order and size as ``frames``.

    Raises:
        ValueError: if ``crf`` or ``fps`` is out of range.
        RuntimeError: if the decoder returns another number of frames.
    """
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be in [0, 51], got {crf}")
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps}")
    if frames.numel() == 0:
        return frames.clone()
    h, w = frames.shape[-2:]
    # Replication padding needs floats, which represent 8-bit levels exactly.
    even = functional.pad(frames.float(), (0, w % 2, 0, h % 2), mode="replicate").to(torch.uint8)
    packed = np.ascontiguousarray(even.permute(0, 2, 3, 1).numpy())
    decoded = [_rgb(frame) for frame in _through_codec(packed, crf, fps, preset)]
    if len(decoded) != len(frames):
        raise RuntimeError(f"the codec returned {len(decoded)} of {len(frames)} frames")
    back = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)
    return back[..., :h, :w].contiguous()


def _through_codec(frames: UInt8[np.ndarray, "t h w 3"], crf: int, fps: float, preset: str) -> Iterator[VideoFrame]:
    """Yields the decoded frames.

    Raises:
        TypeError: if PyAV returns a codec that is not a video codec.
    """
    rate = Fraction(fps).limit_denominator(1001)
    encoder = CodecContext.create("libx264", "w")
    decoder = CodecContext.create("h264", "r")
    if not (isinstance(encoder, VideoCodecContext) and isinstance(decoder, VideoCodecContext)):
        raise TypeError("libx264 or h264 is not a video codec in this build of FFmpeg; reinstall PyAV")
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
    """Returns the x264 option that disables AVX-512, with which x264 is not deterministic for small frames.

    The difference between runs was seen at widths of 64, 224 and 320 pixels, not at 256, and only with the macroblock
    tree of x264. Without AVX-512, the result equals that of the code without SIMD instructions, and the speed is the
    same for such sizes. x264 does not check whether the CPU has AVX2, so this function checks it.
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
