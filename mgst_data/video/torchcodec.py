"""Second video reader: torchcodec, which uses the FFmpeg libraries of the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from mgst_data.core import UsageError
from mgst_data.video.batches import Picture
from mgst_data.video.damage import StreamHealth
from mgst_data.video.files import no_frame_decoded, no_video_stream, not_a_video, open_bytes
from mgst_data.video.picture import square_size
from mgst_data.video.reader import MAX_BYTES, READERS, SourceReader

BLOCK_BYTES = 32 * 2**20  # bytes decoded per call


@READERS.register("torchcodec")
class TorchCodecReader(SourceReader):
    """Reads videos with torchcodec; the options are those of :class:`SourceReader`.

    swscale chooses colour matrix and range: BT.601 if the stream names no matrix. Interlaced frames are not
    deinterlaced. Torchcodec does not provide the damage flags of FFmpeg, so that no frame is marked as damaged.

    Args:
        threads: Number of threads that decode one video; 0 lets FFmpeg choose.
        max_bytes: Largest number of bytes per batch.
        prefetch: Number of batches that a thread decodes in advance; 0 decodes a batch when it is requested.

    Raises:
        UsageError: if torchcodec or the FFmpeg libraries that it needs are missing.
    """

    def __init__(self, *, threads: int = 1, max_bytes: int = MAX_BYTES, prefetch: int = 2) -> None:
        _decoder_class()
        super().__init__(threads=threads, max_bytes=max_bytes, prefetch=prefetch)

    def open_video(self, path: str) -> TorchCodecSource:
        """Opens a video file or URL."""
        return TorchCodecSource(path, threads=self.threads)


class TorchCodecSource:
    """An open video: an iterator over its frames, with the damage found in its stream.

    Args:
        path: Path or URL of the video.
        threads: Number of decoder threads; 0 lets FFmpeg choose.

    Raises:
        VideoError: if nothing can be read; see :class:`mgst_data.video.pyav.PyAVSource`.
    """

    def __init__(self, path: str, *, threads: int) -> None:
        self._path = path
        with ExitStack() as stack:
            self._decoder = _open(path, threads, stack)
            self._resources = stack.pop_all()
        about = self._decoder.metadata
        self.fps = float(about.average_fps_from_header or about.average_fps or 0)
        self._aspect = _upright_aspect(about.pixel_aspect_ratio, about.rotation)
        self._block = max(1, min(8, BLOCK_BYTES // (3 * about.height * about.width)))
        # Packet counts in headers include packets that an edit list hides, so only the duration can be compared.
        self._health = StreamHealth(
            seconds=(about.begin_stream_seconds_from_header or 0.0) + (about.duration_seconds_from_header or 0.0),
            packets=len(self._decoder),
            end=about.end_stream_seconds_from_content or 0.0,
        )

    def close(self) -> None:
        """Closes files and decoders."""
        self._resources.close()

    @property
    def damage(self) -> str:
        """Reason code of the damage; see :class:`mgst_data.video.damage.StreamHealth`."""
        return self._health.damage

    def __iter__(self) -> Iterator[Picture]:
        total, index = len(self._decoder), 0
        for start in range(0, total, self._block):
            for frames in self._decode(start, min(start + self._block, total)):
                for rgb, pts in zip(frames.data, frames.pts_seconds.tolist(), strict=True):
                    yield Picture(index, pts, _in_square_pixels(rgb.numpy(), self._aspect))
                    index += 1
                self._health.frames = index
        self._health.finished = True
        if index == 0:
            raise no_frame_decoded(self._path, damaged=self._health.broken)

    def _decode(self, start: int, stop: int) -> Iterator[Any]:
        try:
            yield self._decoder.get_frames_in_range(start, stop)
        except RuntimeError:
            if stop - start == 1:
                self._health.broken = True
                return
            middle = (start + stop) // 2  # bisects, so that only the damaged frames are left out
            yield from self._decode(start, middle)
            yield from self._decode(middle, stop)


def _open(path: str, threads: int, stack: ExitStack) -> Any:
    # An open file, because torchcodec expects file names in UTF-8 and reads a colon in them as a protocol.
    source = stack.enter_context(open_bytes(path))
    try:
        return _decoder_class()(source, dimension_order="NHWC", num_ffmpeg_threads=threads, seek_mode="exact")
    except ValueError as error:
        raise no_video_stream(path) from error
    except RuntimeError as error:
        raise not_a_video(path) from error


def _upright_aspect(aspect: Fraction | None, rotation: float | None) -> Fraction | None:
    """Returns the pixel aspect ratio, width by height, after the rotation that torchcodec applies."""
    return 1 / aspect if aspect and rotation and round(rotation / 90) % 2 else aspect


def _in_square_pixels(rgb: UInt8[np.ndarray, "h w 3"], aspect: Fraction | None) -> UInt8[np.ndarray, "y x 3"]:
    size = square_size(rgb.shape[1], rgb.shape[0], aspect)
    return rgb if size == rgb.shape[1::-1] else np.asarray(cv2.resize(rgb, size), np.uint8)


def _decoder_class() -> Any:
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError and OSError: FFmpeg libraries are missing
        raise UsageError(
            "torchcodec cannot be loaded",
            where="reader torchcodec",
            hint="pip install 'mgst[torchcodec]' and install FFmpeg (apt install ffmpeg, conda install ffmpeg)",
        ) from error
    return VideoDecoder
