"""A video that vanishes or is cut off after the data set was listed, or while it is read."""

import os
import shutil

import pytest
from face_videos import encode, faces

from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.video.pyav import PyAVReader


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    (root / "real").mkdir()
    for number in range(2):
        encode(root / "real" / f"{number}.mp4", faces(10), front=True)
    return root


def gone(path):
    path.unlink()


def cut_off(path):
    os.truncate(path, path.stat().st_size // 2)


def replaced_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("vanish", [gone, cut_off, replaced_by_folder])
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_video_that_vanishes_is_skipped_and_the_others_are_complete(source, tmp_path, monkeypatch, vanish, when):
    root = shutil.copytree(source, tmp_path / "set")
    scan, victim = scan_dataset(root), root / "real" / "0.mp4"
    if when == "before":
        vanish(victim)
    else:
        chunks = PyAVReader.chunks

        def reading(self, path, size):
            for number, batch in enumerate(chunks(self, path, 2)):
                if number == 0 and str(path) == str(victim):
                    vanish(victim)
                yield batch

        monkeypatch.setattr(PyAVReader, "chunks", reading)
    summary = extract(scan, ExtractConfig(), tmp_path / "out", executor="serial", device="cpu")
    assert summary.complete
    assert summary.totals.overall.videos + summary.totals.overall.skipped == 2
    faulty = {video.video for video in (*summary.skipped, *summary.noted)}
    assert faulty <= {"real/0.mp4"}
    assert faulty or when == "while"
