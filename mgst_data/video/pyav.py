"""Default video reader: PyAV, which includes its own FFmpeg."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mgst_data.core import VideoError
from mgst_data.core.locations import is_url
from mgst_data.video.batches import Picture
from mgst_data.video.damage import StreamHealth
from mgst_data.video.files import cannot_open, check_file, no_frame_decoded, no_video_stream, not_a_video, open_bytes
from mgst_data.video.picture import RGBConverter
from mgst_data.video.reader import READERS, SourceReader
from mgst_data.video.smear import SmearTracker


@READERS.register("pyav")
class PyAVReader(SourceReader):
    """Reads videos with PyAV and its bundled FFmpeg; the options are those of :class:`SourceReader`."""

    def open_video(self, path: str) -> PyAVSource:
        """Opens a video file or URL."""
        return PyAVSource(path, threads=self.threads)


class PyAVSource:
    """An open video: an iterator over its frames, with the damage found in its stream.

    Args:
        path: Path or URL of the video.
        threads: Number of decoder threads; 0 lets FFmpeg choose.

    Raises:
        VideoError: if nothing can be read. The reasons are missing, not_a_file, unreadable, empty_file, not_a_video,
            truncated, no_video_stream, no_frames and decode_error.
    """

    def __init__(self, path: str, *, threads: int) -> None:
        self._path = path
        with ExitStack() as stack:
            self._container = open_container(path, stack)
            self._stream = video_stream(self._container, path)
            self._resources = stack.pop_all()
        self._stream.thread_type = "AUTO"
        self._stream.thread_count = threads
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self._health = _announced(self._container, self._stream)
        self._smear = SmearTracker()

    def close(self) -> None:
        """Closes files and decoders."""
        self._resources.close()

    @property
    def damage(self) -> str:
        """Reason code of the damage; see :class:`mgst_data.video.damage.StreamHealth`."""
        return self._health.damage

    def __iter__(self) -> Iterator[Picture]:
        numbers = itertools.count()
        converter = RGBConverter(self._stream.sample_aspect_ratio)
        for frame, time, damaged in self._marked_frames():
            yield from (Picture(next(numbers), at, rgb, bad) for rgb, at, bad in converter.push(frame, time, damaged))
        yield from (Picture(next(numbers), at, rgb, bad) for rgb, at, bad in converter.flush())
        self._health.finished = True
        if self._health.frames == 0:
            raise no_frame_decoded(self._path, damaged=self._health.broken)

    def _marked_frames(self) -> Iterator[tuple[VideoFrame, float, bool]]:
        """Yields frames with their times, seconds, and whether they come from damaged data."""
        health, tick = self._health, float(self._stream.time_base or 0)
        clock = Clock(tick, self.fps, has_pts=self._container.format.name != "avi")
        for packet in self._packets():
            for frame in self._decode(packet):
                time = clock(frame)
                health.frames += 1
                health.broken |= frame.is_corrupt
                health.end = time + frame.duration * tick
                yield from self._smear.push(frame, time)
        yield from self._smear.flush()

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Yields all packets of the stream; if reading fails, None, which makes the decoder return its last frames."""
        packets, health = self._container.demux(self._stream), self._health
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):
                health.cut = True
                yield None
                return
            if packet is None:
                return
            if packet.size:
                health.packets += 1
                health.hidden += packet.is_discard
                health.cut = packet.is_corrupt  # the last packet decides: a truncated file ends in half a packet
                if packet.is_corrupt:
                    self._lose(packet)
            yield packet

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError:
            self._lose(packet)
            return []
        if packet is not None and not frames and self._stream.codec_context.name == "vp8":
            self._health.hidden += 1  # alternate reference frames of VP8 are never displayed
        return frames

    def _lose(self, packet: Packet[VideoStream] | None) -> None:
        """Records that a packet is damaged or cannot be decoded."""
        self._health.broken = True
        self._smear.lose(None if packet is None else packet.pts)


class Clock:
    """Computes presentation times, in seconds, that never decrease.

    A frame has two times: its own (pts) and that of its packet (dts). The one that has decreased less often so far is
    used, as in the tools of FFmpeg. If it is missing, the time is that of the previous frame plus one frame duration.

    Args:
        tick: Time unit of the frames, seconds.
        fps: Frames per second of the stream; 0 if unknown.
        has_pts: False for containers that store no presentation times; the pts of their B-frames are guesses.
    """

    def __init__(self, tick: float, fps: float, *, has_pts: bool) -> None:
        self._tick = tick
        self._step = 1 / fps if fps else 0.0
        self._last = -math.inf
        self._pts = self._dts = -(2**63)
        self._pts_faults, self._dts_faults = int(not has_pts), 0

    def __call__(self, frame: VideoFrame) -> float:
        """Returns the time of the next frame, seconds; frames are passed in output order."""
        if frame.pts is not None:
            self._pts_faults += frame.pts <= self._pts
            self._pts = frame.pts
        if frame.dts is not None:
            self._dts_faults += frame.dts <= self._dts
            self._dts = frame.dts
        trusted = frame.pts is not None and self._pts_faults <= self._dts_faults
        ticks = frame.pts if trusted else frame.dts
        time = max(self._last, -self._step) + self._step if ticks is None else ticks * self._tick
        self._last = max(self._last, time)
        return self._last


def open_container(path: str, stack: ExitStack) -> InputContainer:
    """Opens a video file or URL.

    Args:
        path: Path or URL of the video.
        stack: Closes the container.

    Raises:
        VideoError: if it is not a video, or cannot be read.
    """
    try:
        if is_url(path):
            file: BinaryIO | str = stack.enter_context(open_bytes(path))
        else:
            check_file(path)
            file = f"file:{path}"  # otherwise FFmpeg reads a name with a colon as a protocol
        return stack.enter_context(av.open(file, "r", metadata_errors="replace"))
    except (av.FFmpegError, OSError) as error:
        raise cannot_open(path, error) if is_url(path) and isinstance(error, OSError) else not_a_video(path) from error


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Returns the main video stream.

    Args:
        container: Open video.
        path: Path or URL of the video, for errors.

    Raises:
        VideoError: if it has no video stream, or there is no decoder for it.
    """
    # Cover pictures are stored as video streams, too.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        missing = no_video_stream(path)
        raise missing
    best = container.streams.best("video")
    stream = next((s for s in streams if s is best), streams[0])
    if not isinstance(stream.codec_context, CodecContext):
        raise VideoError(
            "no decoder for the video stream", where=path, hint="convert it to H.264", reason="decode_error"
        )
    return stream


def _announced(container: InputContainer, stream: VideoStream) -> StreamHealth:
    """Returns counters with the length of the stream from its header, if that length is reliable."""
    if stream.frames and "mp4" in container.format.name:
        return StreamHealth(promised=len(stream.index_entries), exact=True)  # the index has edit lists applied
    if stream.frames:
        return StreamHealth(promised=stream.frames)
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska
    return StreamHealth(seconds=int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) if tag else 0.0)
