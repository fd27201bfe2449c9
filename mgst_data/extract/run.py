"""A run: what is asked for, less what is there already, done by an executor."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import OutputError, UsageError, VideoRecord
from mgst_data.core.devices import choose_device
from mgst_data.datasets import Scan
from mgst_data.extract.executors import EXECUTORS, Event
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.extract.job import ExtractJob
from mgst_data.shards import ShardFolder, ShardTask, Totals, VideoReport, open_folder
from mgst_data.shards.folder import STATE
from mgst_data.shards.plan import NO_SPLIT, VIDEOS_PER_SHARD
from mgst_data.shards.report import latest
from mgst_data.shards.storage import write_atomic

NOTES = "notes.json"


class Watcher:
    """Is told how a run goes on; this one takes no notice."""

    def begin(self, tasks: Sequence[ShardTask], planned: int, kept: int) -> None:
        """The run begins.

        Args:
            tasks: Shards to be made.
            planned: All shards, with those that are complete.
            kept: Videos of the tasks that an interrupted run has finished; they are not done again, nor seen.
        """

    def see(self, event: Event) -> None:
        """A video or a shard is done."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What is in the folder after a run, and what the run itself did.

    Attributes:
        folder: The folder of shards.
        shards: Complete shards.
        planned: All shards; the same number once the folder is complete.
        bytes: Size of the complete shards.
        totals: Sums over their videos.
        skipped: Their skipped videos, by key.
        noted: Their videos that were kept though something is wrong with them, as their notes say; by key.
        seconds: Time this run took.
        videos: Videos that this run went through, without those that an interrupted one had finished.
        frames: Frames that it decoded.
    """

    folder: str
    shards: int
    planned: int
    bytes: int
    totals: Totals
    skipped: tuple[VideoReport, ...]
    noted: tuple[VideoReport, ...]
    seconds: float
    videos: int
    frames: int

    @property
    def complete(self) -> bool:
        """Whether every planned shard is there."""
        return self.shards == self.planned

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "complete": self.complete}


def extract(
    scan: Scan,
    config: ExtractConfig,
    out: str | Path,
    *,
    executor: str = "process",
    workers: int | None = None,
    device: str = "auto",
    videos_per_shard: int = VIDEOS_PER_SHARD,
    retry: str = "",
    debug: bool = False,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Extracts the videos of a scan that a folder of shards does not hold yet.

    Shards that an earlier run has completed are kept as they are, and shards that it has begun go on after their last
    finished video. The shards do not depend on the executor, on the number of workers, or on how often the run was
    interrupted.

    The folder's ``notes.json`` lists the notes of the scan, and the videos that were kept though something is wrong
    with them.

    Args:
        scan: The videos.
        config: What the shards depend on; of an existing folder, the one it was made with.
        out: The folder.
        executor: Name of a registered executor.
        workers: How many work at a time; None leaves it to the executor.
        device: "cpu", "cuda", or "auto" for CUDA where there is any.
        videos_per_shard: Of new shards.
        retry: Reason code of skipped videos to try again, or "all".
        debug: Raise unexpected errors instead of skipping the video.
        watcher: Is told of every video and shard.

    Raises:
        UsageError: if something is asked for that cannot be done.
        OutputError: if the folder cannot be written.
    """
    watcher = watcher or Watcher()
    team = EXECUTORS.get(executor)(workers=workers)
    device = choose_device(device)
    if not Path(out, STATE).exists():
        Extractor(config)  # models that cannot be had are found out before anything is written
    settings = {"extract": config.as_dict()}
    with open_folder(out, settings, scan.records, videos_per_shard=videos_per_shard, retry=retry) as folder:
        _check_splits(folder, scan.records)
        tasks = folder.missing(scan.records)
        kept = {video.key for video in folder.kept()}
        watcher.begin(tasks, len(folder.plan), len(kept))
        began = time.perf_counter()
        done: Counter[str] = Counter()
        job = ExtractJob(config, Path(folder.location), device, debug)
        with _notes_stored(folder, scan), closing(team.map(job, tasks)) as events:
            for event in events:
                if isinstance(event, VideoReport):
                    if event.key in kept:
                        continue
                    done.update(videos=1, frames=event.frames)
                watcher.see(event)
        return _summarise(folder, time.perf_counter() - began, done)


def _check_splits(folder: ShardFolder, records: Sequence[VideoRecord]) -> None:
    """A shard holds one split; a video that has another one by now would carry it into the wrong one."""
    planned = {key: name.rpartition("-")[0] for name, keys in folder.plan.items() for key in keys}
    for record in records:
        split = record.split or NO_SPLIT
        if planned.get(record.key, split) != split:
            what = f"is in the split {split!r} now, but in {planned[record.key]!r} in {folder.location}"
            raise UsageError(what, where=record.video, hint="give it the split it had, or choose another output folder")


@contextmanager
def _notes_stored(folder: ShardFolder, scan: Scan) -> Iterator[None]:
    """Writes the notes on what is complete: before the run, and after it, however it ends."""
    _store_notes(folder, scan)
    try:
        yield
    except BaseException:
        with suppress(OutputError):  # the disk may be full, as the error under way says
            _store_notes(folder, scan)
        raise
    _store_notes(folder, scan)


def _store_notes(folder: ShardFolder, scan: Scan) -> None:
    videos = [
        {"video": video.video, "reason": reason, "text": text}
        for _, video in sorted(latest(folder.reports()).items())
        for reason, text in (() if video.skipped else video.notes)
    ]
    notes = {"notes": [asdict(note) for note in scan.notes], "videos": videos}
    write_atomic(Path(folder.location, NOTES), (json.dumps(notes, indent=1) + "\n").encode())


def _summarise(folder: ShardFolder, seconds: float, done: Counter[str]) -> RunSummary:
    totals, reports = folder.finish(), list(folder.reports())
    videos = [video for _, video in sorted(latest(reports).items())]
    return RunSummary(
        folder=folder.location,
        shards=len(reports),
        planned=len(folder.plan),
        bytes=sum(file.bytes for report in reports for file in report.files),
        totals=totals,
        skipped=tuple(video for video in videos if video.skipped),
        noted=tuple(video for video in videos if video.notes and not video.skipped),
        seconds=seconds,
        videos=done["videos"],
        frames=done["frames"],
    )
