"""The unit of work: one shard, made from its videos."""

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

_LOST_HINT = "it crashes its decoder, or needs more memory than there is: try --retry-skipped with fewer --workers"


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """Makes shards: it can be sent to another process and called there with one task after another.

    A video that cannot be used is skipped, with the reason in its report. What concerns all videos (an output that
    cannot be written, an option that cannot be followed) is raised. A task that was left unfinished, for whatever
    reason, goes on after its last finished video.

    Attributes:
        config: What the output depends on.
        folder: Where the shards go; it exists.
        device: Where the networks run.
        debug: Raise unexpected errors too, instead of skipping the video.
    """

    config: ExtractConfig
    folder: Path
    device: str = "cpu"
    debug: bool = False

    def __call__(self, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
        """See :class:`mgst_data.extract.executors.Work`."""
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
            # The guard: whatever a decoder or a model makes of one video, the others are extracted.
            if self.debug:
                raise
            reason = "internal_error"
            message = f"{record.video}: {type(error).__name__}: {error} (a defect: --debug shows where)"
        measured = {
            "frames": extraction.frames,
            "seconds": time.perf_counter() - began,
            "notes": tuple(extraction.notes),
        }
        if reason:
            # The user knows the video by its place in the data set; a report does not depend on where that lies.
            message = printable(message).replace(printable(record.path), record.video)
            return VideoReport.of(record, status="skipped", reason=reason, message=message, **measured)
        return VideoReport.of(record, tracks=extraction.tracks, chunks=chunks, images=images, **measured)


@lru_cache(maxsize=1)
def _load(config: ExtractConfig, device: str) -> Extractor:
    """The models, once per process."""
    return Extractor(config, device=device)


@contextmanager
def _reproducibly() -> Iterator[None]:
    """Within it, results do not depend on how many cores there are, nor on what ran before.

    Sums over several threads are rounded by how they are divided among them. One core per worker is also the fastest
    way to use all cores: videos are independent.
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
