"""``mgst-calibrate``, and the commands that use what it stores."""

import json
from contextlib import nullcontext

import pytest
from click.testing import CliRunner
from face_videos import encode, faces
from mgst_cli.calibrate import calibrate
from mgst_cli.predict import predict
from test_evaluate import FAST, make_weights, mgst_eval, weights, write_shards  # noqa: F401 - fixtures

from mgst_model.networks.checkpoint import read_card


@pytest.fixture(scope="module")
def reals(tmp_path_factory):
    """Two real videos of the split test, one without a face, and one of the split train."""
    return write_shards(tmp_path_factory.mktemp("reals") / "shards", dataset="mine", fakes=())


def mgst_calibrate(*arguments):
    result = CliRunner().invoke(calibrate, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def calibrated(reals, weights, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("calibrated")
    result = mgst_calibrate(reals, "--weights", weights, "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    return out / weights.name, result


def test_a_calibration_is_stored_and_shown(reals, weights, calibrated):  # noqa: F811
    path, result = calibrated
    assert "3 real videos of 3 people: p-values from 0.250" in result.stdout
    assert result.stdout.splitlines()[-1] == str(path.with_suffix(".json"))
    assert "3 people in videos can hold false-positive rates from 25% only" in result.stderr
    assert path.read_bytes() == weights.read_bytes()
    known = read_card(path).calibration()
    assert (len(known.real), known.people) == (3, 3)
    assert read_card(weights).calibration() is None
    again = mgst_calibrate(reals, "--weights", path, "--device", "cpu", "--split", "test", "--json")
    about = json.loads(again.stdout)
    assert about["calibration"]["videos"]["people"] == 2
    mgst_calibrate(reals, "--weights", path, "--device", "cpu")  # as before, for the other tests
    assert read_card(path).calibration() == known


def test_shards_without_real_videos_are_one_clear_line(weights, tmp_path):  # noqa: F811
    shards = write_shards(tmp_path / "fakes", dataset="f", fakes=("Swap",), labels=(1,), faceless=False)
    result = mgst_calibrate(shards, "--weights", weights, "--device", "cpu", "--split", "test")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(f"error: {shards}: no real videos in the split 'test' (")


def test_an_evaluation_says_whether_p_values_hold(calibrated, tmp_path):
    shards = write_shards(tmp_path / "shards", faceless=False)
    result = mgst_eval(shards, "--weights", calibrated[0], *FAST, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["reliability"]
    assert found["p_values"]["real"] == found["p_values"]["people"] == 2
    assert 0 <= found["p_values"]["excess"][0] <= found["p_values"]["error"][0] <= 1
    assert found["abstention"][0]["answered"] == 1
    assert {"p-values.png", "abstention.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "## p-values of real videos" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("threshold", "code", "said"),
    [
        ("25%", 0, "p-value"),
        ("5%", 2, "3 people in real videos, which can hold false-positive rates from 25 %, got 5 %"),
        ("120%", 2, "neither a score from 0 to 1 nor a percentage"),
        ("high", 2, "neither a score from 0 to 1 nor a percentage"),
    ],
)
def test_a_threshold_may_be_a_false_positive_rate(calibrated, tmp_path, monkeypatch, threshold, code, said):
    # Starting another process takes longer than the test.
    monkeypatch.setattr("mgst_cli.predict.command.RunProcess", nullcontext)
    video = encode(tmp_path / "nod.mp4", faces(9))
    words = [video, "--weights", calibrated[0], "--device", "cpu", "--no-video", "--threshold", threshold]
    result = CliRunner().invoke(predict, [str(word) for word in words])
    assert result.exit_code == code, result.output
    if code:
        assert said in result.stderr
        return
    stored = json.loads((tmp_path / "nod-scores" / "scores.json").read_text())
    assert stored["threshold"] == read_card(calibrated[0]).threshold_at(0.25)
    # A face of another size than in the shards.
    assert stored["verdict"] == "cannot say"
    assert stored["p_value"] is None
    assert stored["doubts"][0] in result.stdout
    assert stored["false_positive_rate"] is not None
