"""The demo data set: directory layout, reproducibility, motion, and fakes that agree with their masks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mgst_data.core import OutputError, UsageError
from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.demo.expression import express
from mgst_data.demo.motion import draw_motion
from mgst_data.demo.people import FEATURES, draw_identity
from mgst_data.demo.portrait import LANDMARKS, Sheet, make_sheet
from mgst_data.video import PyAVReader

SMALL = {"people": 6, "frames": 8, "size": (128, 96)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    render_demo(out, **SMALL)
    return out


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return make_sheet(draw_identity(0, np.random.default_rng(0)))


def read(path: Path) -> torch.Tensor:
    (batch,) = PyAVReader(prefetch=0).chunks(str(path), 64)
    assert batch.damage == ""
    return batch.frames.int()


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_directory_layout_is_that_of_faceforensics(demo):
    assert sorted(digest(demo)) == sorted(
        [f"original_sequences/youtube/c23/videos/00{n}.mp4" for n in range(6)]
        + [
            f"manipulated_sequences/{method}/{part}/videos/{name}.mp4"
            for method in ("Deepfakes", "FaceSwap")
            for part in ("c23", "masks")
            for name in ("000_001", "001_000", "002_003", "003_002", "004_005", "005_004")
        ]
        + [f"splits/{name}.json" for name in ("train", "val", "test")]
        + ["mgst_demo.json"]
    )


def test_the_data_set_is_named_demo(demo):
    scan = scan_dataset(demo)
    assert {record.dataset for record in scan.records} == {"demo"}
    (demo / "mgst_demo.json").rename(demo / "aside")
    assert {record.dataset for record in scan_dataset(demo).records} == {"ffpp"}
    (demo / "aside").rename(demo / "mgst_demo.json")


def test_splits_are_pairs_and_have_no_common_identity(demo):
    pairs = {name: json.loads((demo / "splits" / f"{name}.json").read_text()) for name in ("train", "val", "test")}
    assert pairs == {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}


def test_videos_have_the_requested_size_and_length(demo):
    for path in demo.rglob("*.mp4"):
        assert read(path).shape == (8, 3, 96, 128)


def test_the_same_seed_gives_bit_identical_files_and_another_seed_does_not(demo, tmp_path):
    render_demo(tmp_path / "again", **SMALL)
    render_demo(tmp_path / "other", seed=1, **SMALL)
    again, other = digest(tmp_path / "again"), digest(tmp_path / "other")
    assert again == digest(demo)
    assert not {k: v for k, v in other.items() if again[k] == v and k.endswith("mp4")}


@pytest.mark.parametrize(("method", "name"), [("Deepfakes", "000_001"), ("FaceSwap", "003_002")])
def test_a_fake_differs_from_its_target_inside_the_mask(demo, method, name):
    folder = demo / "manipulated_sequences" / method
    fake, mask = read(folder / "c23/videos" / f"{name}.mp4"), read(folder / "masks/videos" / f"{name}.mp4")
    real = read(demo / f"original_sequences/youtube/c23/videos/{name[:3]}.mp4")
    change = (fake - real).abs().double().mean(dim=1)
    inside, outside = mask.double().mean(dim=1) > 200, mask.double().mean(dim=1) < 20
    assert 0.03 < inside.double().mean() < 0.4
    assert change[inside].mean() > 4 * change[outside].mean()


def test_the_head_moves_and_the_background_does_not(demo):
    frames = read(demo / "original_sequences/youtube/c23/videos/002.mp4").double()
    change = (frames[-1] - frames[0]).abs().mean(dim=0)
    assert change[30:70, 40:90].mean() > 4 * change[:20, :20].mean()


def test_progress_is_reported(tmp_path):
    calls: list[tuple[int, int]] = []
    videos = render_demo(tmp_path, progress=lambda done, total: calls.append((done, total)), **SMALL)
    assert calls == [(6, 18), (12, 18), (18, 18)]
    assert len(videos) == 18
    assert all(video.is_file() for video in videos)


@pytest.mark.parametrize("people", [0, 4, 7])
def test_an_invalid_number_of_people_is_an_error(tmp_path, people):
    with pytest.raises(UsageError, match="even number of at least 6"):
        render_demo(tmp_path, people=people)


def test_a_folder_that_is_not_writable_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        render_demo(tmp_path / "file" / "below", **SMALL)


def test_people_differ():
    people = [draw_identity(n, np.random.default_rng(n)) for n in range(12)]
    assert len({(p.hair, p.skin, p.backdrop) for p in people}) == 12
    for identity in people:
        assert all(abs(s) <= f.most for s, f in zip(identity.shape, FEATURES.values(), strict=True))


@pytest.mark.parametrize("number", [0, 1])
def test_landmarks_follow_the_face(number):
    still = make_sheet(draw_identity(number, np.random.default_rng(3)))
    eyes, mouth = still.landmarks[36:48], still.landmarks[48:68]
    assert np.abs(still.landmarks - np.array(LANDMARKS)).max() < 16
    assert (np.diff(still.landmarks[[36, 45], 0]) > 30).all()
    assert mouth[:, 1].min() > eyes[:, 1].max()


def test_an_open_mouth_is_dark_and_a_closed_mouth_hides_the_teeth(sheet):
    lip = sheet.landmarks[66]
    column, row = round((float(lip[0]) - 60) * 2), round(float(lip[1]) * 2)
    closed, still, wide = (
        express(sheet.dressed, sheet.landmarks, mouth=mouth, blink=0.0)[row - 12 : row + 12, column]
        for mouth in (-5.0, 0.0, 7.0)
    )
    assert wide.mean(axis=1).min() < 60 < still.mean(axis=1).min()
    assert closed.mean(axis=1).max() < still.mean(axis=1).max()


def test_only_the_eyes_change_in_a_blink(sheet):
    shut = express(sheet.dressed, sheet.landmarks, mouth=0.0, blink=1.0)
    open_ = express(sheet.dressed, sheet.landmarks, mouth=0.0, blink=0.0)
    rows, columns = np.nonzero((shut != open_).any(axis=-1))
    eyes = (sheet.landmarks[36:48] - (60, 0)) * 2
    assert len(rows)
    assert eyes[:, 1].min() - 26 <= rows.min() <= rows.max() <= eyes[:, 1].max() + 14
    assert eyes[:, 0].min() - 14 <= columns.min() <= columns.max() <= eyes[:, 0].max() + 14


def test_a_talking_head_blinks_and_speaks():
    motion = draw_motion(250, 25, np.random.default_rng(0))
    assert motion.blink.max() == 1
    assert (motion.blink == 0).mean() > 0.5
    assert motion.mouth.max() > 3
    assert motion.mouth.min() < 0
    assert np.abs(np.diff(motion.turn, axis=0)).max() < 3
