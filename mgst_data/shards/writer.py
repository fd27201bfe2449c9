"""Writes one shard: whole, or not at all."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mgst_data.shards import tar
from mgst_data.shards.report import SampleSpan, ShardFile, ShardReport, VideoReport
from mgst_data.shards.schema import FaceChunk, encode_chunk, split_key
from mgst_data.shards.storage import PART, output_errors, publish, sync, write_atomic


class ShardWriter:
    """A shard being written.

    ``NAME.tar.part`` becomes ``NAME.tar`` when the block ends well; then the report ``NAME.json`` marks the shard as
    complete. If the block raises, nothing stays. A shard without samples is a report alone.

        with ShardWriter(folder, task.name) as shard:
            for record in task.records:
                for chunk in extract(record):
                    shard.write(chunk)
                shard.end_video(VideoReport(...))
        shard.report

    Args:
        folder: Where to write; it exists.
        name: Name of the shard.

    Raises:
        OutputError: from every method, if the disk is full or the folder not writable.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.report = ShardReport(name, ())
        self._path = folder / f"{name}.tar"
        self._part = folder / f"{name}.tar{PART}"
        self._videos: list[VideoReport] = []
        self._samples: list[SampleSpan] = []
        self._size = 0
        self._digest = hashlib.sha256()
        # Where the current video began: samples before it, and the digest up to it.
        self._kept, self._kept_digest = 0, self._digest.copy()
        self._began = time.perf_counter()

    def __enter__(self) -> ShardWriter:
        with output_errors(self._path):
            self._file = self._part.open("wb")
        return self

    def write(self, chunk: FaceChunk) -> None:
        """Adds a chunk of the current video."""
        data = b"".join(tar.pack(f"{chunk.key}.{name}", member) for name, member in encode_chunk(chunk).items())
        with output_errors(self._path):
            self._file.write(data)
        self._digest.update(data)
        self._samples.append(SampleSpan(chunk.key, self._size, len(data), len(chunk)))
        self._size += len(data)

    def end_video(self, video: VideoReport) -> None:
        """Closes the current video; if it was skipped, takes back what had been written of it.

        Raises:
            ValueError: if the report does not agree with the chunks written.
        """
        if video.skipped:
            self._take_back()
        samples = self._samples[self._kept :]
        images = sum(sample.frames for sample in samples)
        if (video.chunks, video.images) != (len(samples), images):
            raise ValueError(
                f"{video.key} reports {video.chunks} chunks and {video.images} images, "
                f"but {len(samples)} and {images} were written"
            )
        if any(split_key(sample.key)[0] != video.key for sample in samples):
            raise ValueError(f"a chunk of another video was written as one of {video.key}")
        self._videos.append(video)
        self._kept, self._kept_digest = len(self._samples), self._digest.copy()

    def _take_back(self) -> None:
        if len(self._samples) > self._kept:
            self._size = self._samples[self._kept].offset
            with output_errors(self._path):
                self._file.seek(self._size)
                self._file.truncate()
        del self._samples[self._kept :]
        self._digest = self._kept_digest.copy()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            # A file that cannot be flushed cannot be closed either; the error worth showing is under way already.
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        if len(self._samples) > self._kept:
            raise ValueError(f"the video of {self._samples[-1].key} was not ended")
        files: tuple[ShardFile, ...] = ()
        with output_errors(self._path):
            if self._samples:
                self._file.write(tar.END)
                self._digest.update(tar.END)
                sync(self._file)
                publish(self._part, self._path)
                files = (ShardFile(self._path.name, self._size + len(tar.END), self._digest.hexdigest()),)
            else:
                self._path.unlink(missing_ok=True)  # of an earlier run that was interrupted
        seconds = time.perf_counter() - self._began
        self.report = ShardReport(self.report.name, tuple(self._videos), tuple(self._samples), files, seconds)
        write_atomic(self._path.with_suffix(".json"), self.report.to_json())
