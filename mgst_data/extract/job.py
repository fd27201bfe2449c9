"""The unit of work of an extraction: makes one shard from its videos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

import cv2
import torch

from mgst_data.core import MgstError, OutputError, UsageError, VideoRecord
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.extract.executors import Event, Loss, Opening
from mgst_data.extract.executors.accidents import DIED, LOSSES, OUT_OF_MEMORY, TIMEOUT
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extraction, Extractor
from mgst_data.extract.remote import Copies
from mgst_data.extract.stills import BLOCK, StillBatch, StillExtraction, is_still
from mgst_data.shards import ShardStore, ShardTask, ShardWriter, VideoReport
from mgst_data.shards.storage import COPIES

# Reason code and message of a skipped video; None for a video without a fault.
_Fault = tuple[str, str] | None
# What to do about a video that has ended its worker processes, by reason code.
_HINTS = {
    DIED: "it crashes the decoder or needs too much memory; try --retry-skipped with fewer --workers",
    TIMEOUT: "check the file, or give --video-timeout more seconds and --retry-skipped timeout",
    OUT_OF_MEMORY: "check the file, or use a larger --worker-memory with --retry-skipped out_of_memory",
}


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Makes shards, one task after another. It can be sent to another process.

    A video that cannot be used is skipped, with the reason in its report. An error that concerns all videos (the output
    cannot be written, an option is invalid) is raised. An unfinished task continues after its last finished video.

    Attributes:
        config: Configuration of the extraction.
        store: Folder of shards to write into.
        device: Device of the networks.
        debug: Whether unexpected errors are raised. Otherwise the video is skipped.
    """

    config: ExtractConfig
    store: ShardStore
    device: str = "cpu"
    debug: bool = False

    def __call__(self, task: ShardTask, lost: Mapping[str, Loss]) -> Iterator[Event]:
        """Makes the shard of a task, as :class:`mgst_data.extract.executors.Work` describes.

        Args:
            task: Videos of the shard.
            lost: Videos to skip because they have ended their worker processes, by key.
        """
        with _reproducibly():
            extractor = _load(self.config, self.device)
            with (
                ShardWriter(self.store, task.name, [record.key for record in task.records]) as shard,
                Copies(self.store.workspace / f"{task.name}.{COPIES}") as copies,
            ):
                yield from shard.kept
                kept = {video.key for video in shard.kept}
                for block in _blocks(task.records):
                    if kept.issuperset(record.key for record in block):
                        continue
                    if is_still(block[0]):
                        yield from self._stills(extractor, block, shard, lost, copies)
                    else:
                        yield Opening(block[0].key)
                        record, fault = self._fetched(block[0], lost, copies)
                        yield self._finish(shard, record, None if fault else extractor(record), fault)
                    copies.clear()
        yield shard.report

    def _fetched(self, record: VideoRecord, lost: Mapping[str, Loss], copies: Copies) -> tuple[VideoRecord, _Fault]:
        """Returns a record with local paths, and why its video cannot be used."""
        found = [record]
        fault = _loss(record, lost) or self._guarded(record, lambda: found.append(copies.fetch(record)))
        return found[-1], fault

    def _stills(
        self,
        extractor: Extractor,
        block: Sequence[VideoRecord],
        shard: ShardWriter,
        lost: Mapping[str, Loss],
        copies: Copies,
    ) -> Iterator[Event]:
        """Extracts pictures in batches. Finished pictures are read again, so that the batches stay the same."""
        kept = {video.key: video for video in shard.kept}
        batch, pending = StillBatch(extractor), list[tuple[VideoRecord, _Fault]]()
        for number, record in enumerate(block, start=1):
            fault = _loss(record, lost)
            if record.key in kept and kept[record.key].reason in LOSSES:
                fault = (kept[record.key].reason, kept[record.key].message)
            if not fault:
                yield Opening(record.key)
                record, fault = self._fetched(record, lost, copies)
                fault = fault or self._guarded(record, partial(batch.read, record))
            pending.append((record, fault))
            if not (batch.full or number == len(block)):
                continue
            for one, its_fault in pending:
                if one.key not in kept:
                    yield Opening(one.key)
                    yield self._finish(shard, one, None if its_fault else batch.extraction(one), its_fault)
            batch, pending = StillBatch(extractor), []

    def _finish(
        self, shard: ShardWriter, record: VideoRecord, extraction: Extraction | StillExtraction | None, fault: _Fault
    ) -> VideoReport:
        """Writes the chunks of a video, or only its report if there is a fault."""
        began = time.perf_counter()
        chunks = images = 0
        content = ""

        def write() -> None:
            nonlocal chunks, images, content
            for chunk in extraction or ():
                shard.write(chunk)
                chunks += 1
                images += len(chunk)
            content = extraction.content() if extraction is not None else ""

        fault = fault or self._guarded(record, write)
        measured: dict[str, Any] = {"seconds": time.perf_counter() - began}
        if extraction is not None:
            measured |= {"frames": extraction.frames, "notes": tuple(extraction.notes)}
        if fault:
            video = VideoReport.of(record, status="skipped", reason=fault[0], message=fault[1], **measured)
        else:
            tracks = extraction.tracks if extraction is not None else 0
            prepared = min(extraction.prepared, images) if isinstance(extraction, Extraction) else 0
            counts = {"tracks": tracks, "chunks": chunks, "images": images, "prepared": prepared}
            video = VideoReport.of(record, content=content, **counts, **measured)
        shard.end_video(video)
        return video

    def _guarded(self, record: VideoRecord, work: Callable[[], None]) -> _Fault:
        """Works on a video. Returns reason and message of an error that skips the video.

        Raises:
            OutputError: if the output cannot be written.
            UsageError: if an option is invalid.
        """
        try:
            work()
        except (OutputError, UsageError):
            raise
        except MgstError as error:
            reason, message = error.reason, str(error)
        except Exception as error:
            # The only broad except: an unexpected error of one video must not stop the extraction of the others.
            if self.debug:
                raise
            reason = "internal_error"
            message = f"{record.video}: {type(error).__name__}: {error} (a bug; --debug shows the traceback)"
        else:
            return None
        # Replaces the full path by the path in the data set, so that reports do not depend on the machine.
        return reason, printable(message).replace(printable(record.path), record.video)


def _blocks(records: Sequence[VideoRecord]) -> Iterator[Sequence[VideoRecord]]:
    """Yields single videos, and blocks of pictures that follow each other."""
    for still, run in groupby(records, key=is_still):
        members = list(run)
        size = BLOCK if still else 1
        yield from (members[start : start + size] for start in range(0, len(members), size))


def _loss(record: VideoRecord, lost: Mapping[str, Loss]) -> _Fault:
    """Returns reason and message of a video that ended its worker processes; None for other videos."""
    loss = lost.get(record.key)
    return (loss.reason, f"{record.video}: {loss.message} ({_HINTS[loss.reason]})") if loss else None


@lru_cache(maxsize=1)
def _load(config: ExtractConfig, device: str) -> Extractor:
    """Loads the models once per process.

    Raises:
        UsageError: if the machine of this process does not have the device.
    """
    return Extractor(config, device=choose_device(device))


@contextmanager
def _reproducibly() -> Iterator[None]:
    """Makes results independent of the number of cores and of earlier settings, within the block.

    The rounding of a sum depends on how it is divided among threads, so one thread is used. One core per worker is also
    the fastest way to use all cores, because videos are independent.
    """
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)
