"""The contract of a reader, the readers by name, and what ours have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Protocol, runtime_checkable

from mgst_data.core import FrameBatch, Registry
from mgst_data.video.batches import PictureSource, ahead, read_batches
from mgst_data.video.images import ImageSource, holds_images

MAX_BYTES = 88 * 2**20  # 14 frames of 1080p, 32 of 720p; a single one if it is larger


@runtime_checkable
class VideoReader(Protocol):
    """Anything that turns a video into batches of frames.

    A reader hands over every frame once, upright, in order of presentation, as it is displayed: pixels that the header
    says are not square (sample aspect ratio) become square by enlarging one side of the picture. A fake and its
    original that are stored alike come out at two sizes if only one of them carries such a header.
    """

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        """Reads a file, folder or URL in batches of at most ``size`` frames.

        Raises:
            VideoError: at the first batch if nothing can be read. A video that breaks later ends early, and the
                ``damage`` of its last batch says why.
        """
        ...


READERS: Registry[Callable[..., VideoReader]] = Registry("mgst_data.readers")


class SourceReader(ABC):
    """A reader over anything that opens as a source of pictures; still images are read by all of them alike.

    Args:
        threads: Threads that decode one video; 0 leaves the number to FFmpeg. With one thread, what comes out of a
            damaged stream is the same on every run.
        max_bytes: Limit of one batch; batches of large frames are shorter than asked for, but never empty. At most
            ``prefetch`` + 2 batches are in memory at a time.
        prefetch: Batches that are decoded ahead in a thread; 0 decodes when the batch is asked for.
    """

    def __init__(self, *, threads: int = 1, max_bytes: int = MAX_BYTES, prefetch: int = 2) -> None:
        self.threads = threads
        self.max_bytes = max_bytes
        self.prefetch = prefetch

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        """See :class:`VideoReader`."""
        return ahead(self._batches(path, size), self.prefetch)

    @abstractmethod
    def open_video(self, path: str) -> PictureSource:
        """Opens a video file or URL."""

    def _batches(self, path: str, size: int) -> Generator[FrameBatch, None, None]:
        with closing(ImageSource(path) if holds_images(path) else self.open_video(path)) as source:
            yield from read_batches(source, size=size, max_bytes=self.max_bytes)
