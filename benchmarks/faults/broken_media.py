"""Broken videos and pictures, made from the demo data set."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from broken_bytes import mutate

# Format and codec of the videos.
FORMATS = {"mp4": "libx264", "avi": "mpeg4", "mkv": "libx264", "webm": "libvpx", "mov": "mpeg4"}
_FRAMES = 10


def read_frames(path: Path, count: int = _FRAMES) -> list[np.ndarray]:
    """Reads the first frames of a video."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [next(frames).to_ndarray(format="rgb24") for _ in range(count)]


def encode(frames: list[np.ndarray], suffix: str) -> bytes:
    """Encodes frames in a format."""
    out = io.BytesIO()
    with av.open(out, "w", format={"mkv": "matroska"}.get(suffix, suffix)) as container:
        stream = container.add_stream(FORMATS[suffix], rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        if suffix == "webm":
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def seeds(frames: list[np.ndarray]) -> dict[str, bytes]:
    """Encodes frames in all formats, and one of them as pictures.

    Args:
        frames: Frames with a face.

    Returns:
        Content by suffix.
    """
    videos = {suffix: encode(frames, suffix) for suffix in FORMATS}
    bgr = frames[0][..., ::-1]
    return videos | {suffix: cv2.imencode(f".{suffix}", bgr)[1].tobytes() for suffix in ("png", "jpg", "webp", "tif")}


def make(suffix: str, content: Mapping[str, bytes], draw: random.Random) -> tuple[str, bytes]:
    """Makes a broken video or picture.

    Args:
        suffix: Suffix of the file.
        content: Sound content, by suffix.
        draw: Generator.

    Returns:
        Name of the mutation, and the content.
    """
    special = {**(_OF_VIDEOS if suffix in FORMATS else {}), **_OF_FORMAT.get(suffix, {})}
    if special and draw.random() < 0.45:
        name = draw.choice(tuple(special))
        return name, special[name](content[suffix], draw)
    return mutate(content[suffix], draw)


def repack(
    data: bytes, draw: random.Random, change: Callable[[list[av.Packet], random.Random], list[av.Packet]]
) -> bytes:
    """Writes the packets of a video again, changed, as Matroska."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(out, "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(change(packets, draw)):
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 25)
            target.mux(packet)
    return out.getvalue()


def _repeated(packets: list[av.Packet], draw: random.Random) -> list[av.Packet]:
    return [packet for packet in packets for _ in range(draw.choice((1, 1, 2, 5)))]


def _shuffled(packets: list[av.Packet], draw: random.Random) -> list[av.Packet]:
    return draw.sample(packets, len(packets))


def _dropped(packets: list[av.Packet], draw: random.Random) -> list[av.Packet]:
    return [packet for packet in packets if draw.random() < 0.5] or packets[-1:]


def _patch(data: bytes, mark: bytes, offset: int, form: str, *values: int) -> bytes:
    """Writes integers at an offset behind every place of a mark."""
    changed, at = bytearray(data), data.find(mark)
    while at >= 0:
        size = struct.calcsize(form)
        if at + offset + size <= len(changed):
            struct.pack_into(form, changed, at + offset, *values)
        at = data.find(mark, at + 1)
    return bytes(changed)


def _mp4_size(data: bytes, draw: random.Random) -> bytes:
    """The size in the sample entry and in the track header."""
    side = draw.choice((0, 1, 65535, 32768))
    wide = _patch(data, draw.choice((b"avc1", b"mp4v")), 28, ">HH", side, 65535)
    return _patch(wide, b"tkhd", 4 + 76, ">II", side << 16, 0xFFFF0000)


def _mp4_times(data: bytes, draw: random.Random) -> bytes:
    """Durations without end: of the film, of the media, and of every frame."""
    endless = 0xFFFFFFFF
    data = _patch(data, b"mvhd", 4 + 12, ">II", draw.choice((1, 0, endless)), endless)
    data = _patch(data, b"mdhd", 4 + 12, ">II", draw.choice((1, 0, endless)), endless)
    return _patch(data, b"stts", 4 + 8, ">II", draw.choice((10, endless)), draw.choice((0, endless)))


def _mp4_count(data: bytes, draw: random.Random) -> bytes:
    """A table of sample sizes, or of chunks, that promises a thousand million entries."""
    billion = 10**9
    changed = _patch(data, b"stsz", 4 + 4, ">II", draw.choice((0, 1)), billion)
    return _patch(changed, draw.choice((b"stsc", b"stco", b"stts")), 4 + 4, ">I", billion)


def _avi_size(data: bytes, draw: random.Random) -> bytes:
    side = draw.choice((0, 1, 65535, 2**31 - 1))
    return _patch(_patch(data, b"strf", 8 + 4, "<ii", side, 65535), b"avih", 8 + 32, "<II", 65535, 65535)


def _avi_count(data: bytes, draw: random.Random) -> bytes:
    data = _patch(data, b"strh", 8 + 20, "<III", 1, draw.choice((0, 1, 2**32 - 1)), 0)
    return _patch(_patch(data, b"strh", 8 + 32, "<I", 10**9), b"avih", 8 + 16, "<I", 10**9)


def _mkv_size(data: bytes, draw: random.Random) -> bytes:
    """The elements PixelWidth and PixelHeight, whose values have two bytes."""
    for element in (b"\xb0\x82", b"\xba\x82"):
        data = _patch(data, element, 2, ">H", draw.choice((0, 1, 65535)))
    return data


def _mkv_times(data: bytes, draw: random.Random) -> bytes:
    """The scale of times, and the duration."""
    data = _patch(data, b"\x2a\xd7\xb1\x83", 4, ">BH", draw.choice((0, 255)), draw.choice((0, 65535)))
    return _patch(data, b"\x44\x89\x88", 3, ">II", draw.choice((0x7FF00000, 0x7E37E43C)), 0)


def _png(width: int, height: int, body: bytes) -> bytes:
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", body) + part(b"IEND", b"")


def _png_size(_: bytes, draw: random.Random) -> bytes:
    return _png(
        draw.choice((0, 1, 13000, 65535, 2**31 - 1)), draw.choice((1, 13000, 65535)), zlib.compress(bytes(1000))
    )


@cache
def _zeros(count: int) -> bytes:
    """Zeros, compressed a thousand times."""
    packer = zlib.compressobj(1)
    return (
        b"".join(packer.compress(bytes(2**20)) for _ in range(count >> 20))
        + packer.compress(bytes(count % 2**20))
        + packer.flush()
    )


def _png_bomb(_: bytes, draw: random.Random) -> bytes:
    """Few bytes that become many pixels; seldom below the limit of Pillow, because such pictures take seconds."""
    if draw.random() < 0.03:
        return _png(9000, 9000, _zeros(9000 * (3 * 9000 + 1)))
    return _png(draw.choice((14_000, 60_000)), 14_000, _zeros(10**8))


def _png_text(data: bytes, _: random.Random) -> bytes:
    """A compressed text of 100 MB before the pixels."""
    text = b"a\0\0" + _zeros(10**8)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    return data[:33] + chunk + data[33:]


def _jpg_size(data: bytes, draw: random.Random) -> bytes:
    return _patch(data, b"\xff\xc0", 5, ">HH", draw.choice((0, 1, 13000, 65535)), draw.choice((1, 13000, 65535)))


def _big_video(suffix: str) -> Callable[[bytes, random.Random], bytes]:
    """A real video of few bytes with large empty frames."""

    def make_one(_: bytes, draw: random.Random) -> bytes:
        side = draw.choice((4096, 8192))
        return encode([np.zeros((side // 2, side, 3), np.uint8)] * 2, suffix)

    return make_one


def _endless(data: bytes, draw: random.Random) -> bytes:
    """Thousands of frames from a few bytes."""
    return repack(data, draw, lambda packets, _: packets[:1] * 2000)


_OF_VIDEOS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "repeated packets": lambda data, draw: repack(data, draw, _repeated),
    "reordered packets": lambda data, draw: repack(data, draw, _shuffled),
    "lost packets": lambda data, draw: repack(data, draw, _dropped),
}
_OF_FORMAT: Mapping[str, Mapping[str, Callable[[bytes, random.Random], bytes]]] = {
    "mp4": {"hostile size": _mp4_size, "endless duration": _mp4_times, "10^9 frames": _mp4_count},
    "mov": {"hostile size": _mp4_size, "endless duration": _mp4_times, "10^9 frames": _mp4_count},
    "avi": {"hostile size": _avi_size, "10^9 frames": _avi_count},
    "mkv": {"hostile size": _mkv_size, "endless duration": _mkv_times},
    "webm": {"hostile size": _mkv_size, "endless duration": _mkv_times},
    "png": {"hostile size": _png_size, "zip bomb": _png_bomb, "zip bomb in a text": _png_text},
    "jpg": {"hostile size": _jpg_size},
}
# They take seconds each, so there are few of them.
RARE: Mapping[str, tuple[str, Callable[[bytes, random.Random], bytes]]] = {
    "large frames": ("mp4", _big_video("mp4")),
    "thousands of frames": ("mp4", _endless),
}
