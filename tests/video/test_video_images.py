"""Frames stored as images: order by frame number, gaps, sizes, archives."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mgst_data.core import FrameBatch, VideoError
from mgst_data.video import PyAVReader


def picture(value: int, *, height: int = 12, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def read(path: Path, size: int = 64) -> list[FrameBatch]:
    return list(PyAVReader().chunks(str(path), size))


def reason(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        read(path)
    return caught.value.reason


def test_a_folder_is_ordered_by_number_and_keeps_its_gaps(tmp_path):
    for number in (10, 9, 100, 4):
        write(tmp_path / f"frame_{number}.png", picture(number))
    (tmp_path / "notes.txt").write_text("not a frame")
    (batch,) = read(tmp_path)
    assert batch.index.tolist() == [4, 9, 10, 100]
    assert batch.frames[:, 0, 0, 0].tolist() == [4, 9, 10, 100]
    assert batch.fps == 0
    assert batch.pts.tolist() == pytest.approx([n / 25 for n in (4, 9, 10, 100)])


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["left_1.png", "right_1.png"]])
def test_without_distinct_numbers_images_are_ordered_by_name(tmp_path, names):
    for value, name in enumerate(names):
        write(tmp_path / name, picture(value))
    (batch,) = read(tmp_path)
    assert batch.index.tolist() == [0, 1]
    assert batch.frames[:, 0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp"])
def test_a_single_image_is_a_video_of_one_frame(tmp_path, suffix):
    image = picture(0)
    image[..., 2] = 200  # red, in OpenCV's order
    write(tmp_path / f"face7.{suffix}", image)
    (batch,) = read(tmp_path / f"face7.{suffix}")
    assert batch.frames.shape == (1, 3, 12, 16)
    assert batch.frames[0].double().mean((1, 2)).tolist() == pytest.approx([200, 0, 0], abs=3)
    assert batch.frames.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("image", [picture(77)[..., 0], picture(77).astype(np.uint16) * 257])
def test_grey_and_16_bit_images_become_8_bit_rgb(tmp_path, image):
    write(tmp_path / "0.png", image)
    (batch,) = read(tmp_path)
    assert (batch.frames == 77).all()
    assert batch.frames.shape[1] == 3


def test_crops_of_other_sizes_are_fitted_into_the_first(tmp_path):
    write(tmp_path / "0.png", picture(50))
    write(tmp_path / "1.png", picture(60, height=24, width=32))
    write(tmp_path / "2.png", picture(70, height=24, width=16))
    (batch,) = read(tmp_path)
    assert batch.frames.shape == (3, 3, 12, 16)
    assert (batch.frames[1] == 60).all()
    assert (batch.frames[2, :, :, 4:12] == 70).all()
    assert (batch.frames[2, :, :, :4] == 0).all()


def archive(path: Path, members: dict[str, np.ndarray], *, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, image in members.items():
            data = cv2.imencode(".png", image)[1].tobytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def test_the_folders_of_an_archive_follow_each_other_with_a_gap(tmp_path):
    members = {"./3/real/20/7.png": 27, "./3/real/20/5.png": 25, "./3/real/3/9.png": 9, "./3/real/3/4.png": 4}
    path = archive(tmp_path / "3.tar.gz", {name: picture(value) for name, value in members.items()})
    (batch,) = read(path)
    assert batch.frames[:, 0, 0, 0].tolist() == [4, 9, 25, 27]
    assert batch.index.tolist() == [4, 9, 11, 13]


def test_members_cannot_leave_the_archive(tmp_path):
    path = archive(tmp_path / "escape.tar", {"../../1.png": picture(1), "/etc/2.png": picture(2)}, mode="w")
    (batch,) = read(path)
    assert sorted(batch.frames[:, 0, 0, 0].tolist()) == [1, 2]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["escape.tar"]


def test_unpacked_images_are_deleted(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.tgz", {f"{n}.png": picture(n) for n in range(5)})
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    stream = PyAVReader().chunks(str(path), 1)
    next(stream)
    assert list((tmp_path / "scratch").iterdir())
    stream.close()
    assert not list((tmp_path / "scratch").iterdir())


def test_damaged_images_are_left_out_and_reported(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.png", picture(number))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (batch,) = read(tmp_path)
    assert batch.index.tolist() == [0, 2]
    assert batch.damage == "corrupt_frames"


def test_a_pipe_among_images_is_left_out_and_does_not_block(tmp_path):
    write(tmp_path / "1.png", picture(1))
    os.mkfifo(tmp_path / "2.png")
    (batch,) = read(tmp_path)
    assert batch.index.tolist() == [1]
    assert batch.damage == "corrupt_frames"
    assert not batch.damaged.any()


def test_folders_and_archives_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    assert reason(tmp_path / "empty") == "no_frames"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"no image")
    assert reason(tmp_path / "broken") == "decode_error"
    assert reason(archive(tmp_path / "none.tar.gz", {})) == "no_frames"
    (tmp_path / "text.tar.gz").write_text("no archive")
    assert reason(tmp_path / "text.tar.gz") == "not_a_video"
    cut = archive(tmp_path / "cut.tar.gz", {f"{n}.png": picture(n) for n in range(9)})
    cut.write_bytes(cut.read_bytes()[:200])
    assert reason(cut) == "not_a_video"
    assert reason(tmp_path / "absent.png") == "missing"
