"""The weights that come with the toolkit."""

import json
import socket

import pytest
from click.testing import CliRunner
from face_videos import encode, faces
from mgst_cli.predict import predict

from mgst_model.networks.checkpoint import CARD, PACKAGED, WEIGHTS, read_card
from mgst_model.predict import load_detector


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("videos") / "talk.mp4", faces(12))


def test_they_are_small_and_their_card_says_what_they_are():
    assert PACKAGED.with_name(PACKAGED.name + WEIGHTS).stat().st_size <= 10 * 2**20
    card = read_card(PACKAGED)
    assert card.info["trained_on"]["people"] > 1000
    for picture in (False, True):
        known = card.calibration(picture=picture)
        assert known is not None
        assert known.people > 10
    assert 0 < card.threshold < 1
    # No names of files or people.
    assert set(card.info) <= {"trained_on", "calibration", "experimental"}
    text = PACKAGED.with_name(PACKAGED.name + CARD).read_text()
    assert "/" not in json.dumps(json.loads(text)["info"])


@pytest.mark.usefixtures("offline")
def test_a_detector_needs_no_weights_and_no_network(video):
    found = load_detector(device="cpu").predict(video)
    assert 0 <= found.score <= 1
    assert found.false_positive_rate == found.calibration.false_positive_rate(found.score)
    assert found.caution == read_card(PACKAGED).caution


@pytest.mark.usefixtures("offline")
def test_the_command_needs_no_weights(video, tmp_path):
    result = CliRunner().invoke(
        predict, [str(video), "--device", "cpu", "--no-video", "--out", str(tmp_path / "scores")]
    )
    assert result.exit_code == 0, result.output
    card = read_card(PACKAGED)
    assert "that the network has not seen score at least as high" in result.stdout
    assert card.caution in result.output
    stored = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert stored["threshold"] == card.threshold
    assert stored["false_positive_rate"] is not None
