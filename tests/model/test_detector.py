"""The detector: one object from a video to its score, for every form of video."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from face_videos import encode, faces
from mgst_cli.predict import predict

from mgst_data.core import NoFaceError, UsageError, VideoError
from mgst_data.video import PyAVReader
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import load_network, save_network
from mgst_model.predict import VideoPrediction, load_detector

ROOT = Path(__file__).parents[2]
SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a training with random weights, and a video in it."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "runs" / "small").mkdir(parents=True)
    config = NetworkConfig(
        backbone="test_efficientnet", pretrained="random", dim=16, heads=2, blocks=3, embedding_dim=8
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_network(folder / "runs/small/best", build_network(config).eval(), config, frames=4, size=SIZE)
    encode(folder / "video.mp4", faces(20))
    return folder


@pytest.fixture(scope="module")
def detector(folder):
    return load_detector(folder / "runs/small/best", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def prediction(detector, folder):
    return detector.predict(folder / "video.mp4")


def frames_of(path):
    return torch.cat([batch.frames for batch in PyAVReader().chunks(str(path), 64)])


def test_the_readme_example_gives_the_score_of_the_command(folder):
    blocks = [part.split("```")[0] for part in (ROOT / "README.md").read_text().split("```python\n")[1:]]
    (code,) = (block for block in blocks if "load_detector" in block)
    lines = [line[2:] if line.startswith("  ") else line for line in code.splitlines()]
    code = "\n".join(lines).replace("load_detector(", "load_detector(precision='fp32', device='cpu', ")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + "\nprint(repr(prediction.score))\n"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    arguments = [folder / "video.mp4", "--device", "cpu", "--json"]
    arguments += ["--precision", "fp32", "--out", folder / "command"]
    said = CliRunner().invoke(predict, [str(argument) for argument in arguments])
    assert said.exit_code == 0, said.output
    score = float(done.stdout.splitlines()[-1])
    written = json.loads((folder / "command" / "scores.json").read_text())
    assert written == json.loads((folder / "scores" / "scores.json").read_text()) | {"video": written["video"]}
    assert json.loads(said.stdout)["videos"][0]["score"] == round(score, 4)
    assert 0 < score < 1


def test_frames_in_memory_have_the_scores_of_the_file(detector, prediction, folder):
    frames = frames_of(folder / "video.mp4")
    for given in (frames, frames.permute(0, 2, 3, 1).numpy()):
        found = detector.predict(given, fps=25.0)
        assert found.score == pytest.approx(prediction.score, abs=1e-6)
        assert found.tracks[0].time.tolist() == pytest.approx(prediction.tracks[0].time.tolist())
        assert [time for time, _ in found.annotate()] == pytest.approx(prediction.tracks[0].time.tolist())


def test_a_folder_of_frames_is_one_video(detector, prediction, folder, tmp_path):
    for number, frame in enumerate(frames_of(folder / "video.mp4")):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), frame.permute(1, 2, 0).numpy()[..., ::-1])
    assert detector.predict(tmp_path).score == pytest.approx(prediction.score, abs=1e-6)


def test_a_list_gives_a_list(detector, prediction, folder):
    path = folder / "video.mp4"
    assert [found.score for found in detector.predict([path, str(path)])] == [prediction.score] * 2
    assert detector.predict([]) == []


def test_a_prediction_has_all_grains(prediction):
    assert isinstance(prediction, VideoPrediction)
    (track,) = prediction.tracks
    assert len(track) == len(track.score) == prediction.frames == 20
    assert [(window.first, window.last) for window in track.windows] == [(i, i + 3) for i in range(0, 20, 4)]
    assert prediction.score == pytest.approx(sum(window.score for window in track.windows) / 5)
    assert track.spans() == [(0, 20)]
    assert track.windows[0].patches.shape == (4, 4)
    assert "score 0." in repr(prediction)


def test_a_prediction_is_plotted_and_saved(prediction, tmp_path):
    picture = prediction.plot()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    files = prediction.save(tmp_path / "new")
    assert [path.name for path in files] == ["scores.json", "timeline.png", "video.mp4", "report.html"]
    with av.open(str(files[2])) as film:
        assert sum(1 for _ in film.decode(video=0)) == 20
    files = prediction.save(tmp_path, video=False, report=False)
    assert [path.name for path in files] == ["scores.json", "timeline.png"]


def test_squares_lie_around_the_face(folder, prediction, tmp_path):
    network = load_network(folder / "runs/small/best")
    save_network(tmp_path / "tight", network.network, network.config, frames=4, size=SIZE, face_margin=0.125)
    tight = load_detector(tmp_path / "tight", device="cpu", precision="fp32").predict(folder / "video.mp4")
    (track,), (whole,) = tight.tracks, prediction.tracks
    area, wider, faces = (
        (one[:, 2] - one[:, 0]) * (one[:, 3] - one[:, 1]) for one in (track.squares, whole.squares, track.boxes)
    )
    assert (area < 0.8 * wider).all()
    overlap = np.minimum(track.squares[:, 2:], track.boxes[:, 2:]) - np.maximum(
        track.squares[:, :2], track.boxes[:, :2]
    )
    assert (overlap.clip(0).prod(axis=1) > 0.9 * faces).all()
    assert tight.score != prediction.score


@pytest.mark.parametrize(
    ("frames", "error", "words"),
    [
        (np.zeros((4, 8, 8, 3)), TypeError, r"frames must be uint8, RGB in \[0, 255\], got float64"),
        (np.zeros((4, 3, 8, 8), np.uint8), ValueError, r"must have shape \(n, h, w, 3\) .*, got \(4, 3, 8, 8\)"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), ValueError, r"shape \(n, 3, h, w\) .*, got \(4, 8, 8, 3\)"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), ValueError, r"with n >= 1, got \(0, 3, 8, 8\)"),
        (np.zeros((9, 64, 64, 3), np.uint8), NoFaceError, "frames: no face in 9 frames"),
        (np.zeros((1, 64, 64, 3), np.uint8), VideoError, "frames: is a single picture, but this network needs 4"),
    ],
)
def test_input_that_cannot_be_scored_is_rejected_with_the_reason(detector, frames, error, words):
    with pytest.raises(error, match=words):
        detector.predict(frames)


def test_missing_videos_and_weights_are_named(detector, tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        detector.predict(tmp_path / "gone.mp4")
    with pytest.raises(UsageError, match="no such file"):
        load_detector(tmp_path / "gone")


def test_heavy_modules_are_imported_on_first_use():
    code = "import sys, mgst_model.predict, mgst_data; print({'torch', 'cv2', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
