"""What a score says about real people: p-values, thresholds, conditions, and the card that holds them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mgst_data.core import UsageError
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.calibration import BEYOND, Calibration
from mgst_model.networks.checkpoint import load_network, read_card, save_network, write_calibration
from mgst_model.networks.trained_videos import TrainedVideos
from mgst_model.predict.meaning import meaning_of

SCORES = (0.1, 0.2, 0.2, 0.4, 0.9)
BY_PERSON = Calibration(SCORES, people=3, person=(0, 1, 1, 2, 1))


def test_the_false_positive_rate_counts_real_videos_with_at_least_this_score():
    rates = [BY_PERSON.false_positive_rate(score) for score in (0, 0.2, 0.21, 0.9, 0.95)]
    assert rates == pytest.approx([1, 0.8, 0.4, 0.2, 0])


def test_a_person_counts_once_however_many_videos_there_are():
    # Person 1 has three videos: each counts a third.
    assert BY_PERSON.p_value(0.95) == pytest.approx(1 / 4)
    assert BY_PERSON.p_value(0.9) == pytest.approx((1 + 1 / 3) / 4)
    assert BY_PERSON.p_value(0.4) == pytest.approx((1 + 1 + 1 / 3) / 4)
    assert BY_PERSON.p_value(0.0) == 1
    assert replace(BY_PERSON, person=()).p_value(0.9) is None


def drawn(generator, people):
    """Real videos of people: a person has a level, and one to six videos with scores around it."""
    scores, person = [], []
    for number in range(people):
        count = int(generator.integers(1, 7))
        level = generator.normal(scale=2)
        scores += (1 / (1 + np.exp(-level - generator.normal(size=count)))).tolist()
        person += [number] * count
    order = np.argsort(scores)
    return [scores[i] for i in order], [person[i] for i in order]


def test_p_values_of_new_people_are_valid():
    """P(p <= a) <= a: people are drawn anew 1,500 times, the last one of them is the new one."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(1500):
        scores, person = drawn(generator, 20)
        known = [(score, who) for score, who in zip(scores, person, strict=True) if who != 19]
        new = [score for score, who in zip(scores, person, strict=True) if who == 19]
        calibration = Calibration(tuple(s for s, _ in known), 19, tuple(p for _, p in known))
        found.append(calibration.p_value(float(generator.choice(new))))
    for a in (0.05, 0.1, 0.2, 0.5):
        share, error = np.mean(np.array(found) <= a), np.sqrt(a * (1 - a) / len(found))
        assert share <= a + 3 * error
        # They are not needlessly large either: 1 / 20 is a step of the p-value.
        assert share >= a - 1 / 20 - 3 * error


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.99, 1])
def test_a_threshold_holds_its_rate_and_no_lower_one_does(rate):
    scores, person = drawn(np.random.default_rng(3), 15)
    known = Calibration((0.0, *scores), 16, (15, *person))
    threshold = known.threshold(rate)
    above = [score for score in known.real if score > threshold]
    assert all(known.p_value(score) <= rate + 1e-9 for score in (*above, 0.999))
    lower = [score for score in known.real if score < threshold]
    assert all(known.p_value(np.nextafter(score, 1)) > rate for score in lower)


def test_a_quarter_of_the_frames_of_the_calibration_is_enough():
    known = Calibration((0.1, 0.9), 2, (0, 1), {"frames": (80.0, 120.0)})
    assert known.doubts({"frames": 20}) == ()
    assert known.doubts({"frames": 19}) == ("the face is visible too briefly (19 frames; needed: at least 20)",)
    # The curve of answered videos agrees with the verdicts.
    assert known.typicality({"frames": 20}) >= BEYOND > known.typicality({"frames": 19})


def test_a_threshold_that_too_few_people_can_hold_is_an_error():
    with pytest.raises(ValueError, match=r"3 people can hold false-positive rates from 25.0%"):
        BY_PERSON.threshold(0.2)
    assert BY_PERSON.threshold(0.25) == 0.9


def test_a_video_unlike_the_calibration_gets_reasons():
    sizes = tuple(float(size) for size in range(100, 300))
    scores = tuple(np.linspace(0, 1, 200))
    columns = {"face_size": sizes, "turn": tuple(size / 1000 for size in sizes)}
    known = Calibration(scores, 200, tuple(range(200)), columns)
    assert known.doubts({"face_size": 101, "turn": 0.298}) == ()
    assert known.doubts({"face_size": 200, "sharpness": 9e9, "turn": 0.0}) == ()  # no limit of these
    small, aside = known.doubts({"face_size": 100, "turn": 0.299})
    assert small == "the face is too small (100 pixels; 99 % of the calibration videos: at least 101)"
    assert aside.startswith("the face is in profile (0.30 eye distances; ")
    assert known.typicality({"face_size": 100}) == pytest.approx(0.005)
    assert known.typicality({"face_size": 199}) == pytest.approx(0.5)
    assert known.typicality({}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"real": ()}, "at least one score"),
        ({"real": (0.2, 1.2)}, "all in"),
        ({"real": (0.3, 0.2)}, "must ascend"),
        ({"people": 0}, "people must be at least 1"),
        ({"person": (0, 1)}, "one person for each score"),
        ({"person": (0, 1, 1, 3, 1)}, "numbered from 0"),
        ({"conditions": {"turn": (1.0,)}}, "turn of a calibration must be one finite number"),
        ({"conditions": {"turn": (1.0, 1.0, 1.0, 1.0, float("nan"))}}, "one finite number"),
    ],
)
def test_malformed_calibrations_are_errors(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(BY_PERSON, **changes)


def test_sentences_say_no_more_than_is_known():
    bare = meaning_of(0.9, 0.5, None)
    assert (bare.verdict, bare.false_positive_rate, bare.p_value) == ("fake", None, None)
    assert "probability" not in " ".join(bare.sentences)
    assert "p-value" not in " ".join(bare.sentences)
    low = meaning_of(0.1, 0.5, BY_PERSON)
    assert (low.verdict, low.p_value) == ("not called fake", 1)
    assert "does not show that the video is real" in low.sentences[0]
    assert "5 of 5 real videos of 3 people that the network has not seen score at least as high" in low.sentences
    doubtful = meaning_of(0.9, 0.5, BY_PERSON, doubts=("too small",))
    assert (doubtful.verdict, doubtful.p_value) == ("cannot say", None)
    assert "too small" in doubtful.sentences


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
    assert card.threshold_at(0.4) == 0.4
    with pytest.raises(UsageError, match="4 people in real videos, which can hold false-positive rates from 20 %, got"):
        card.threshold_at(0.1)
    with pytest.raises(UsageError, match="needs a calibration with real pictures"):
        card.threshold_at(0.1, picture=True)


def test_a_calibration_is_written_and_the_weights_stay_the_same(stored, tmp_path):
    weights = stored({"name": "net", "calibration": {"pictures": BY_PERSON.as_dict()}})
    TrainedVideos((), ()).save(tmp_path / "net")
    before = weights.read_bytes()
    videos = replace(BY_PERSON, conditions={"turn": (0.1, 0.2, 0.1, 0.3, 0.2)})
    copy = write_calibration(weights, {"videos": videos}, out=tmp_path / "new")
    assert sorted(path.name for path in copy.parent.iterdir()) == ["net.json", "net.safetensors", "net.videos.json"]
    assert (tmp_path / "new" / "net.safetensors").read_bytes() == weights.read_bytes() == before
    assert read_card(weights).calibration() is None
    card = read_card(copy)
    assert (card.calibration(), card.calibration(picture=True)) == (videos, BY_PERSON)
    assert card.info["name"] == "net"
    assert "[ 0.1, 0.2, 0.2, 0.4, 0.9 ]" in copy.read_text()
    assert write_calibration(weights, {"videos": videos}) == weights.with_suffix(".json")
    assert read_card(weights).calibration() == videos
    assert weights.read_bytes() == before


def test_without_calibration_the_threshold_is_one_half(stored):
    card = read_card(stored({}))
    assert (card.calibration(), card.threshold, card.caution) == (None, 0.5, "")


def test_an_experimental_network_says_so(stored):
    assert "do not base decisions on it: at chance" in read_card(stored({"experimental": "at chance"})).caution


@pytest.mark.parametrize(
    "given",
    [
        {"real": [2]},
        {"real": [2], "people": 3},
        [1],
        {"real": [0.5], "people": 1, "person": 0},
        {"real": [0.5], "people": 1, "conditions": [1]},
    ],
)
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
