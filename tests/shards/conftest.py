from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_shards import CONFIG, record_of, write_shard

from mgst_data.core import VideoRecord
from mgst_data.shards import open_folder


@pytest.fixture
def records() -> list[VideoRecord]:
    """Records of eleven train videos (three real) and four test videos (two real)."""
    train = [record_of(f"v{i:02d}", label=int(i >= 3)) for i in range(11)]
    return train + [record_of(f"w{i:02d}", label=i % 2, split="test") for i in range(4)]


@pytest.fixture
def make_folder(tmp_path: Path, records: list[VideoRecord]) -> Callable[..., Path]:
    """Writes a complete folder of shards of three videos each."""

    def make(name: str = "shards", **options) -> Path:
        out = tmp_path / name
        with open_folder(out, CONFIG, records, videos_per_shard=3) as folder:
            for task in folder.missing(records):
                write_shard(out, task, **options)
            folder.finish()
        return out

    return make
