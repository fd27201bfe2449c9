"""What a score says about real people."""

import json

import pytest
import torch

from mgst_data.core import UsageError
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import load_network, read_card, save_network

SCORES = (0.1, 0.2, 0.2, 0.4, 0.9)


def test_the_false_positive_rate_counts_real_videos_with_at_least_this_score():
    known = Calibration(SCORES, people=4)
    assert [known.false_positive_rate(score) for score in (0, 0.2, 0.21, 0.9, 0.95)] == pytest.approx(
        [1, 0.8, 0.4, 0.2, 0]
    )


@pytest.mark.parametrize("rate", [0, 0.1, 0.2, 0.5, 0.99, 1])
def test_at_most_the_wanted_share_of_real_videos_is_above_the_threshold(rate):
    real = tuple(sorted(torch.rand(40, generator=torch.Generator().manual_seed(3)).tolist()))
    threshold = Calibration(real, people=10).threshold(rate)
    above = sum(score > threshold for score in real) / len(real)
    assert above <= rate
    # No lower score would do.
    lower = [score for score in (*real, 0.0) if score < threshold]
    assert all(sum(score > one for score in real) / len(real) > rate for one in lower)


@pytest.mark.parametrize(
    ("real", "people", "said"),
    [
        ((), 1, "at least one score"),
        ((0.2, 1.2), 1, "all in"),
        ((0.3, 0.2), 1, "must ascend"),
        ((0.2,), 0, "people must be at least 1"),
    ],
)
def test_malformed_calibrations_are_errors(real, people, said):
    with pytest.raises(ValueError, match=said):
        Calibration(real, people)


CONFIG = NetworkConfig(kind="image", backbone="resnet10t", pretrained="random")


def network():
    with torch.random.fork_rng(devices=[]):
        return build_network(CONFIG)


@pytest.fixture
def stored(tmp_path):
    def make(info):
        return save_network(tmp_path / "net", network(), CONFIG, frames=1, size=32, info=info)

    return make


def test_a_card_knows_calibration_and_threshold(stored):
    path = stored({"calibration": {"videos": {"real": SCORES, "people": 4}}})
    card = read_card(path)
    assert card.calibration() == Calibration(SCORES, 4)
    assert card.calibration(picture=True) is None
    assert card.threshold == 0.9
    assert load_network(path).threshold == 0.9


def test_without_calibration_the_threshold_is_one_half(stored):
    card = read_card(stored({}))
    assert (card.calibration(), card.threshold, card.caution) == (None, 0.5, "")


def test_an_experimental_network_says_so(stored):
    assert "do not base decisions on it: at chance" in read_card(stored({"experimental": "at chance"})).caution


@pytest.mark.parametrize("given", [{"real": [2]}, {"real": [2], "people": 3}, [1]])
def test_a_damaged_calibration_is_one_clear_line(stored, given):
    path = stored({"calibration": {"videos": given}})
    with pytest.raises(UsageError, match="not a network card"):
        read_card(path)


def test_weights_in_half_precision_load_as_floats(tmp_path):
    path = save_network(tmp_path / "half", network().half(), CONFIG, frames=1, size=32)
    loaded = load_network(path)
    assert {value.dtype for value in loaded.network.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }
    assert json.loads(path.with_suffix(".json").read_text())["size"] == 32
