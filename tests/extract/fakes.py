"""Fast mocks: an extractor without models, and works with errors."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mgst_data.core import NoFaceError, OutputError, VideoError, VideoRecord
from mgst_data.extract import Extraction, Extractor
from mgst_data.extract.executors import Opening
from mgst_data.shards import FaceChunk, ShardReport, ShardTask, VideoReport, encode_image


def record_of(key: str, *, label: int = 0, split: str = "train") -> VideoRecord:
    return VideoRecord(
        key=key,
        path=f"/data/set/videos/{key}.mp4",
        video=f"videos/{key}.mp4",
        dataset="set",
        split=split,
        label=label,
        method="swap" if label else "real",
        target_key=f"set/{key}",
    )


def task_of(name: str, *keys: str) -> ShardTask:
    return ShardTask(name, tuple(record_of(key) for key in keys))


def chunk_of(record: VideoRecord, number: int, *, t: int = 3, size: int = 16) -> FaceChunk:
    seed = hashlib.blake2b(f"{record.key}/{number}".encode(), digest_size=4).digest()
    random = np.random.default_rng(int.from_bytes(seed, "little"))
    points = torch.from_numpy(random.uniform(0, size, (t, 5, 2)).astype(np.float32))
    return FaceChunk(
        record=record,
        track=0,
        chunk=number,
        fps=25.0,
        frame_indices=torch.arange(t * number, t * number + t),
        pts=torch.arange(t * number, t * number + t, dtype=torch.float64) / 25,
        frame_size=(64, 48),
        crop_size=size,
        crop_from_frame=torch.eye(2, 3, dtype=torch.float64),
        landmarks=points,
        landmarks_raw=points,
        valid=torch.ones(t, 5, dtype=torch.bool),
        boxes=torch.tensor([2.0, 2.0, 14.0, 14.0]).expand(t, 4),
        scores=torch.ones(t),
        images=tuple(encode_image(random.integers(0, 255, (size, size, 3), dtype=np.uint8)) for _ in range(t)),
    )


class FakeExtractor(Extractor):
    """Extracts two chunks of every video. The first part of the key selects an error."""

    made = 0

    def __init__(self, config, *, device="cpu"):
        type(self).made += 1

    def __call__(self, record):
        return FakeExtraction(record)


class FakeExtraction(Extraction):
    def __init__(self, record):
        self.record, self.frames, self.tracks, self.prepared, self.notes = (
            record,
            0,
            0,
            0,
            [],
        )  # loads no models and opens no file

    def content(self):
        return f"content of {self.record.key}"

    def __iter__(self):
        kind, path = self.record.key.split("_")[0], self.record.path
        if kind == "empty":
            raise VideoError("the file is empty", where=path, hint="copy it again", reason="empty_file")
        for number in range(2):
            self.frames, self.tracks = self.frames + 3, 1
            yield chunk_of(self.record, number)
            if kind == "noface":
                raise NoFaceError("no face in 3 frames", where=self.record.video)
            if kind == "bug":
                raise ZeroDivisionError("division\nby zero")
            if kind == "full":
                raise OutputError("the disk is full", where="/out")
            if kind == "stop":
                raise KeyboardInterrupt
        if kind == "cut":
            self.notes.append(("truncated", f"{self.record.video}: damaged"))


def report_of(record: VideoRecord, reason: str = "", message: str = "") -> VideoReport:
    return VideoReport.of(record, status="skipped" if reason else "done", reason=reason, message=message)


@dataclass(frozen=True)
class FakeWork:
    """Reports every video and shard; does what a video's key asks for first.

    "die" kills the process, "dieonce" does so only where it has not left its mark in ``folder`` yet, "raise" raises an
    OutputError, "bug" an error of Python's own, "wait" waits for ever, "nap1" to "nap3" take half a second,
    "stuck" computes for ever without returning to Python, "grow" fills the memory.
    """

    folder: Path

    def __call__(self, task, lost):
        reports = []
        for record in task.records:
            kind = record.key.split("_")[0]
            mark = self.folder / record.key
            if record.key in lost:
                reports.append(report_of(record, lost[record.key].reason, lost[record.key].message))
            else:
                yield Opening(record.key)
                if kind == "die" or (kind == "dieonce" and not mark.exists()):
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                if kind == "raise":
                    raise OutputError("the disk is full", where=task.name, hint="free some")
                if kind == "bug":
                    raise ZeroDivisionError("division by zero")
                if kind == "wait":
                    mark.touch()
                    time.sleep(1000)
                if kind in ("nap1", "nap2", "nap3"):
                    time.sleep(0.5)
                if kind == "stuck":
                    re.match("(a+)+$", 64 * "a" + "b")
                if kind == "grow":
                    pages = [b"\1" * 2**23]
                    while True:
                        pages.append(pages[-1] + b"\1")
                reports.append(report_of(record))
            yield reports[-1]
        yield ShardReport(task.name, tuple(reports))


@dataclass(frozen=True)
class BlockWork(FakeWork):
    """Opens all videos of a task before it reports the first one."""

    def __call__(self, task, lost):
        opened = []
        for record in task.records:
            if record.key not in lost:
                yield Opening(record.key)
                opened += [*super().__call__(ShardTask(task.name, (record,)), {})][1:2]
        reports = {report.key: report for report in opened}
        for record in task.records:
            yield reports.get(record.key) or report_of(record, lost[record.key].reason, lost[record.key].message)
        yield ShardReport(task.name, tuple(reports.values()))


@dataclass(frozen=True)
class DeadOnArrival:
    """Ends every process that runs it."""

    def __call__(self, task, lost):
        os.kill(os.getpid(), signal.SIGKILL)
        yield from ()
