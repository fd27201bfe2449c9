"""``mgst-predict``: scores, result files, and messages for bad input. Most tests use a fake network."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from face_videos import empty_rooms, encode, faces, head
from mgst_cli.predict import predict
from torch import nn

from mgst_data.core import UsageError
from mgst_data.extract.extractor import Extractor
from mgst_data.shards.lock import FolderLock
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import LoadedNetwork, save_network
from mgst_model.networks.output import SegmentOutput
from mgst_model.predict import Detector

SIZE = 64
load_once = cache(Extractor)


class LeftIsFake(nn.Module):
    """A fake network: the score grows with the brightness of the crop, patch scores grow to the right."""

    def forward(self, frames):
        assert frames.shape[-2:] == (SIZE, SIZE)
        b, t = frames.shape[:2]
        logits = 20 * (frames.mean(dim=(2, 3, 4)) - 0.42)
        patches = torch.linspace(-3, 3, 4).expand(b, t - 1, 4, 4) if t > 1 else None
        return SegmentOutput(logits.mean(dim=1), logits, None, patches)


def loaded(frames=4):
    config = NetworkConfig(kind="image" if frames == 1 else "parallel")
    return LoadedNetwork(
        network=LeftIsFake().eval(), config=config, frames=frames, size=SIZE, info={"name": "stand-in"}
    )


@pytest.fixture(autouse=True)
def _models_are_loaded_once(monkeypatch):
    """Loading the models takes longer than most tests. An extractor keeps no state between videos."""
    monkeypatch.setattr("mgst_model.predict.faces.Extractor", load_once)


_STAND_IN = ("--weights", "stand-in", "--device", "cpu", "--precision", "fp32")


@pytest.fixture
def mgst_predict(monkeypatch):
    """``mgst_predict(video, frames=4)`` runs the command with the fake network."""

    def run(*arguments, frames=4, card=None):
        card = card or loaded(frames)
        # Starting another process takes longer than most tests.
        monkeypatch.setattr("mgst_cli.predict.command.RunProcess", nullcontext)
        monkeypatch.setattr("mgst_model.predict.detector.load_network", lambda path, device="cpu": card)
        monkeypatch.setattr("mgst_cli.predict.batch.read_card", lambda path: card)
        words = [str(argument) for argument in (*_STAND_IN, *arguments)]
        result = CliRunner().invoke(predict, words)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A bright face on the left and a dark one on the right, which leaves half way through."""
    frames = faces(22, (0, 20), size=(440, 240))
    for n, frame in enumerate(frames):
        if n < 12:
            frame[20:220, 230:430] = head(200) // 2
    return encode(tmp_path_factory.mktemp("talk") / "talk.mp4", frames)


def pictures_of(path):
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_two_faces_are_scored_written_and_shown(mgst_predict, talk, tmp_path):
    out = tmp_path / "new" / "scores"
    result = mgst_predict(talk, "--out", out)
    assert result.exit_code == 0
    assert result.stderr == ""
    files = [out / name for name in ("scores.json", "timeline.png", "talk.mp4", "report.html")]
    assert sorted(out.iterdir()) == sorted(files)
    lines = result.stdout.splitlines()
    assert lines[-4:] == [str(path) for path in files]
    assert lines[1].split() == ["face", "time", "frames", "score", "verdict"]

    scores = json.loads(files[0].read_text())
    assert (scores["frames"], scores["fps"], scores["size"]) == (22, 25.0, [440, 240])
    assert scores["model"] == {"name": "stand-in", "frames": 4, "size": SIZE, "precision": "fp32"}
    long, short = sorted(scores["tracks"], key=lambda track: -len(track["frame"]))
    assert long["frame"] == list(range(22))
    assert short["frame"][-1] in (11, 12)
    assert long["time"] == pytest.approx([n / 25 for n in range(22)], abs=1e-3)
    assert long["spans"] == [{"frames": [0, 21], "seconds": [0.0, 0.84]}]
    assert (long["verdict"], short["verdict"]) == ("fake", "not called fake")
    assert (scores["main_track"], scores["verdict"], scores["score"]) == (long["track"], "fake", long["score"])
    # 22 frames give five windows of 4, and a last one that overlaps.
    assert [window["frames"] for window in long["windows"]] == [[0, 3], [4, 7], [8, 11], [12, 15], [16, 19], [18, 21]]
    assert long["score"] == pytest.approx(np.mean([window["score"] for window in long["windows"]]), abs=1e-3)
    assert np.mean(long["frame_score"]) == pytest.approx(long["score"], abs=0.02)
    assert np.array(long["windows"][0]["patch_score"]).shape == (4, 4)

    shown = pictures_of(files[2])
    assert len(shown) == 22
    assert shown[0].shape[1] == 440
    before, after = shown[3].astype(int), pictures_of(talk)[3].astype(int)
    marked = np.abs(before[:240] - after).max(axis=2) > 60
    assert marked[:, :220].any()
    assert marked[:, 220:].any()
    assert not (np.abs(shown[20][:240, 230:].astype(int) - pictures_of(talk)[20][:, 230:]) > 60).any()
    assert cv2.imread(str(files[1])).shape[1] == 1200


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-4), ("bf16", 0.02)])
def test_scores_of_saved_weights_equal_those_of_the_network(talk, tmp_path, precision, tolerance):
    """Real weights, real network: nothing is replaced."""
    config = NetworkConfig(
        backbone="test_efficientnet", pretrained="random", dim=16, heads=2, blocks=3, embedding_dim=8
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config).eval()
    weights = save_network(tmp_path / "network", network, config, frames=4, size=SIZE, info={"name": "drawn"})
    asked = [talk, "--weights", weights, "--device", "cpu", "--json", "--out", tmp_path / "scores"]
    asked += ["--precision", precision]
    result = CliRunner().invoke(predict, [str(word) for word in asked])
    assert result.exit_code == 0, result.output
    (said,) = json.loads(result.stdout)["videos"]
    wanted = Detector(LoadedNetwork(network=network, config=config, frames=4, size=SIZE, info={})).predict(str(talk))
    assert said["score"] == pytest.approx(wanted.score, abs=tolerance)
    kept = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert kept["model"] == {"name": "drawn", "frames": 4, "size": SIZE, "precision": precision}
    for track, found in zip(kept["tracks"], wanted.tracks, strict=True):
        assert track["frame_score"] == pytest.approx(found.score.tolist(), abs=tolerance)
        for mine, theirs in zip(track["windows"], found.windows, strict=True):
            assert np.array(mine["patch_score"]) == pytest.approx(theirs.patches.numpy(), abs=5 * tolerance)
    assert len({track["score"] for track in kept["tracks"]}) == 2
    assert len(pictures_of(tmp_path / "scores" / "talk.mp4")) == 22


def test_main_face_is_the_largest_and_the_highest_score_is_shown(mgst_predict, tmp_path):
    frames = faces(10, (0, 10), size=(460, 260), side=240)
    for frame in frames:
        frame[:] //= 2
        frame[60:200, 300:440] = head(140)
    path = encode(tmp_path / "two.mp4", frames)
    result = mgst_predict(path, "--json", "--no-video", "--no-report", "--out", tmp_path / "out")
    assert result.stderr == ""
    (video,) = json.loads(result.stdout)["videos"]
    assert video["main_track"] != video["highest_track"]
    scores = {track["track"]: track["score"] for track in video["tracks"]}
    assert video["score"] == scores[video["main_track"]] < 0.5 < scores[video["highest_track"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores.json", "timeline.png"]
    assert "highest score: face" in mgst_predict(path, "--no-video", "--out", tmp_path / "out").stdout


def test_each_video_has_a_result_folder_and_a_bad_video_stops_no_other(mgst_predict, talk, tmp_path):
    good = tmp_path / "good.mp4"
    good.write_bytes(talk.read_bytes())
    room = encode(tmp_path / "room.mp4", empty_rooms(10))
    result = mgst_predict(room, good, "--no-video", "--json")
    assert result.exit_code == 3
    assert result.stderr == f"error: {room}: no face in 10 frames (use a video in which a face is clearly visible)\n"
    bad, fine = json.loads(result.stdout)["videos"]
    assert (bad["reason"], fine["tracks"][0]["frames"]) == ("no_face", 22)
    assert (tmp_path / "good-scores" / "scores.json").exists()
    assert not (tmp_path / "room-scores").exists()

    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 50)
    result = mgst_predict(room, text, "--no-video")
    assert result.exit_code == 1
    assert [line.split(": ")[2].split(" (")[0] for line in result.stderr.splitlines()] == [
        "no face in 10 frames",
        "not a video",
    ]


def test_videos_of_one_name_do_not_overwrite_each_other(mgst_predict, talk, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.mp4").write_bytes(talk.read_bytes())
    result = mgst_predict(*tmp_path.glob("*/talk.mp4"), "--no-video", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["assets", "talk-scores", "talk-scores-2"]
    # The pages share their scripts.
    assert 'src="../assets/plotly.min.js"' in (tmp_path / "out" / "talk-scores" / "report.html").read_text()


def test_windows_may_overlap_but_not_skip_frames(mgst_predict, talk, tmp_path):
    mgst_predict(talk, "--no-video", "--stride", "2", "--out", tmp_path)
    tracks = json.loads((tmp_path / "scores.json").read_text())["tracks"]
    assert max(len(track["windows"]) for track in tracks) == 10
    result = mgst_predict(talk, "--stride", "5")
    assert result.exit_code == 2
    message = "stride must be at most 4, the number of frames of a window, got 5 (a larger stride leaves out frames)"
    assert result.stderr == f"error: {message}\n"


def test_track_shorter_than_a_window_is_scored(mgst_predict, tmp_path):
    path = encode(tmp_path / "brief.mp4", faces(9))
    mgst_predict(path, "--no-video", "--out", tmp_path, frames=16)
    (track,) = json.loads((tmp_path / "scores.json").read_text())["tracks"]
    assert [window["frames"] for window in track["windows"]] == [[0, 8]]


def test_picture_needs_a_network_for_single_frames(mgst_predict, tmp_path):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), faces(1)[0][..., ::-1])
    result = mgst_predict(path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {path}: is a single picture, but this network needs 4 consecutive frames")
    out = tmp_path / "out"
    result = mgst_predict(path, "--out", out, frames=1)
    assert result.exit_code == 0
    assert sorted(file.name for file in out.iterdir()) == ["face.png", "report.html", "scores.json"]
    (track,) = json.loads((out / "scores.json").read_text())["tracks"]
    assert track["frame"] == [0]
    assert "patch_score" not in track["windows"][0]
    assert cv2.imread(str(out / "face.png")).shape == (240, 240, 3)


def test_inputs_that_cannot_be_scored_do_not_stop_the_others(mgst_predict, tmp_path):
    nod = encode(tmp_path / "nod.mp4", faces(9))
    picture, empty = tmp_path / "face.png", tmp_path / "empty.mp4"
    cv2.imwrite(str(picture), faces(1)[0][..., ::-1])
    empty.touch()
    out = tmp_path / "out"
    arguments = (empty, picture, nod, tmp_path / "gone.mp4", tmp_path / "*.mkv")
    result = mgst_predict(*arguments, "--out", out, "--no-video", "--json")
    assert result.exit_code == 1
    videos = json.loads(result.stdout)["videos"]
    reasons = ["empty_file", "single_picture", None, "missing", "missing"]
    assert [video.get("reason") for video in videos] == reasons
    assert sorted(path.name for path in out.iterdir()) == ["assets", "nod-scores"]
    assert len(result.stderr.splitlines()) == 4
    tally = mgst_predict(nod, empty, "--out", out, "--no-video").stdout.splitlines()[-1]
    assert tally in ("2 inputs: 1 fake, 1 empty_file", "2 inputs: 1 not called fake, 1 empty_file")


def test_results_of_a_folder_are_next_to_it_and_are_not_inputs(mgst_predict, tmp_path):
    clips = tmp_path / "clips"
    (clips / "b").mkdir(parents=True)
    for path in (clips / "one.mp4", clips / "b" / "two.mp4"):
        encode(path, faces(9))
    for _ in range(2):
        result = mgst_predict(clips, "--json")
        assert [video["video"] for video in json.loads(result.stdout)["videos"]] == [
            str(clips / "one.mp4"),
            str(clips / "b" / "two.mp4"),
        ]
    scored = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("scores.json"))
    assert list(map(str, scored)) == ["clips-scores/b/two-scores/scores.json", "clips-scores/one-scores/scores.json"]


def test_two_runs_cannot_write_one_folder(mgst_predict, tmp_path):
    nod, other = encode(tmp_path / "nod.mp4", faces(9)), encode(tmp_path / "other.mp4", faces(20))
    with FolderLock(tmp_path / "nod-scores"):
        result = mgst_predict(nod, other, "--no-video")
    assert result.exit_code == 1
    assert "nod-scores: in use by another run (process " in result.stderr
    assert not (tmp_path / "nod-scores" / "scores.json").exists()
    found = json.loads((tmp_path / "other-scores" / "scores.json").read_text())
    assert len(found["tracks"][0]["frame_score"]) == 20  # those of this video, and not of the locked one


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [
        ({"real_videos": {"demo": 4}, "people": 4}, "the rendered demo set only"),
        ({"real_videos": {"mine": 9}, "people": 1}, "1 person only"),
        ({"real_videos": {"ffpp": 720}, "people": 720}, ""),
        ({"real_videos": {"mine": 9}, "people": None}, ""),
        ("nonsense", ""),
    ],
)
def test_network_trained_on_few_people_gives_a_note(mgst_predict, monkeypatch, tmp_path, trained_on, words):
    nod = encode(tmp_path / "nod.mp4", faces(9))
    known = replace(loaded(), info={"trained_on": trained_on})
    result = mgst_predict(nod, "--no-video", card=known)
    caution = json.loads((tmp_path / "nod-scores" / "scores.json").read_text())["caution"]
    if words:
        assert f"note: this network was trained on {words}" in result.stderr
        assert words in caution
    else:
        assert result.stderr == caution == ""


@pytest.mark.parametrize(("name", "more"), [("nod.mp4", ()), ("scores.png", ("--no-video",)), ("face.png", ())])
def test_inputs_are_never_overwritten(name, more, mgst_predict, tmp_path):
    path = tmp_path / name
    if path.suffix == ".mp4":
        encode(path, faces(6))
    else:
        cv2.imwrite(str(path), faces(1)[0][..., ::-1])
    before = path.read_bytes()
    result = mgst_predict(path, "--out", tmp_path / "." / "x" / "..", *more, frames=1)
    assert path.read_bytes() == before
    if more:
        assert result.exit_code == 0
    else:
        assert result.exit_code == 2
        assert f"{name}: the results would overwrite this input (choose another --out)" in result.stderr


def test_network_for_single_frames_scores_each_frame(mgst_predict, tmp_path):
    path = encode(tmp_path / "nod.mp4", faces(10))
    assert mgst_predict(path, frames=1).exit_code == 0
    (track,) = json.loads((tmp_path / "nod-scores" / "scores.json").read_text())["tracks"]
    assert [window["frames"] for window in track["windows"]] == [[n, n] for n in range(10)]


def test_squares_are_the_scored_crops(talk):
    # A square around the face box, with a margin of 0.3 of its longer side on each side.
    found = Detector(loaded()).predict(str(talk))
    track = found.tracks[found.main]
    x0, y0, x1, y1 = track.squares[0]
    bx0, by0, bx1, by1 = track.boxes[0]
    assert x1 - x0 == pytest.approx(y1 - y0, abs=1e-6)
    assert x1 - x0 == pytest.approx((by1 - by0) * 1.6, rel=0.1)
    assert (x0 + x1) / 2 == pytest.approx((bx0 + bx1) / 2, abs=6)
    assert (y0 + y1) / 2 == pytest.approx((by0 + by1) / 2, abs=6)


def test_a_stride_is_checked_before_models_are_loaded():
    with pytest.raises(UsageError, match="stride must be at most"):
        Detector(loaded(), stride=9)


def test_missing_input_is_named(mgst_predict, tmp_path):
    result = mgst_predict(tmp_path / "nowhere.mp4")
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path}/nowhere.mp4: no such file (check the path)\n"
    assert mgst_predict().exit_code == 2


def test_output_that_is_not_a_folder_is_rejected(mgst_predict, talk, tmp_path):
    (tmp_path / "file").write_text("")
    result = mgst_predict(talk, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {tmp_path}/file: ")


class Malice:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_foreign_weights_are_rejected_and_never_unpickled(talk, tmp_path, suffix):
    mark, weights = tmp_path / "mark", tmp_path / f"best{suffix}"
    torch.save({"weights": Malice(str(mark))}, weights)
    for card in (None, "{}"):
        if card:
            weights.with_suffix(".json").write_text(card)
        result = CliRunner().invoke(predict, [str(talk), "--weights", str(weights), "--device", "cpu"])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
        assert not mark.exists()


def test_help_does_not_wait_for_torch():
    code = "import sys; from mgst_cli.predict import predict; predict.main(['--help'], standalone_mode=False)"
    code += "; sys.exit('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "--weights" in shown.stdout
