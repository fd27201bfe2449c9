"""Runs an extraction: plans the missing shards, and an executor makes them."""

from __future__ import annotations

import inspect
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import OutputError, ShardError, UsageError, VideoRecord
from mgst_data.core.devices import choose_device
from mgst_data.datasets import Scan
from mgst_data.extract.executors import EXECUTORS, Event, Executor, Opening
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.extract.job import ExtractJob
from mgst_data.extract.stills import is_still
from mgst_data.shards import ShardFolder, ShardTask, Totals, VideoReport, open_folder
from mgst_data.shards.folder import STATE
from mgst_data.shards.plan import NO_SPLIT, VIDEOS_PER_SHARD, Part
from mgst_data.shards.report import latest
from mgst_data.shards.store import ShardStore

NOTES = "notes.json"
# Pictures of a shard: about as many megabytes as a shard of videos.
PICTURES_PER_SHARD = 128


class Watcher:
    """Receives the progress of a run. This base class ignores it."""

    def begin(self, tasks: Sequence[ShardTask], planned: int, kept: int) -> None:
        """Is called when the run begins.

        Args:
            tasks: Shards that the run makes.
            planned: Number of all planned shards, including complete ones.
            kept: Number of videos of the tasks that an interrupted run has finished. They are not extracted again, and
                ``see`` is not called for them.
        """

    def see(self, event: Event) -> None:
        """Is called when a video or a shard is finished."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The content of the folder after a run, and the work of the run.

    Attributes:
        folder: Folder of shards.
        shards: Number of complete shards.
        planned: Number of all planned shards; equal to ``shards`` when the folder is complete.
        bytes: Size of the complete shards, bytes.
        totals: Totals over the videos of the complete shards.
        skipped: Skipped videos of the complete shards, sorted by key.
        noted: Videos with defects that were kept, sorted by key; their notes describe the defects.
        seconds: Duration of this run, seconds.
        videos: Number of videos that this run processed, without those that an interrupted run had finished.
        frames: Number of frames that this run decoded.
        part: Part of the extraction, such as "3/16"; "" for all of it.
        part_shards: Number of planned shards of the part, which are all complete after the run.
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
    part: str = ""
    part_shards: int = 0

    @property
    def complete(self) -> bool:
        """Whether all planned shards are complete."""
        return self.shards == self.planned

    def as_dict(self) -> dict[str, Any]:
        """Returns the summary as plain values, for JSON."""
        return {**asdict(self), "complete": self.complete}


def extract(
    scan: Scan,
    config: ExtractConfig,
    out: str | Path,
    *,
    executor: str = "process",
    workers: int | None = None,
    device: str = "auto",
    videos_per_shard: int | None = None,
    retry: str = "",
    part: Part | None = None,
    video_timeout: float | None = None,
    worker_memory: int | None = None,
    debug: bool = False,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Extracts the videos of a scan that are not yet in a folder of shards.

    Complete shards of an earlier run do not change. Incomplete shards continue after their last finished video. The
    shards do not depend on the executor, on the number of workers, or on interruptions.

    The file ``notes.json`` of the folder lists the notes of the scan, and the videos that were kept in spite of a
    defect.

    Args:
        scan: Videos of the data set.
        config: Configuration of the extraction; for an existing folder, the configuration that it was made with.
        out: Output folder, as a path or fsspec URL. It is created if it does not exist. Shards are written in a local
            workspace, and uploaded when they are complete.
        executor: Name of a registered executor.
        workers: Number of parallel workers; None uses the default of the executor.
        device: "cpu", "cuda", or "auto" for CUDA if it is available.
        videos_per_shard: Number of videos of each new shard; None for :func:`shard_size`.
        retry: Reason code of skipped videos to try again, or "all"; "" tries none again.
        part: Part of the shards to make, for several runs into one folder, on any machines; None for all. In the end,
            the folder is that of a single run.
        video_timeout: Seconds for each video; None for no limit. A video that takes longer is skipped with the reason
            "timeout".
        worker_memory: Memory of each worker, bytes; None for no limit. A video that needs more is skipped with the
            reason "out_of_memory".
        debug: Whether unexpected errors are raised. Otherwise the video is skipped.
        watcher: Object that receives the progress; None reports no progress.

    Returns:
        The content of the folder, and the work of this run.

    Raises:
        UsageError: if an option is invalid or does not fit to the folder.
        OutputError: if the folder cannot be written.
    """
    watcher = watcher or Watcher()
    limits = {"video_timeout": video_timeout, "worker_memory": worker_memory}
    team = _team(executor, workers, {name: limit for name, limit in limits.items() if limit is not None})
    device = choose_device(device)
    if STATE not in ShardStore.at(out).names():
        Extractor(config)  # raises an error for a missing model before anything is written
    settings = {"extract": config.as_dict()}
    size = videos_per_shard or shard_size(scan.records)
    with open_folder(out, settings, scan.records, videos_per_shard=size, retry=retry, part=part) as folder:
        _check_splits(folder, scan.records)
        tasks = folder.missing(scan.records)
        kept = {video.key for video in folder.kept()}
        watcher.begin(tasks, len(folder.mine), len(kept))
        began = time.perf_counter()
        done: Counter[str] = Counter()
        job = ExtractJob(config, folder.store, device, debug)
        with _notes_stored(folder, scan), closing(team.map(job, tasks)) as events:
            for event in events:
                if isinstance(event, Opening):
                    continue
                if isinstance(event, VideoReport):
                    if event.key in kept:
                        continue
                    done.update(videos=1, frames=event.frames)
                watcher.see(event)
        return _summarise(folder, time.perf_counter() - began, done)


def _team(name: str, workers: int | None, limits: dict[str, Any]) -> Executor:
    """Makes an executor. Executors of other packages need not know the limits.

    Raises:
        UsageError: if the executor has no such limit.
    """
    make = EXECUTORS.get(name)
    for limit in limits.keys() - inspect.signature(make).parameters.keys():
        what = f"the executor {name!r} has no limit {limit!r}"
        raise UsageError(what, where=f"--{limit.replace('_', '-')}", hint="use --executor process")
    return make(workers=workers, **limits)


def shard_size(records: Sequence[VideoRecord]) -> int:
    """Returns the usual number of videos of a shard, which is larger if all of them are pictures."""
    return PICTURES_PER_SHARD if all(map(is_still, records)) else VIDEOS_PER_SHARD


def _check_splits(folder: ShardFolder, records: Sequence[VideoRecord]) -> None:
    """Checks that no planned video has changed its split. A shard holds one split, which would then be the wrong one.

    Raises:
        UsageError: if a video has changed its split.
    """
    planned = {key: name.rpartition("-")[0] for name, keys in folder.plan.items() for key in keys}
    for record in records:
        split = record.split or NO_SPLIT
        if planned.get(record.key, split) != split:
            what = f"is now in the split {split!r}, but in {planned[record.key]!r} in {folder.location}"
            hint = "move it back to its old split, or choose another output folder"
            raise UsageError(what, where=record.video, hint=hint)


@contextmanager
def _notes_stored(folder: ShardFolder, scan: Scan) -> Iterator[None]:
    """Writes the notes on the complete shards before and after the run, also if the run fails."""
    _store_notes(folder, scan)
    try:
        yield
    except BaseException:
        with suppress(OutputError, ShardError):  # a full disk, a store that is gone; the first error is raised below
            _store_notes(folder, scan)
        raise
    _store_notes(folder, scan)


def _store_notes(folder: ShardFolder, scan: Scan) -> None:
    with folder.files_of_all():
        videos = [
            {"video": video.video, "reason": reason, "text": text}
            for _, video in sorted(latest(folder.reports()).items())
            for reason, text in (() if video.skipped else video.notes)
        ]
        notes = {"notes": [asdict(note) for note in scan.notes], "videos": videos}
        folder.store.write(NOTES, (json.dumps(notes, indent=1) + "\n").encode())


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
        part="" if folder.part is None else str(folder.part),
        part_shards=0 if folder.part is None else len(folder.mine),
    )
