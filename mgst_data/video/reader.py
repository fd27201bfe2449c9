"""Interface of video readers, their registry, and the base class of the readers in this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Protocol, runtime_checkable

from mgst_data.core import FrameBatch, Registry
from mgst_data.video.batches import PictureSource, ahead, read_batches
from mgst_data.video.images import ImageSource, holds_images

MAX_BYTES = 88 * 2**20  # 14 frames of 1080p or 32 of 720p; a larger frame is a batch of its own


@runtime_checkable
class VideoReader(Protocol):
    """Interface of a reader: it reads a video in batches of frames.

    A reader returns every frame once, in order of presentation, upright, as it is displayed. If the header says that
    pixels are not square (sample aspect ratio), one side of the frame is enlarged so that they become square. A fake
    and its paired real video with the same stored size therefore get different sizes if only one of them has such a
    header.
    """

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        """Reads a video in batches of frames.

        Args:
            path: File, folder of images, or URL.
            size: Largest number of frames per batch.

        Raises:
            VideoError: at the first batch, if nothing can be read. If an error occurs later, the video ends early, and
                the ``damage`` of its last batch is the reason code.
        """
        ...


READERS: Registry[Callable[..., VideoReader]] = Registry("mgst_data.readers")


class SourceReader(ABC):
    """Base class of readers that open a video as a source of frames. Still images are read here, for all subclasses.

    Args:
        threads: Number of threads that decode one video; 0 lets FFmpeg choose. With one thread, the frames of a
            damaged stream are the same on every run.
        max_bytes: Largest number of bytes per batch. Batches of large frames have fewer frames than requested, but at
            least one. At most ``prefetch`` + 2 batches are in memory at the same time.
        prefetch: Number of batches that a thread decodes in advance; 0 decodes a batch when it is requested.
    """

    def __init__(self, *, threads: int = 1, max_bytes: int = MAX_BYTES, prefetch: int = 2) -> None:
        self.threads = threads
        self.max_bytes = max_bytes
        self.prefetch = prefetch

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        """Reads a video in batches of frames; see :class:`VideoReader`.

        Args:
            path: File, folder of images, or URL.
            size: Largest number of frames per batch.
        """
        return ahead(self._batches(path, size), self.prefetch)

    @abstractmethod
    def open_video(self, path: str) -> PictureSource:
        """Opens a video file or URL."""

    def _batches(self, path: str, size: int) -> Generator[FrameBatch, None, None]:
        with closing(ImageSource(path) if holds_images(path) else self.open_video(path)) as source:
            yield from read_batches(source, size=size, max_bytes=self.max_bytes)
