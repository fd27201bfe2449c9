"""Records which videos of an incomplete shard are finished.

``NAME.progress`` is in the same folder as ``NAME.tar.part``. After every finished video, one line is appended: the
report of that video, with the size and the digest of the part up to there. The samples are in the order of the videos,
so the part up to a finished video is byte for byte the beginning of the complete shard.

No other state is needed. The videos of a shard and their order are fixed when the shard is planned, and a shard that is
planned again gets another name. Before anything is written, the configuration is compared with that of the folder. So a
part with the same name and the same first videos was made with the current configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mgst_data.core import ShardError
from mgst_data.shards.report import ShardReport
from mgst_data.shards.storage import PART

PROGRESS = "progress"


def part_of(folder: Path, name: str) -> Path:
    """Returns the path of the tar file of a shard that is being written.

    Args:
        folder: Folder of shards.
        name: Name of the shard.
    """
    return folder / f"{name}.tar{PART}"


def progress_of(folder: Path, name: str) -> Path:
    """Returns the path of the file that lists the finished videos of a shard.

    Args:
        folder: Folder of shards.
        name: Name of the shard.
    """
    return folder / f"{name}.{PROGRESS}"


def read_progress(folder: Path, name: str, videos: Sequence[str]) -> list[ShardReport]:
    """Reads which videos of a shard are finished. The size of the part is checked, but not its digest.

    Args:
        folder: Local folder of shards.
        name: Name of the shard.
        videos: Keys of all videos of the shard, in order.

    Returns:
        The report of every finished video, in order, up to the first one that is truncated or does not match.
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
        except ShardError:  # truncated line: the process was killed or the power failed while it was written
            break
        if [video.key for video in report.videos] != [key] or [file.bytes <= size for file in report.files] != [True]:
            break
        found.append(report)
    return found
