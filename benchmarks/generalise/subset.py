"""A folder of shards with only some of the videos. The shards are linked, not copied."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from mgst_data.shards import ShardFolder
from mgst_data.shards.folder import STATE
from mgst_data.shards.people import PEOPLE
from mgst_data.shards.schema import split_key
from mgst_data.shards.storage import write_atomic


def choose(shards: Path, out: Path, keys: Collection[str]) -> Path:
    """Makes a folder with the chosen videos: links to all shards, and reports that list only these videos.

    Args:
        shards: Local folder of shards.
        out: New folder, or one that this function has made. Its content depends only on the other arguments.
        keys: Keys of the videos.
    """
    keys = frozenset(keys)
    out.mkdir(parents=True, exist_ok=True)
    for report in ShardFolder.read(shards).reports():
        kept = replace(
            report,
            videos=tuple(video for video in report.videos if video.key in keys),
            samples=tuple(sample for sample in report.samples if split_key(sample.key)[0] in keys),
        )
        for file in report.files:
            link = out / file.name
            if not link.exists():
                link.symlink_to((shards / file.name).resolve())
        write_atomic(out / f"{report.name}.json", kept.to_json())
    for name in (PEOPLE, STATE):
        shutil.copyfile(shards / name, out / name)
    return out
