"""The benchmark of generalisation: nobody is in training and test, figures equal those counted by hand."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from augment.faces68 import make as make_faces
from generalise import crops, page
from generalise.figures import Scores, differences, false_positives, of_kinds, row_figures, thresholds
from generalise.kit import Labelled, read_labels
from generalise.plots import calibration_png, curve_png, kinds_png
from generalise.rows import ROWS, chosen_rows, read_rows
from generalise.runs import score_split, train_row, training_videos
from generalise.subset import choose
from generalise.weights import describe
from PIL import Image
from video.video_files import encode, textured_frames

from mgst_data.core import ConfigMismatchError, UsageError, generator_for
from mgst_data.shards import ShardReader

TINY = """
[tiny]
note = "A test."
preset = "sbi"
sources = { clips = 1.0, stills = 1.0 }
pairs = 8
curve = true
[tiny.options]
"train.epochs" = 1
"data.size" = 32
"data.batch_size" = 4
"data.workers" = 0
"data.test_frames" = 1
"network.pretrained" = "random"
[few]
base = "tiny"
people = 4
curve = true
"""


def scores_of(*videos: tuple[str, int, str, str, str], scores: list[list[float]]) -> Scores:
    """Scores of videos: key, label, kind, pair, people."""
    rows = [Labelled(key, label, kind, "", "test", "", pair, "", "") for key, label, kind, pair, _ in videos]
    names = tuple(("clips", key) for key, *_ in videos)
    return Scores(names, tuple(rows), tuple(who for *_, who in videos), np.array(scores), 0)


def some_scores() -> Scores:
    videos = [(f"r{i}", 0, "real", "ab"[i] if i < 2 else "", f"p{i}") for i in range(4)]
    videos += [("x", 0, "real", "a", "p0"), ("f0", 1, "swap", "a", "p0"), ("f1", 1, "graphics swap", "b", "p1")]
    videos += [("f2", 1, "lip-sync", "", "p5")]
    return scores_of(
        *videos, scores=[[0.1, 0.2, 0.3, 0.4, 0.6, 0.5, 0.15, 0.9], [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.25, 0.8]]
    )


def test_people_of_val_and_test_are_not_trained_on(kit):
    names = {key for _, key in kit.trainable}
    assert names == {*(f"t{i}" for i in range(6)), *(f"s{i}" for i in range(4))}


def test_videos_that_share_a_person_or_a_pair_are_one_group(kit):
    groups = kit.groups
    a_pair = {groups["clips", key] for key in ("r0", "r1", "f0", "named")}
    assert len(a_pair) == 1
    assert groups["clips", "r2"] == groups["clips", "f1"] not in a_pair
    assert len({*groups.values()}) == len(groups) - 5  # leak and v1; named, r0, r1 and f0; r2 and f1


@pytest.mark.parametrize(
    ("change", "what"),
    [(("kind", "label"), "columns must be"), (("generator,test", "magic,test"), "label '1' with kind 'magic'")],
)
def test_a_wrong_table_is_refused_with_its_line(kit, tmp_path, change, what):
    text = (kit.folder / "labels.csv").read_text().replace(",a tool,", ",,")
    (tmp_path / "labels.csv").write_text(text.replace("generator,,test", "generator,test").replace(*change, 1))
    with pytest.raises(UsageError, match=what) as error:
        read_labels(tmp_path)
    assert "line" in str(error.value)


def test_a_subset_has_only_the_chosen_videos(kit, tmp_path):
    made = choose(kit.shards / "clips", tmp_path / "some", ["t1", "v0"])
    reader = ShardReader.open(made)
    assert sorted(reader.videos) == ["t1", "v0"]
    whole = ShardReader.open(kit.shards / "clips")
    (row,) = [i for i, video in enumerate(whole.video.tolist()) if whole.videos[video] == "t1"]
    (mine,) = [i for i, video in enumerate(reader.video.tolist()) if reader.videos[video] == "t1"]
    assert reader[mine].images == whole[row].images
    assert not any(file.is_file() and not file.is_symlink() for file in made.glob("*.tar"))
    assert sorted(ShardReader.open(choose(kit.shards / "clips", made, ["v1"])).videos) == ["v1"]


def test_more_people_include_fewer_and_clips_come_first(kit, tmp_path):
    (tmp_path / "rows.toml").write_text(TINY)
    row = read_rows(tmp_path / "rows.toml")["few"]
    some, more, all_ = (set(training_videos(kit, replace(row, people=count), seed=3)) for count in (4, 8, None))
    assert len(some) == 4
    assert len(more) == 8
    assert some < more < all_ == set(kit.trainable)
    assert {folder for folder, _ in some} == {"clips"}
    assert some != set(training_videos(kit, row, seed=4))
    with pytest.raises(UsageError, match="asks for 99 people, there are 10"):
        training_videos(kit, replace(row, people=99), seed=0)


@pytest.mark.parametrize("row", read_rows().values(), ids=lambda row: row.name)
def test_every_row_is_a_training(row):
    made = row.experiment(1, videos=100, init_from=tuple(f"{name}/last" for name in row.begin))
    assert made.train.seed == 1
    assert made.train.validate_every == made.train.epochs
    if row.pairs:
        assert made.data.draws_per_video * made.train.epochs * 100 == pytest.approx(row.pairs, rel=0.05)
    assert row.note.endswith(".")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[a]\nnote = 'x'", "has no preset"),
        ("[a]\npreset = 'sbi'\nsources = {clip = 1.0}", "unknown source 'clip'"),
        ("[a]\nbase = 'b'", "unknown earlier row 'b'"),
        ("[a]\npreset = 'sbi'\nsource = {clips = 1.0}", "unknown value of a row 'source'"),
        ("['a b']\nnote = ''", "not a row"),
        ("[a]\npreset = 'sbi'\nsources = {clips = 1.0}\nfeed = 'theirs'", "unknown feed 'theirs'"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path, text, what):
    (tmp_path / "rows.toml").write_text(text)
    with pytest.raises(UsageError, match=what):
        read_rows(tmp_path / "rows.toml")


def test_an_unknown_row_is_refused_with_a_similar_name():
    with pytest.raises(UsageError, match=r"unknown row 'sbj'.*sbi"):
        chosen_rows(read_rows(), ["sbj"], ROWS)


def test_figures_equal_those_counted_by_hand():
    found = of_kinds(some_scores())
    assert list(found) == ["graphics swap", "swap", "lip-sync", "all swaps", "all others"]
    swaps = found["all swaps"]
    assert (swaps["fakes"], swaps["people"], swaps["paired"]) == (2, 2, 2)
    # Of five real clips, 4 and 1 score below the two fakes with the first seed, 5 and 2 with the second.
    assert swaps["seeds"] == [0.5, 0.7]
    assert swaps["auc"][0] == pytest.approx(0.6)
    assert swaps["auc"][1] < 0.6 < swaps["auc"][2]
    # f0 is above one of its two clips, then above both; f1 below its clip, then above it.
    assert swaps["pairs"][0] == pytest.approx((0.75 + 0.5) / 2)
    assert swaps["auc_of_pairs"][0] == swaps["auc"][0]
    assert found["lip-sync"] | {"pairs": None, "paired": 0} == found["lip-sync"]
    assert found["lip-sync"]["auc"] == [1.0, None, None]


def test_a_row_is_compared_on_common_videos():
    ours = some_scores()
    other = replace(ours, scores=np.tile([0.1, 0.2, 0.3, 0.4, 0.6, 0.0, 0.0, 0.0], (2, 1)))
    found = differences(ours, other.at(np.arange(8)[::-1]))
    assert found["all swaps"][0] == pytest.approx(0.6)
    assert found["lip-sync"][0] == 1
    assert list(differences(ours, other.at(np.arange(7)))) == ["graphics swap", "swap", "all swaps"]


def test_the_threshold_leaves_at_most_the_wanted_share_above_it():
    val = scores_of(
        *((f"r{i}", 0, "real", "", f"p{i}") for i in range(20)), scores=[np.arange(20) / 20, np.arange(20) / 40]
    )
    for wanted in (0.5, 0.1, 0.05):
        limits = thresholds(val, wanted)
        assert limits[0] == 2 * limits[1]
        assert 0 <= wanted - (val.scores[0] > limits[0]).mean() <= 0.05
    found = false_positives(val, np.array([0.89, 0.24]))
    assert found["rate"][0] == pytest.approx((2 + 10) / 40)
    assert (found["videos"], found["people"]) == (20, 20)


def test_rows_of_the_test_have_false_positives_and_rows_of_val_have_none():
    scores = {"a": some_scores(), "b": some_scores()}
    val, test = row_figures(scores, None, {"b": "a"}), row_figures(scores, scores, {"b": "a", "a": "c"})
    assert "false_positives" not in val["rows"]["a"]
    assert test["rows"]["a"]["false_positives"]["videos"] == 5
    assert test["rows"]["b"]["minus"] == "a"
    assert "minus" not in test["rows"]["a"]
    assert test["rows"]["b"]["differences"]["all swaps"] == [0, 0, 0]


def test_properties_are_those_of_the_picture(kit, tmp_path):
    def measured(change):
        def frames(chunk, positions=None):
            return (change(frame) for frame in whole(chunk, positions))

        with pytest.MonkeyPatch.context() as patch:
            whole = crops.FaceChunk.frames
            patch.setattr(crops.FaceChunk, "frames", frames)
            patch.setattr(crops, "_bits_per_pixel", lambda path: 1.0)
            return crops.properties(kit, "clips", "val")["clips", "v0"]

    plain = measured(lambda frame: frame)
    blurred = measured(lambda frame: cv2.GaussianBlur(frame, (0, 0), 2))
    dark = measured(lambda frame: frame // 2)
    assert blurred[crops.SHARPNESS] < 0.5 * plain[crops.SHARPNESS]
    assert blurred[crops.BRIGHTNESS] == pytest.approx(plain[crops.BRIGHTNESS], abs=5)
    assert dark[crops.BRIGHTNESS] < 0.7 * plain[crops.BRIGHTNESS]
    assert plain[crops.FACE_SIZE] == dark[crops.FACE_SIZE] > 0


def test_bits_per_pixel_fall_with_compression(tmp_path):
    found = []
    for crf in (10, 40):
        encode(tmp_path / f"{crf}.mp4", textured_frames(8), options={"crf": str(crf)})
        found.append(crops._bits_per_pixel(tmp_path / f"{crf}.mp4"))
    assert found[0] > 2 * found[1] > 0
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "a.png")
    assert crops._bits_per_pixel(tmp_path / "a.png") == 8 * (tmp_path / "a.png").stat().st_size / 200


def test_correlations_have_the_sign_of_the_dependence():
    scores = scores_of(*((f"r{i}", 0, "real", "", f"p{i}") for i in range(30)), scores=[np.linspace(0.1, 0.9, 30)])
    with_score = {video: scores.scores[0, i] for i, video in enumerate(scores.videos)}
    measured = {
        video: {crops.SHARPNESS: 5 * value, crops.FACE_SIZE: -value, crops.BRIGHTNESS: float("nan"), crops.BITS: 1.0}
        for video, value in with_score.items()
    }
    found = crops.correlations(scores, measured)
    assert found[crops.SHARPNESS] == [1, 1, 1]
    assert found[crops.FACE_SIZE] == [-1, -1, -1]
    assert found[crops.BITS] == [None, None, None]


def test_pages_without_results_say_so(tmp_path):
    parts = [page.test_table(None), page.val_table(None), page.shortcuts(None), page.curve(None, tmp_path, tmp_path)]
    assert {*parts, *page.card(None, tmp_path, tmp_path).values()} == {page.MISSING}


def as_result(figures, name="generalise_test"):
    return {"benchmark": name, "figures": figures, "commit": "abc", "device": {"gpu": None, "cpu": "a processor"}}


@pytest.mark.slow
def test_rows_are_trained_scored_and_described(kit, tmp_path, monkeypatch):
    (tmp_path / "rows.toml").write_text(TINY)
    rows = read_rows(tmp_path / "rows.toml")
    trained, scores = {}, {"val": {}, "test": {}}
    for name, row in rows.items():
        trained[name] = train_row(kit, rows, row, 0, tmp_path / "out", device="cpu")
        for split, found in scores.items():
            found[name] = Scores.of(kit, "clips", split, [score_split(kit, trained[name], row, split, device="cpu")])
    assert dict(trained["tiny"].facts) | {"minutes": 0} == {
        "people": 10, "clips": 6, "stills": 4, "pairs": 8, "minutes": 0,
    }  # fmt: skip
    assert trained["few"].facts["people"] == 4

    with monkeypatch.context() as patch:
        patch.setattr("generalise.runs.train", lambda *_, **__: pytest.fail("trained again"))
        patch.setattr("generalise.runs.score_shards", lambda *_, **__: pytest.fail("scored again"))
        again = train_row(kit, rows, rows["tiny"], 0, tmp_path / "out", device="cpu")
        assert again == trained["tiny"]
        score_split(kit, again, rows["tiny"], "val", device="cpu")
        other = replace(rows["tiny"], options={**rows["tiny"].options, "train.lr": 0.5})
        with pytest.raises(ConfigMismatchError, match=r"other values of: train\.lr"):
            train_row(kit, rows, other, 0, tmp_path / "out", device="cpu")

    monkeypatch.setattr(crops, "_bits_per_pixel", lambda path: float(len(path.name)))
    measured = crops.properties(kit, "clips", "test")
    found = row_figures(scores["val"], scores["test"], {"few": "tiny"}) | {"seeds": [0]}
    for name, row in found["rows"].items():
        facts = {**trained[name].facts, "note": "A test.", "curve": True}
        row |= {**facts, "shortcuts": crops.correlations(scores["test"][name], measured)}
    text = page.test_table(as_result(found))
    assert "The split test has 2 swaps and 2 other fakes, and 4 real clips of 3 people." in text
    assert "| few | " in text
    assert f"--out runs/generalise --test --rows {' '.join(found['rows'])} --seeds 0`" in text
    assert " --seeds 0 --name parity`" in page.val_table(as_result(found, "parity_val"))
    assert page.curve(as_result(found), tmp_path / "a.png", tmp_path / "b.md").endswith("](a.png)")
    assert page.shortcuts(as_result(found)).count("\n- ") == 4

    about = describe(kit, trained["tiny"].weights, tmp_path / "weights", device="cpu")
    assert (
        about["trained_on"] | {"people": 10, "clips": 6, "stills": 4, "fakes": 0, "licences": {"MIT": 10}}
        == (about["trained_on"])
    )
    assert about["threshold"]["clips"] == 5
    assert about["false_positives"]["stills"]["videos"] == 3
    assert sum(row.get("clips", {"videos": 0})["videos"] for row in about["by"]["face size"]) == 4
    assert about["experimental"] == (about["kinds"]["all swaps"]["auc"][1] <= 0.6)
    parts = page.card(as_result(about | {"experimental": True}), tmp_path / "a.png", tmp_path / "b.md")
    assert "experimental" in parts["status"]
    assert (
        "6 clips and 4 still pictures of 10 people from 2 public sources, with no real deepfakes" in parts["training"]
    )
    better = about | {"experimental": False}
    assert page.card(as_result(better), tmp_path, tmp_path)["status"].startswith("These weights are not experimental")
    assert page.summary(as_result(better)).startswith("The weights of the package are not experimental: AUC on face")
    for picture in (kinds_png(found), curve_png(found), calibration_png(about)):
        assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_weights_that_know_people_of_the_test_are_refused(kit, tmp_path):
    from generalise.weights import _trained_on

    from mgst_model.networks.trained_videos import KnownVideo, TrainedVideos

    weights = tmp_path / "net.safetensors"
    with pytest.raises(UsageError, match="the list of training videos is not beside the weights"):
        _trained_on(kit, weights)
    for key, what in (("leak", "1 training videos are of val or test, or show people of them, for example clips/leak"),
                      ("gone", "1 training videos are not in the shards, for example clips/gone")):  # fmt: skip
        TrainedVideos((KnownVideo("clips", "t0"), KnownVideo("clips", key)), ()).save(tmp_path / "net")
        with pytest.raises(UsageError, match=what):
            _trained_on(kit, weights)


def test_published_steps_change_the_pair_inside_the_wide_crop_only():
    pytest.importorskip("albumentations", reason="the extra bench is not installed")
    from generalise.published import PublishedBlend

    real = make_faces(3, 1, size=160)
    valid = real.valid.clone()
    valid[1] = False
    pair = PublishedBlend()(real.replace(valid=valid), generator=generator_for(0, "published"))
    assert pair.fake.label.tolist() == [1, 0, 1]
    assert torch.equal(pair.real.frames[1], real.frames[1])
    assert torch.equal(pair.fake.frames[1], real.frames[1])
    shown = pair.fake.mask[[0, 2]] > 0.5 * pair.fake.mask[[0, 2]].amax(dim=(-1, -2), keepdim=True)
    change = (pair.fake.frames - pair.real.frames)[[0, 2]].abs().mean(dim=2, keepdim=True)
    assert change[shown].mean() > 3 * change[pair.fake.mask[[0, 2]] == 0].mean()
    again = PublishedBlend()(real.replace(valid=valid), generator=generator_for(0, "published"))
    assert torch.equal(again.fake.frames, pair.fake.frames)
