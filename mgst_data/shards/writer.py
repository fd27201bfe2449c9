"""Writes one shard, and resumes a shard that an earlier run has begun."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mgst_data.core import OutputError
from mgst_data.shards import tar
from mgst_data.shards.progress import part_of, progress_of, read_progress
from mgst_data.shards.report import SampleSpan, ShardFile, ShardReport, VideoReport
from mgst_data.shards.schema import FaceChunk, encode_chunk, split_key
from mgst_data.shards.storage import output_errors, sync, write_atomic
from mgst_data.shards.store import ShardStore

_BLOCK = 1 << 20
# Written data survives the end of the process. To survive a power failure it must be synchronised to the disk, which
# takes 10 ms or more. After every video of one second, that would take a few per cent of the total time.
_SECONDS_BETWEEN_SYNCS = 5.0


class ShardWriter:
    """Writes the samples and the report of one shard.

    ``NAME.tar.part`` becomes ``NAME.tar`` when the block ends without an error. Then the report ``NAME.json``
    marks the shard as complete. A shard without samples has only a report. If the block raises, or the process ends,
    the finished videos are kept, and the next writer of the same videos continues after them. If no video was finished,
    no file is left. For example::

        with ShardWriter(folder, task.name, [record.key for record in task.records]) as shard:
            for record in task.records[len(shard.kept) :]:
                for chunk in extract(record):
                    shard.write(chunk)
                shard.end_video(VideoReport(...))
        shard.report

    Args:
        folder: Folder to write into: a path, a URL, or its store. A local folder must exist.
        name: Name of the shard.
        videos: Keys of its videos, in the order in which they will be written. Without keys, the shard is started again
            from the beginning.

    Attributes:
        kept: Reports of the videos that an earlier writer has finished.
        report: Report of the whole shard; available after the block.

    Raises:
        OutputError: from every method, if the disk is full or the folder is not writable; with the reason "locked" if
            another process writes this shard.
    """

    def __init__(self, folder: Path | str | ShardStore, name: str, videos: Sequence[str] = ()) -> None:
        self.report = ShardReport(name, ())
        self.kept: tuple[VideoReport, ...] = ()
        self._store = folder if isinstance(folder, ShardStore) else ShardStore.at(folder)
        self._folder, self._keys, self._name = self._store.workspace, tuple(videos), f"{name}.tar"
        self._part, self._progress = part_of(self._folder, name), progress_of(self._folder, name)
        self._videos: list[VideoReport] = []
        self._samples: list[SampleSpan] = []
        self._size = 0
        self._digest = hashlib.sha256()
        # End of the last finished video: number of samples, bytes and digest up to there.
        self._end = (0, 0, self._digest.copy())
        self._seconds, self._began = 0.0, time.perf_counter()
        self._synced = self._began
        self._complete = False

    def __enter__(self) -> ShardWriter:
        with output_errors(self._part):
            if self._store.remote:  # made here, because a worker may be on another machine
                self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("ab")
            try:
                self._lock()
                self._take_up()
                self._log = self._progress.open("ab")
            except BaseException:
                self._file.close()
                raise
        return self

    def _lock(self) -> None:
        """Locks the part, so that a process of an earlier (for example killed) run cannot still write this shard.

        Raises:
            OutputError: if another process writes this shard.
        """
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "a process of an earlier run still writes this shard"
            hint = "wait until that process ends, or end it; then run the same command again"
            raise OutputError(what, where=self._part, hint=hint, reason="locked") from error
        except OSError:
            pass  # a file system without locks: the lock of the folder has already warned of that

    def _take_up(self) -> None:
        """Continues after the finished videos whose digest matches, and deletes all data after them."""
        lines = []
        with self._part.open("rb") as part:
            for line in read_progress(self._folder, self.report.name, self._keys):
                (file,) = line.files
                while self._size < file.bytes and (block := part.read(min(_BLOCK, file.bytes - self._size))):
                    self._digest.update(block)
                    self._size += len(block)
                if self._digest.hexdigest() != file.sha256:
                    break
                self._samples += line.samples
                self._add(line)
                lines.append(line.to_json(indent=None))
        self.kept = tuple(self._videos)
        self._take_back()
        if lines:
            write_atomic(self._progress, b"".join(lines))
        else:
            self._progress.unlink(missing_ok=True)

    def _add(self, line: ShardReport) -> None:
        self._videos += line.videos
        self._seconds += line.seconds
        self._end = (len(self._samples), self._size, self._digest.copy())

    def _take_back(self) -> None:
        count, self._size, digest = self._end
        self._digest = digest.copy()
        del self._samples[count:]
        self._file.flush()
        if os.fstat(self._file.fileno()).st_size > self._size:
            os.truncate(self._file.fileno(), self._size)

    def write(self, chunk: FaceChunk) -> None:
        """Appends a chunk of the current video."""
        data = b"".join(tar.pack(f"{chunk.key}.{name}", member) for name, member in encode_chunk(chunk).items())
        with output_errors(self._part):
            self._file.write(data)
        self._digest.update(data)
        fakes = int(chunk.fake_frames.sum())
        self._samples.append(SampleSpan(chunk.key, self._size, len(data), len(chunk), fakes))
        self._size += len(data)

    def end_video(self, video: VideoReport) -> None:
        """Finishes the current video. From now on it is kept; if it was skipped, its chunks are removed.

        Args:
            video: Report of the video.

        Raises:
            ValueError: if the report does not agree with the written chunks.
        """
        if video.skipped:
            with output_errors(self._part):
                self._take_back()
        samples = tuple(self._samples[self._end[0] :])
        images = sum(sample.frames for sample in samples)
        if (video.chunks, video.images) != (len(samples), images):
            raise ValueError(
                f"{video.key}: the report has {video.chunks} chunks and {video.images} images, "
                f"but {len(samples)} chunks and {images} images were written"
            )
        if any(split_key(sample.key)[0] != video.key for sample in samples):
            raise ValueError(f"{video.key}: a chunk of another video was written before the end of this video")
        file = ShardFile(self._part.name, self._size, self._digest.hexdigest())
        line = ShardReport(self.report.name, (video,), samples, (file,), self._lap())
        with output_errors(self._part):
            self._file.flush()
            self._log.write(line.to_json(indent=None))
            self._log.flush()
            if self._began - self._synced >= _SECONDS_BETWEEN_SYNCS:
                sync(self._file)
                sync(self._log)
                self._synced = self._began
        self._add(line)

    def _lap(self) -> float:
        """Returns the seconds since the last call."""
        began, self._began = self._began, time.perf_counter()
        return self._began - began

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            # A file that cannot be flushed cannot be closed either. The original error is already being raised.
            for file in (self._log, self._file):
                with suppress(OSError):
                    file.close()
            with suppress(OSError):
                if self._complete or not self._videos:
                    self._part.unlink(missing_ok=True)
                    self._progress.unlink(missing_ok=True)
                else:
                    os.truncate(self._part, self._end[1])  # fails if the disk is full

    def _finish(self) -> None:
        if len(self._samples) > self._end[0]:
            raise ValueError(f"{self._samples[-1].key}: end_video() was not called for the video of this chunk")
        files: tuple[ShardFile, ...] = ()
        if self._samples:
            with output_errors(self._part):
                self._file.write(tar.END)
                sync(self._file)
            self._digest.update(tar.END)
            files = (ShardFile(self._name, self._size + len(tar.END), self._digest.hexdigest()),)
        seconds = self._seconds + self._lap()
        self.report = ShardReport(self.report.name, tuple(self._videos), tuple(self._samples), files, seconds)
        try:
            if files:
                self._store.publish(self._part, self._name)
            else:
                self._store.remove(self._name)  # may exist from an interrupted run
            self._store.write(f"{self.report.name}.json", self.report.to_json())
        except BaseException:
            if not self._part.exists():
                # Without a report the shard is incomplete: keep its videos.
                (self._folder / self._name).replace(self._part)
            raise
        self._complete = True
