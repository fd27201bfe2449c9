"""Runs the work of one worker in a process that has imported nothing else.

python -m extraction.worker VIDEO    # prints the peak memory as JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from extraction.clips import record
from extraction.report import one_thread, resident_bytes
from mgst_data.extract import ExtractConfig, ExtractJob
from mgst_data.shards import ShardTask, VideoReport
from mgst_data.shards.store import ShardStore

GB = 1e9


def work(paths: list[Path], videos: int) -> None:
    """Extracts videos in turn into one shard, as a worker does.

    Raises:
        RuntimeError: if a video is skipped.
    """
    records = tuple(record(paths[i % len(paths)], f"video{i}") for i in range(videos))
    with tempfile.TemporaryDirectory() as folder:
        for event in ExtractJob(ExtractConfig(), ShardStore.at(folder))(ShardTask("all-000000", records), {}):
            if isinstance(event, VideoReport) and event.skipped:
                raise RuntimeError(event.message)


if __name__ == "__main__":
    one_thread()
    work([Path(sys.argv[1])], 1)
    print(json.dumps({"peak_gb": resident_bytes("VmHWM") / GB, "libraries_gb": resident_bytes("RssFile") / GB}))
