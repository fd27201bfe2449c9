"""Real clips are read upright and completely, and damaged clips are recognised."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from mgst_data.core import FrameBatch
from mgst_data.video import PyAVReader

ODD = {"odd/decord_corrupted.mp4": "corrupt_frames"}


def test_all_frames_of_every_clip_are_read(clips):
    with (clips / "MANIFEST.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"].startswith("odd/")]
    rows = [row for row in rows if not row["frames"].isdigit() or int(row["frames"]) < 400]
    assert rows
    for row in rows:
        batches = list(PyAVReader().chunks(str(clips / row["file"]), 32))
        damage = ODD.get(row["file"], "")
        assert batches[-1].damage == damage, row["file"]
        if not damage:
            assert sum(map(len, batches)) == int(row["frames"]), row["file"]
        pts = torch.cat([batch.pts for batch in batches])
        assert (pts.diff() > 0).all(), row["file"]


def first(path: Path) -> FrameBatch:
    stream = PyAVReader().chunks(str(path), 1)
    batch = next(stream)
    stream.close()
    return batch


def test_a_rotated_clip_gives_the_frames_of_its_original(clips):
    turned, original = first(clips / "odd/derived_rot90_lp_s18.mp4"), first(clips / "real/lp_s18.mp4")
    assert turned.frames.shape == original.frames.shape
    assert (turned.frames.int() - original.frames.int()).abs().double().mean() < 4


@pytest.mark.parametrize(("name", "shape"), [("90", (568, 320)), ("180", (320, 568)), ("270", (568, 320))])
def test_phone_clips_are_rotated(clips, name, shape):
    assert first(clips / f"odd/decord_video_{name}.mov").frames.shape[2:] == shape


def test_avi_times_increase(clips):
    pts = torch.cat([batch.pts for batch in PyAVReader().chunks(str(clips / "real/mmactiontest_test.avi"), 64)])
    assert (pts.diff() > 0).all()
    assert len(pts) / 25 == pytest.approx(float(pts[-1]), abs=0.1)
