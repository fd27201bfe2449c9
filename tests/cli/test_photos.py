"""A folder of photos through all commands for shards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from face_videos import empty_rooms, faces
from PIL import Image

from mgst_data.core import RandomWindow
from mgst_data.shards import SegmentDataset, ShardReader, collate_segments


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Photos of two persons in two splits, a picture without a face, and a file that is no picture."""
    root = tmp_path_factory.mktemp("photos")
    pictures: dict[str, np.ndarray] = {
        "train/ann/1.jpg": faces(1, (10, 20))[0],
        "train/ann/2.png": faces(1, (30, 20), size=(300, 260), side=230)[0],
        "val/bob/3.webp": faces(1, (20, 20), size=(240, 300))[0],
        "val/bob/4.jpg": empty_rooms(1)[0],
    }
    for name, rgb in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(root / name)
    (root / "val/bob/5.jpg").write_text("no picture")
    return root


@pytest.fixture(scope="module")
def shards(mgst_data, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "shards"
    options = ("--executor", "serial", "--identity", "folder", "--size", 64)
    return out, mgst_data("extract", "--src", photos, "--out", out, *options)


def test_extract_reports_every_picture(shards):
    out, result = shards
    assert result.exit_code == 0
    assert "5 pictures, 5 real and 0 fake" in result.stderr
    assert "note (all_real)" in result.stderr
    assert "skipped (no_face): val/bob/4.jpg: no face in the picture" in result.stderr
    assert "skipped (not_a_picture): val/bob/5.jpg: not a picture (" in result.stderr
    chunks = list(ShardReader.open(out))
    assert [(chunk.record.video, chunk.record.target_key.partition("/")[2], len(chunk)) for chunk in chunks] == [
        ("train/ann/1.jpg", "ann", 1), ("train/ann/2.png", "ann", 1), ("val/bob/3.webp", "bob", 1),
    ]  # fmt: skip


def test_the_plan_of_pictures_has_large_shards(mgst_data, photos):
    result = mgst_data("extract", "--src", photos, "--dry-run", "--json")
    assert json.loads(result.stdout)["shards"]["to_do"] == 2  # one for each split
    small = mgst_data("extract", "--src", photos, "--dry-run", "--json", "--videos-per-shard", 1)
    assert json.loads(small.stdout)["shards"]["to_do"] == 5


def test_inspect_and_sheet_take_shards_of_pictures(mgst_data, shards, tmp_path):
    out, _ = shards
    result = mgst_data("inspect", out, "--verify")
    assert (result.exit_code, "verified 3 samples: no problems" in result.stdout) == (0, True)
    assert mgst_data("sheet", out, "--out", tmp_path, "--side", 48).exit_code == 0
    with Image.open(tmp_path / "sheet-0000.png") as sheet:
        assert sheet.size == (8 * 48, 48 + 18)  # one row


def test_preview_blend_takes_pictures(mgst_data, photos, shards, tmp_path):
    for name, options in (("one", (photos / "train/ann/1.jpg",)), ("all", (shards[0], "--shard"))):
        result = mgst_data("preview-blend", *options, "--count", 2, "--size", 64, "--out", tmp_path / name)
        assert result.exit_code == 0
        assert "instead of" not in result.stderr
        assert {path.suffix for path in (tmp_path / name).iterdir()} == {".mp4", ".png", ".json"}


def test_a_data_set_of_segments_reads_pictures(shards):
    dataset = SegmentDataset(ShardReader.open(shards[0], split="train"), RandomWindow(1), size=48)
    batch = collate_segments([dataset[0], dataset[1]])
    assert len(dataset) == 2
    assert batch.to_segment().frames.shape == (2, 1, 3, 48, 48)
