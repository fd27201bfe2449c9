"""P-values of real videos, abstention curves, and calibrations from shards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shards.synthetic_shards import CONFIG, chunk_of, record_of, write_shard

from mgst_data.core import UsageError
from mgst_data.shards import ShardReader, open_folder
from mgst_model.evaluate.plots import abstention_png, coverage_png
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.reals import calibrate, check_unseen, score_reals
from mgst_model.evaluate.reliability import abstention_curve, coverage
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.checkpoint import LoadedNetwork, save_network
from mgst_model.networks.trained_videos import KnownVideo, TrainedVideos


def predictions(real, fake, *, sizes=None, known=None):
    """Videos with the given scores. The calibration has a hundred people with evenly spaced scores and face sizes."""
    scores = tuple((i + 0.5) / 100 for i in range(100))
    known = known or Calibration(scores, 100, tuple(range(100)), {"face_size": tuple(range(100, 200))})
    sizes = sizes if sizes is not None else [150.0] * (len(real) + len(fake))
    videos = tuple(
        VideoScore(
            key=f"{label}{i}",
            dataset="d",
            method="m" if label else "real",
            label=label,
            score=float(score),
            conditions={"face_size": float(size)},
        )
        for i, (label, score, size) in enumerate(
            zip([0] * len(real) + [1] * len(fake), [*real, *fake], sizes, strict=True)
        )
    )
    return Predictions("net", videos, {"network": {"calibration": {"videos": known.as_dict()}}})


def test_p_values_of_videos_like_the_calibration_are_uniform():
    real = np.random.default_rng(0).uniform(size=400)
    found = coverage(predictions(real, [0.9]), resamples=50)
    assert found.people == len(found.p_values) == 400
    assert found.error.value < 0.07
    assert found.excess.value <= found.error.value
    for level, share in found.below.items():
        assert share.value == pytest.approx(level, abs=0.05)
        assert share.low <= share.value <= share.high


def test_real_videos_that_score_too_high_are_an_excess():
    high = coverage(predictions(np.random.default_rng(0).uniform(0.5, 1, size=200), [0.9]), resamples=0)
    low = coverage(predictions(np.random.default_rng(0).uniform(0, 0.5, size=200), [0.9]), resamples=0)
    assert high.excess.value == pytest.approx(0.5, abs=0.05)
    assert high.error.value == high.excess.value
    assert low.excess.value < 0.02
    assert low.error.value == pytest.approx(0.5, abs=0.05)


def test_equal_scores_have_a_steep_but_valid_distribution():
    found = coverage(predictions([0.5] * 10, []), resamples=0)
    # All p-values are 51 / 101, and none is smaller.
    assert found.excess.value == pytest.approx(1 - 51 / 101)
    assert found.error.value == pytest.approx(51 / 101)


def test_a_network_without_calibration_has_no_coverage_and_no_curve():
    bare = replace(predictions([0.1, 0.2], [0.8, 0.9]), info={})
    assert (coverage(bare), abstention_curve(bare)) == (None, ())


@pytest.mark.parametrize("figure", [coverage, abstention_curve])
def test_a_damaged_calibration_is_an_error(figure):
    damaged = replace(predictions([0.1], [0.8]), info={"network": {"calibration": {"videos": [1]}}})
    with pytest.raises(UsageError, match="calibration of the network is damaged"):
        figure(damaged)


def test_leaving_out_unusual_videos_helps_where_they_are_the_errors():
    """Videos with a face of unusual size have the scores of the other class."""
    real, fake = [0.2] * 20 + [0.9] * 5, [0.8] * 20 + [0.1] * 5
    sizes = ([150.0] * 20 + [50.0] * 5) * 2
    given = predictions(real, fake, sizes=sizes)
    curve = abstention_curve(given, resamples=20)
    answered = [point.answered for point in curve]
    assert answered == sorted(answered, reverse=True)
    assert curve[0].auc.value < curve[-1].auc.value == 1
    (limits,) = (point for point in curve if point.limits)
    assert (limits.answered, limits.real, limits.fake, limits.auc.value) == (0.8, 20, 20, 1)
    made = coverage_png({"net": coverage(given, resamples=0).p_values}), abstention_png({"net": curve})
    assert all(png.startswith(b"\x89PNG") for png in made)


def test_conditions_survive_saving(tmp_path):
    given = predictions([0.1], [0.9])
    given.save(tmp_path)
    assert Predictions.load(tmp_path).videos == given.videos


CONFIGURED = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")


@pytest.fixture(scope="module")
def loaded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(CONFIGURED).eval()
    return LoadedNetwork(network=network, config=CONFIGURED, frames=2, size=32, info={})


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Six real videos of four people, a still, and a fake."""
    out = tmp_path_factory.mktemp("reals") / "shards"
    records = [replace(record_of(f"r{i}", split="val"), target_key="one" if i < 3 else f"p{i}") for i in range(6)]
    records += [
        replace(record_of("still", split="val"), target_key=""),
        record_of("fake", label=1, split="val", method="m"),
    ]
    with open_folder(out, CONFIG, records, videos_per_shard=20) as folder:
        for task in folder.missing(records):
            write_shard(out, task, extract=lambda r: [chunk_of(r, t=1 if r.key == "still" else 5, size=32)])
        folder.finish()
    return str(out)


def test_real_videos_of_shards_calibrate_by_person(loaded, shards):
    videos = score_reals(loaded, [shards])
    assert {video.key for video in videos} == {f"r{i}" for i in range(6)} | {"still"}
    found = calibrate(videos)
    assert set(found) == {"videos", "pictures"}
    assert (found["videos"].people, len(found["videos"].real)) == (4, 6)
    assert sorted(np.bincount(found["videos"].person)) == [1, 1, 1, 3]
    assert set(found["videos"].conditions) >= {"face_size", "frames"}
    assert found["videos"].conditions["frames"] == (5.0,) * 6
    assert found["pictures"].conditions["frames"] == (1.0,)
    assert [video.known for video in videos if video.key == "still"] == [False]
    with pytest.raises(UsageError, match="no real videos in the split 'test'"):
        score_reals(loaded, [shards], split="test")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (KnownVideo("ffpp", "r4"), "was trained on 1 of 7 real videos, for example"),
        (
            KnownVideo("ffpp", "another", "", ("one",)),
            "was trained on other videos of the people in 3 of 7 real videos",
        ),
    ],
)
def test_videos_and_people_of_the_training_are_refused(loaded, shards, tmp_path, known, said):
    weights = save_network(tmp_path / "net", loaded.network, CONFIGURED, frames=2, size=32)
    assert "it is not known which videos this network was trained on" in check_unseen(weights, [shards])[0]
    known = replace(known, dataset=ShardReader.open(shards)[0].record.dataset)
    TrainedVideos((known,), ()).save(tmp_path / "net")
    with pytest.raises(UsageError, match=said):
        check_unseen(weights, [shards])
    TrainedVideos((), (known,)).save(tmp_path / "net")
    assert len(check_unseen(weights, [shards])) == int(known.key == "r4")
