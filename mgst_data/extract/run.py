"""Runs an extraction: plans the missing shards, and an executor makes them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import OutputError, RecordTable, ShardError, UsageError, VideoRecord
from mgst_data.datasets import Scan
from mgst_data.extract.executors import Event, Opening, choose_executor
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.extract.job import ExtractJob
from mgst_data.extract.stills import is_still_path
from mgst_data.shards import ShardFolder, ShardTask, Totals, VideoReport, open_folder
from mgst_data.shards.folder import STATE
from mgst_data.shards.plan import NO_SPLIT, VIDEOS_PER_SHARD, Part
from mgst_data.shards.report import Survey
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
    gpus_per_worker: float | None = None,
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
        gpus_per_worker: Share of a GPU of a worker, (0, 1], for executors on other machines; None for a whole one with
            the device "cuda".
        device: "cpu", "cuda", or "auto" for CUDA if it is available. On other machines, "auto" is CUDA if
            ``gpus_per_worker`` is given.
        videos_per_shard: Number of videos of each new shard; None for :func:`shard_size`.
        retry: Reason code of skipped videos to try again, or "all"; "" tries none again.
        part: Part of the shards to make, for several runs into one folder, on any machines; None for all. In the end,
            the folder is that of a single run.
        video_timeout: Seconds for each video; None for no limit. A video that takes longer is skipped with the reason
            "timeout".
        worker_memory: Memory of each worker, bytes; None for no limit. A video that needs more is skipped with the
            reason "out_of_memory". Ray instead starts a worker only where so much is free.
        debug: Whether unexpected errors are raised. Otherwise the video is skipped.
        watcher: Object that receives the progress; None reports no progress.

    Returns:
        The content of the folder, and the work of this run.

    Raises:
        UsageError: if an option is invalid or does not fit to the folder.
        OutputError: if the folder cannot be written.
    """
    watcher = watcher or Watcher()
    team, device = choose_executor(
        executor,
        device=device,
        workers=workers,
        gpus_per_worker=gpus_per_worker,
        video_timeout=video_timeout,
        worker_memory=worker_memory,
    )
    if STATE not in ShardStore.at(out).names():
        Extractor(config)  # raises an error for a missing model before anything is written
    settings = {"extract": config.as_dict()}
    size = videos_per_shard or shard_size(scan.records)
    with open_folder(out, settings, scan.records, videos_per_shard=size, retry=retry, part=part) as folder:
        _check_splits(folder, RecordTable.of(scan.records))
        with folder.files_of_all():
            before = folder.survey()
            tasks = folder.missing(scan.records, complete=before.complete)
            _write_notes(folder, scan, before)
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
        seconds = time.perf_counter() - began
        with folder.files_of_all():
            after = folder.sum_up()
            _write_notes(folder, scan, after)
        return _summary(folder, after, seconds, done)


def shard_size(records: Sequence[VideoRecord]) -> int:
    """Returns the usual number of videos of a shard, which is larger if all of them are pictures."""
    stills = (is_still_path(path) for path, _ in RecordTable.of(records).fields("path", "key"))
    return PICTURES_PER_SHARD if all(stills) else VIDEOS_PER_SHARD


def _check_splits(folder: ShardFolder, records: RecordTable) -> None:
    """Checks that no planned video has changed its split. A shard holds one split, which would then be the wrong one.

    Raises:
        UsageError: if a video has changed its split.
    """
    splits = [split or NO_SPLIT for split, _ in records.fields("split", "key")]
    planned = (name.rpartition("-")[0] for name, keys in folder.plan.items() for _ in keys)
    places = zip(records.find(folder.plan.videos()), planned, strict=True)
    if moved := {place: split for place, split in places if place >= 0 and splits[place] != split}:
        first = min(moved)
        what = f"is now in the split {splits[first]!r}, but in {moved[first]!r} in {folder.location}"
        hint = "move it back to its old split, or choose another output folder"
        raise UsageError(what, where=records[first].video, hint=hint)


@contextmanager
def _notes_stored(folder: ShardFolder, scan: Scan) -> Iterator[None]:
    """Writes the notes on the complete shards if the run fails."""
    try:
        yield
    except BaseException:
        # A full disk, or a store that is gone: the first error is raised below.
        with suppress(OutputError, ShardError), folder.files_of_all():
            _write_notes(folder, scan, folder.survey())
        raise


def _write_notes(folder: ShardFolder, scan: Scan, found: Survey) -> None:
    videos = [
        {"video": video.video, "reason": reason, "text": text} for video in found.noted for reason, text in video.notes
    ]
    notes = {"notes": [asdict(note) for note in scan.notes], "videos": videos}
    folder.store.write(NOTES, (json.dumps(notes, indent=1) + "\n").encode())


def _summary(folder: ShardFolder, after: Survey, seconds: float, done: Counter[str]) -> RunSummary:
    return RunSummary(
        folder=folder.location,
        shards=len(after.complete),
        planned=len(folder.plan),
        bytes=after.bytes,
        totals=after.totals,
        skipped=after.skipped,
        noted=after.noted,
        seconds=seconds,
        videos=done["videos"],
        frames=done["frames"],
        part="" if folder.part is None else str(folder.part),
        part_shards=0 if folder.part is None else len(folder.mine),
    )
