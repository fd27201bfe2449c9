"""Predictions: files give back the same content, selection works, and damaged files are rejected."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from videos import predictions, video

from mgst_data.core import OutputError, UsageError
from mgst_model.evaluate.metrics import pair_accuracy
from mgst_model.evaluate.predictions import Predictions

probability = st.floats(0, 1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.none() | probability, st.lists(probability, max_size=4)), max_size=5), st.text())
def test_saved_predictions_are_loaded_unchanged(tmp_path_factory, drawn, model):
    folder = tmp_path_factory.mktemp("predictions")
    made = [
        video(
            f"v{i}",
            i % 2,
            score,
            frames=tuple(frames) if score is not None else (),
            frame_indices=tuple(range(len(frames))) if score is not None else (),
            method=model,
        )
        for i, (score, frames) in enumerate(drawn)
    ]
    before = Predictions(model, tuple(made), {"seed": 3, "note": model, "values": [0.1, None]})
    before.save(folder)
    assert Predictions.load(folder) == before
    assert Predictions.load(folder / "predictions.json") == before
    assert before.csv_text().encode() == (folder / "predictions.csv").read_bytes()


def test_the_csv_has_a_row_for_every_video(tmp_path):
    made = Predictions("net", (video("a", 0, 0.25), video("b", 1, None)))
    made.save(tmp_path / "deep" / "er")
    with (tmp_path / "deep" / "er" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["key"], row["label"], row["score"], row["frames"]) for row in rows] == [
        ("a", "0", "0.25", "2"),
        ("b", "1", "", "0"),
    ]


def test_selection_by_names_keeps_the_order():
    made = predictions(("Deepfakes", "FaceSwap"), count=3)
    assert {v.method for v in made.select(method="FaceSwap").videos} == {"FaceSwap"}
    assert len(made.select(method=("FaceSwap", "real"))) == 6
    assert len(made.select(label=0, compression="c23")) == 3
    assert len(made.select(dataset=())) == 0
    assert made.select() == made
    assert len(made.select(split="train")) == 0


def test_videos_without_a_face_are_left_out_or_score_one_half():
    made = Predictions("net", (video("a", 0, 0.1), video("b", 1, None), video("c", 1, 0.8)))
    assert made.scores().scores.tolist() == [0.1, 0.8]
    assert made.scores("half").scores.tolist() == [0.1, 0.5, 0.8]
    assert made.scores("half").labels.tolist() == [0, 1, 1]
    assert [v.key for v in made.faceless()] == ["b"]
    assert repr(made) == "Predictions('net', 3 videos, 1 of them without a face)"


def test_frames_have_the_label_of_their_video():
    made = Predictions("net", (video("a", 0, 0.1), video("b", 1, None), video("c", 1, 0.8)))
    found = made.frame_scores()
    assert found.scores.tolist() == [0.1, 0.1, 0.8, 0.8]
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_a_video_that_is_fake_in_parts_has_labels_of_its_own(tmp_path):
    partial = video("c", 1, 0.8, segments=(0.9, 0.7), segment_labels=(1, 0), frame_labels=(1, 0))
    made = Predictions("net", (video("a", 0, 0.1), partial))
    assert made.at("video").labels.tolist() == [0, 1]
    assert made.at("segment").labels.tolist() == [0, 1, 0]
    assert made.at("segment").scores.tolist() == [0.1, 0.9, 0.7]
    assert made.at("frame").labels.tolist() == [0, 0, 1, 0]
    made.save(tmp_path)
    assert Predictions.load(tmp_path) == made


def test_files_of_earlier_versions_are_read(tmp_path):
    predictions(count=2).save(tmp_path)
    file = tmp_path / "predictions.json"
    document = json.loads(file.read_text())
    for entry in document["videos"]:
        for name in ("segment_labels", "frame_labels", "source", "seen"):
            del entry[name]
    file.write_text(json.dumps(document))
    assert Predictions.load(tmp_path) == predictions(count=2)


def test_fakes_are_paired_with_the_video_they_were_made_from():
    made = Predictions(
        "net",
        (
            video("r0", 0, 0.3, target_key="0"),
            video("r0_c40", 0, 0.9, target_key="0", compression="c40"),
            video("r1", 0, None, target_key="1"),
            video("r2", 0, 0.2, target_key="2"),
            video("r2_again", 0, 0.2, target_key="2"),
            video("f0", 1, 0.7, target_key="0"),
            video("g0", 1, 0.2, target_key="0", method="FaceSwap"),
            video("f1", 1, 0.7, target_key="1"),
            video("f2", 1, 0.7, target_key="2"),
            video("f3", 1, 0.7, target_key="3"),
        ),
    )
    reals, fakes = made.pairs().split()
    assert (reals.tolist(), fakes.tolist()) == ([0.3, 0.3], [0.7, 0.2])
    assert pair_accuracy(reals, fakes) == 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"label": 2},
        {"score": 1.2},
        {"score": math.nan},
        {"segments": (-0.1,)},
        {"frames": (0.5,)},
        {"score": None},
        {"segment_labels": (1, 0)},
        {"frame_labels": (2, 0)},
        {"frame_labels": (1,)},
    ],
)
def test_an_invalid_video_score_is_rejected(change):
    with pytest.raises(ValueError, match="a:"):
        dataclasses.replace(video("a", 1, 0.5), **change)


def test_a_video_appears_once():
    with pytest.raises(ValueError, match="twice"):
        Predictions("net", (video("a", 0, 0.1), video("a", 0, 0.2)))
    assert len(Predictions("net", (video("a", 0, 0.1), video("a", 0, 0.2, dataset="dfd")))) == 2


def test_info_that_json_cannot_represent_is_rejected(tmp_path):
    for info in ({"a": object()}, {"a": math.inf}):
        with pytest.raises(UsageError, match="JSON"):
            Predictions("net", (), info).save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        predictions(count=1).save(tmp_path / "file")


BAD = {
    "no JSON": lambda text: text[:-20],
    "something else": lambda text: "[1, 2]",
    "another format": lambda text: text.replace("mgst-predictions", "other"),
    "a later version": lambda text: text.replace('"version":1', '"version":2'),
    "no model": lambda text: text.replace('"model"', '"modell"'),
    "a number for a name": lambda text: text.replace('"ffpp"', "3", 1),
    "a text for a score": lambda text: text.replace('"score":', '"score":"x","was":', 1),
    "a score for a label": lambda text: text.replace('"label":0', '"label":0.5', 1),
    "a score above 1": lambda text: text.replace('"segments":[', '"segments":[7,', 1),
    "a huge score": lambda text: text.replace('"segments":[', f'"segments":[1{"0" * 400},', 1),
    "not a number": lambda text: text.replace('"segments":[', '"segments":[NaN,', 1),
    "text among frames": lambda text: text.replace('"frames":[', '"frames":["a",', 1),
    "a video twice": lambda text: text.replace("real_001", "real_000"),
    "deep nesting": lambda text: "[" * 200_000,
}


@pytest.mark.parametrize("damage", BAD.values(), ids=BAD)
def test_a_damaged_file_is_reported_in_one_line(tmp_path, damage):
    predictions(count=2).save(tmp_path)
    file = tmp_path / "predictions.json"
    broken = damage(file.read_text())
    assert broken != file.read_text()
    file.write_text(broken)
    with pytest.raises(UsageError, match=r"predictions\.json") as caught:
        Predictions.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_reported_in_one_line(tmp_path):
    (tmp_path / "predictions.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UsageError, match="not valid JSON"):
        Predictions.load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"predictions\.json: no such file"):
        Predictions.load(tmp_path)
