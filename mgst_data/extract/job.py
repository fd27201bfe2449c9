"""The unit of work of an extraction: makes one shard from its videos."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import torch

from mgst_data.core import MgstError, OutputError, UsageError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.extract.executors import Event
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.shards import ShardTask, ShardWriter, VideoReport

_LOST_HINT = "it crashes the decoder or needs too much memory; try --retry-skipped with fewer --workers"


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Makes shards, one task after another. It can be sent to another process.

    A video that cannot be used is skipped, with the reason in its report. An error that concerns all videos (the output
    cannot be written, an option is invalid) is raised. An unfinished task continues after its last finished video.

    Attributes:
        config: Configuration of the extraction.
        folder: Existing folder of shards to write into.
        device: Device of the networks.
        debug: Whether unexpected errors are raised. Otherwise the video is skipped.
    """

    config: ExtractConfig
    folder: Path
    device: str = "cpu"
    debug: bool = False

    def __call__(self, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
        """Makes the shard of a task, as :class:`mgst_data.extract.executors.Work` describes.

        Args:
            task: Videos of the shard.
            lost: Videos to skip because they have ended their worker processes: key and reason as text.
        """
        with _reproducibly():
            extractor = _load(self.config, self.device)
            with ShardWriter(self.folder, task.name, [record.key for record in task.records]) as shard:
                yield from shard.kept
                for record in task.records[len(shard.kept) :]:
                    if record.key in lost:
                        message = f"{record.video}: {lost[record.key]} ({_LOST_HINT})"
                        video = VideoReport.of(record, status="skipped", reason="worker_died", message=message)
                    else:
                        video = self._extract(extractor, record, shard)
                    shard.end_video(video)
                    yield video
        yield shard.report

    def _extract(self, extractor: Extractor, record: VideoRecord, shard: ShardWriter) -> VideoReport:
        began = time.perf_counter()
        extraction = extractor(record)
        chunks = images = 0
        reason = message = ""
        try:
            for chunk in extraction:
                shard.write(chunk)
                chunks += 1
                images += len(chunk)
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
        measured = {
            "frames": extraction.frames,
            "seconds": time.perf_counter() - began,
            "notes": tuple(extraction.notes),
        }
        if reason:
            # Replaces the full path by the path in the data set, so that reports do not depend on the machine.
            message = printable(message).replace(printable(record.path), record.video)
            return VideoReport.of(record, status="skipped", reason=reason, message=message, **measured)
        stored = {"chunks": chunks, "images": images, "prepared": min(extraction.prepared, images)}
        return VideoReport.of(record, tracks=extraction.tracks, **stored, **measured)


@lru_cache(maxsize=1)
def _load(config: ExtractConfig, device: str) -> Extractor:
    """Loads the models once per process."""
    return Extractor(config, device=device)


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
