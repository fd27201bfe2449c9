"""A work that writes real shards, slowly, and can be sent to other processes and machines."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from fakes import chunk_of, report_of

from mgst_data.extract.executors import Opening
from mgst_data.shards import ShardStore, ShardWriter, VideoReport


@dataclass(frozen=True)
class SlowShards:
    """Writes the shard of a task.

    A video whose key begins with "die" kills the process; one whose key is "stuck10" computes for ever without
    returning to Python.

    Attributes:
        folder: Folder of shards.
        pause: Seconds for each video.
    """

    folder: Path | ShardStore
    pause: float = 0.0

    def __call__(self, task, lost):
        with ShardWriter(self.folder, task.name, [record.key for record in task.records]) as shard:
            yield from shard.kept
            for record in task.records[len(shard.kept) :]:
                yield Opening(record.key)
                if record.key in lost:
                    report = report_of(record, lost[record.key].reason, lost[record.key].message)
                else:
                    if record.key.startswith("die"):
                        time.sleep(0.3)  # a decoder works before it crashes; Ray sends the event in the background
                        os.kill(os.getpid(), signal.SIGKILL)
                    if record.key == "stuck10":
                        re.match("(a+)+$", 64 * "a" + "b")
                    time.sleep(self.pause)
                    chunks = [chunk_of(record, number) for number in range(2)]
                    for chunk in chunks:
                        shard.write(chunk)
                    report = VideoReport.of(record, frames=6, tracks=1, chunks=2, images=6)
                shard.end_video(report)
                yield report
        yield shard.report
