"""Protocols: which videos are compared, how averages are formed, and how missing groups are reported."""

from __future__ import annotations

import csv
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from videos import predictions, video

from mgst_data.core import UsageError
from mgst_model.evaluate.differences import difference_rows
from mgst_model.evaluate.metrics import Scored, auc_difference, metrics
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.protocols import Group, Protocol, evaluate
from mgst_model.evaluate.resampling import Estimate
from mgst_model.evaluate.tables import comparison, csv_text, group_rows, markdown, text

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "eval").glob("*.toml"))
TWO = Protocol.of(
    {
        "name": "two",
        "description": "two methods",
        "groups": {name: {"dataset": "ffpp", "method": name} for name in ("Deepfakes", "Face2Face")},
    }
)


def load(path: Path) -> Protocol:
    return Protocol.of(tomllib.loads(path.read_text()), where=path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_protocol_can_be_built(path):
    protocol = load(path)
    assert protocol.name == path.stem
    assert protocol.description
    for group in protocol.groups:
        assert group.split == ("test",)


def test_the_protocols_are_those_of_the_field():
    by_name = {path.stem: [group.name for group in load(path).groups] for path in CONFIGS}
    assert by_name == {
        "cross_dataset": ["CDFv2", "DFDC", "FSh", "DFo"],
        "in_domain": ["FF++ c23"],
        "per_compression": ["raw", "c23", "c40"],
        "per_method": ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"],
        "six_data_sets": ["CDFv2", "DFD", "DFDC", "DFDCP", "FSh", "DFo"],
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nmae": "a"}, "unknown option 'nmae'.*did you mean 'name'"),
        ({"name": "a"}, "name or description is missing"),
        ({"name": 3, "description": ""}, "name or description is missing"),
        ({"name": "a", "description": ""}, "groups are missing"),
        ({"name": "a", "description": "", "groups": {}}, "groups are missing"),
        ({"name": "a", "description": "", "groups": {"g": 3}}, "group g must be a table, got 3"),
        ({"name": "a", "description": "", "groups": {"g": {}}}, "g has no dataset"),
        ({"name": "a", "description": "", "groups": {"g": {"dataset": "x", "methods": "y"}}}, "did you mean 'method'"),
        (
            {"name": "a", "description": "", "groups": {"g": {"dataset": "x", "name": "y"}}},
            "unknown option 'groups.g.name'",
        ),
        (
            {"name": "a", "description": "", "groups": {"g": {"dataset": 3}}},
            "groups.g.dataset must be a name or a list of names, got 3",
        ),
        ({"name": "a", "description": "", "groups": {"g": {"dataset": ["x", 3]}}}, "must be a name or a list of names"),
    ],
)
def test_an_invalid_protocol_is_rejected_with_the_reason(given, message):
    with pytest.raises(UsageError, match=rf"my\.toml: .*{message}"):
        Protocol.of(given, where="my.toml")


def test_all_real_videos_are_compared_with_the_fakes_of_each_method():
    made = predictions(("Deepfakes", "Face2Face", "FaceSwap"), count=5)
    for name in ("Deepfakes", "Face2Face"):
        chosen = Group(name=name, dataset=("ffpp",), method=(name,)).select(made)
        assert {v.method for v in chosen.videos} == {"real", name}
        assert len(chosen) == 10


def test_reals_may_come_from_another_data_set():
    reals = tuple(video(f"r{i}", 0, 0.1) for i in range(3))
    fakes = tuple(video(f"f{i}", 1, 0.9, dataset="df40") for i in range(2))
    own = tuple(video(f"o{i}", 0, 0.9, dataset="df40") for i in range(4))
    chosen = Group(name="g", dataset=("df40",), reals=("ffpp",)).select(Predictions("net", reals + fakes + own))
    assert chosen.videos == reals + fakes


def test_groups_are_measured_separately_and_averaged():
    made = predictions()
    found = evaluate(made, TWO, resamples=100)
    alone = [metrics(*made.select(method=("real", name)).scores()) for name in ("Deepfakes", "Face2Face")]
    assert [group.metrics for group in found.groups] == alone
    assert found.average.auc == pytest.approx((alone[0].auc + alone[1].auc) / 2)
    assert found.average.real == 40
    assert (found.lacking, found.average_name) == ((), "average")
    for group in found.groups:
        assert group.metrics is not None
        assert group.intervals is not None
        assert group.intervals.auc.low <= group.metrics.auc <= group.intervals.auc.high
    assert evaluate(made, TWO, resamples=100) == found


def test_a_missing_group_is_reported():
    found = evaluate(predictions(("Face2Face",)), TWO, resamples=0)
    first, second = found.groups
    assert (first.metrics, first.lacking) == (None, "fake videos")
    assert second.metrics is not None
    assert (found.lacking, found.average_name) == (("Deepfakes",), "average (1 of 2)")
    assert found.average.auc == second.metrics.auc


def test_fakes_without_a_real_video_are_a_missing_group():
    made = predictions(("Deepfakes", "Face2Face"))
    only = Predictions("net", (*made.select(label=1).videos, video("r", 0, None)))
    with pytest.raises(
        UsageError, match=r"any group of two.*Deepfakes has no real videos.*the predictions have: ffpp test c23"
    ):
        evaluate(only, TWO)
    half = evaluate(only, TWO, missing="half", resamples=0)
    assert half.groups[0].metrics is not None
    assert half.groups[0].metrics.real == 1


def test_videos_without_a_face_are_counted_as_requested():
    made = predictions()
    blind = Predictions("net", (*made.videos, video("x", 1, None, method="Deepfakes")))
    out, half = (evaluate(blind, TWO, missing=way, resamples=0) for way in ("leave_out", "half"))
    assert [group.faceless for group in out.groups] == [1, 0]
    assert (out.groups[0].metrics.fake, half.groups[0].metrics.fake) == (20, 21)
    assert out.groups[1] == half.groups[1]


def test_frames_are_counted_without_intervals():
    found = evaluate(predictions(), TWO, level="frame")
    for group in found.groups:
        assert group.metrics.real == 40
        assert group.intervals is None


def test_a_table_of_one_detector_has_all_metrics():
    rows = group_rows(evaluate(predictions(("Face2Face",)), TWO, resamples=50))
    assert [row["group"] for row in rows] == ["Deepfakes", "Face2Face", "average (1 of 2)"]
    assert rows[0]["auc"] is None
    assert isinstance(rows[1]["auc"], Estimate)
    assert rows[2]["auc"] == rows[1]["auc"].value
    lines = markdown(rows).splitlines()
    assert lines[0] == "| group | auc | ap | eer | accuracy | tpr_at_1 | tpr_at_5 | real | fake | no face |"
    assert lines[1].startswith("| :-- | --: |")
    assert lines[2] == "| Deepfakes | - | - | - | - | - | - | - | - | 0 |"
    assert len(group_rows(evaluate(predictions(), Protocol(name="", description="", groups=TWO.groups[:1])))) == 1


def test_a_table_of_several_detectors_has_a_row_for_each():
    some = [predictions(model="a|b", seed=1), predictions(("Face2Face",), model="c", seed=2)]
    found = [evaluate(each, TWO, resamples=50) for each in some]
    rows = comparison(found)
    assert [list(row) for row in rows] == [["model", "Deepfakes", "Face2Face", "average", "without"]] * 2
    assert [row["without"] for row in rows] == ["", "Deepfakes"]
    assert rows[1]["Deepfakes"] is None
    assert markdown(rows).splitlines()[2].startswith("| a\\|b | 0.")
    read = list(csv.DictReader(csv_text(rows).splitlines()))
    assert float(read[0]["Deepfakes"]) == rows[0]["Deepfakes"].value
    assert float(read[0]["Deepfakes_low"]) == rows[0]["Deepfakes"].low
    assert (read[1]["Deepfakes"], read[1]["Deepfakes_high"]) == ("", "")
    eer = comparison(found, figure="eer")[0]["average"]
    assert eer == found[0].average.eer


def test_differences_use_the_videos_that_both_detectors_scored():
    first, second = predictions(model="a", seed=1), predictions(model="b", seed=2)
    blind = replace(second.videos[-1], score=None, segments=(), frames=(), frame_indices=())  # of Face2Face
    second = replace(second, videos=(*second.videos[3:-1][::-1], blind))
    (row,) = difference_rows([first, second], TWO, resamples=50)
    assert list(row) == ["model", "Deepfakes", "Face2Face"]
    for name, last in (("Deepfakes", 20), ("Face2Face", 19)):
        reals = [(f"real_{i:03}", 0) for i in range(3, 20)]
        keys = [*reals, *((f"{name}_{i:03}", 1) for i in range(last))]
        scores = [{v.key: v.score for v in each.videos} for each in (second, first)]
        wanted = [Scored.of([some[key] for key, _ in keys], [label for _, label in keys]) for some in scores]
        found = row[name]
        assert found.value == pytest.approx(auc_difference(wanted[:1], wanted[1:], resamples=0).value)
        assert found.low <= found.value <= found.high
    half = difference_rows([first, second], TWO, missing="half", resamples=0)[0]["Face2Face"]
    assert half.value != row["Face2Face"].value
    assert math.isnan(half.low)


def test_evaluations_that_cannot_be_compared_are_rejected():
    video_level = evaluate(predictions(), TWO, resamples=0)
    with pytest.raises(ValueError, match="different protocols"):
        comparison([video_level, evaluate(predictions(), TWO, level="frame")])
    with pytest.raises(ValueError, match="figure must be one of auc"):
        comparison([video_level], figure="acu")


def test_cells_are_formatted_for_people():
    assert text(0.12345) == "0.123"
    assert text(0.12345, digits=2) == "0.12"
    assert text(Estimate(0.5, 0.25, 0.75), digits=2) == "0.50 [0.25, 0.75]"
    assert text(Estimate(0.5, math.nan, math.nan), digits=1) == "0.5"
    assert [text(cell) for cell in (None, math.nan, 7, "x")] == ["-", "-", "7", "x"]
    assert (markdown([]), csv_text([])) == ("", "")


def test_predictions_without_any_score_say_which_network_to_use():
    some = predictions()
    blind = replace(
        some,
        videos=tuple(replace(video, score=None, segments=(), frames=(), frame_indices=()) for video in some.videos),
    )
    with pytest.raises(UsageError, match=rf"none of {len(some.videos)} videos has a score.*preset sbi"):
        evaluate(blind, TWO)
