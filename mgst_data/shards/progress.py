"""What is finished of a shard that is not complete.

Beside ``NAME.tar.part`` lies ``NAME.progress``: after every finished video it gets one line, the report of that video
alone, with the size and the digest of the part so far. Its samples lie one after another in the order of the videos,
so what is there after a finished video is how the finished shard begins, byte by byte.

Nothing else has to be recorded. Which videos a shard holds, and in which order, is fixed when it is planned, and a
shard that is planned again gets another name. The configuration is compared with that of the folder before anything
is written. So a part of the same name and the same first videos was made from what is asked for now.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mgst_data.core import ShardError
from mgst_data.shards.report import ShardReport
from mgst_data.shards.storage import PART

PROGRESS = "progress"


def part_of(folder: Path, name: str) -> Path:
    """The tar of a shard while it is being written."""
    return folder / f"{name}.tar{PART}"


def progress_of(folder: Path, name: str) -> Path:
    """The file that says what is finished in it."""
    return folder / f"{name}.{PROGRESS}"


def read_progress(folder: Path, name: str, videos: Sequence[str]) -> list[ShardReport]:
    """Reads which videos of a shard are finished. The bytes of the part are counted, but not compared with the digest.

    Args:
        folder: A local folder of shards.
        name: Of the shard.
        videos: Keys of all its videos, in order.

    Returns:
        The report of every finished video, in order, up to the first that is cut off or does not fit.
    """
    try:
        lines = progress_of(folder, name).read_bytes().splitlines(keepends=True)
        size = part_of(folder, name).stat().st_size
    except OSError:
        return []
    found: list[ShardReport] = []
    for key, line in zip(videos, lines, strict=False):
        try:
            report = ShardReport.from_json(line)
        except ShardError:  # the process, or the power, ended while it was written
            break
        if [video.key for video in report.videos] != [key] or [file.bytes <= size for file in report.files] != [True]:
            break
        found.append(report)
    return found
