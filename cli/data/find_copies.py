"""Finds near-duplicates in one folder of shards, for ``mgst-data inspect``."""

from __future__ import annotations

from typing import Any

from mgst_data.people import near_duplicates
from mgst_data.shards import ShardFolder
from mgst_data.shards.report import latest

from ..common.progress import Work


def find_copies(shards: str, work: Work) -> list[dict[str, Any]]:
    """Returns pairs of videos that are copies of each other.

    Args:
        shards: Path or URL of the folder of shards.
        work: Progress to update.

    Raises:
        UsageError: If the folder is not complete.
        ShardError: If a shard is damaged.
    """
    names = {key: video.video for key, video in latest(ShardFolder.read(shards).reports()).items()}
    found = near_duplicates([shards], saw=lambda done, total: work.tell("hashing", done=done, total=total))
    return [
        {"videos": [names[key] for key in copy.videos], "share": copy.share, "mirrored": copy.mirrored}
        for copy in found
    ]
