"""Experiments: what comes along builds, what is asked for is taken, and what makes no sense is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import TABLES, build_experiment
from mgst_cli.train.command import PRESETS

from mgst_data.core import UsageError
from mgst_model.networks.renamed import RENAMED
from mgst_model.train import DetectionTask, Experiment, TrainConfig
from mgst_model.train.experiment import Fakes

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_builds(path):
    experiment = build_experiment(path, {}, ())
    DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)
    assert json.loads(json.dumps(experiment.as_dict()))["train"]["epochs"] == experiment.train.epochs


def test_every_preset_is_a_file_and_every_file_a_preset():
    assert sorted(PRESETS) == [path.stem for path in CONFIGS]
    for name in PRESETS:
        assert preset_file(name).samefile(next(path for path in CONFIGS if path.stem == name))
    with pytest.raises(UsageError, match="there is no configuration 'smal'"):
        preset_file("smal")


def test_nothing_given_is_the_default():
    assert build_experiment(None, {"epochs": None, "seed": None}, ()) == Experiment()


def test_flags_override_the_file_and_set_overrides_flags(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nepochs = 3\nlr = 1\nseed = 4\n[data]\nsize = 96\n")
    given = ["train.seed=6", "data.fakes=both", "data.methods=Deepfakes,FaceSwap", "loss.single_centre=true"]
    experiment = build_experiment(path, {"epochs": 7, "seed": 5}, given)
    assert experiment.train == TrainConfig(epochs=7, lr=1.0, seed=6)
    assert (experiment.data.size, experiment.data.fakes) == (96, "both")
    assert experiment.data.methods == ("Deepfakes", "FaceSwap")
    assert experiment.loss.single_centre


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("train.epoch=3", r"there is no option train.epoch \(did you mean 'epochs'\?\)"),
        ("trian.epochs=3", r"there is no table trian \(did you mean 'train'\?\)"),
        ("train.epochs=0", "train.epochs is 0, outside 1 to"),
        ("train.epochs=2.5", "train.epochs is 2.5, not a whole number"),
        ("train.lr=-1", "train.lr is -1.0, outside 0 to"),
        ("train.lr=nan", "train.lr is nan, outside 0 to"),
        ("train.ema_decay=1", r"train.ema_decay is 1.0 \(at least 0 and below 1\)"),
        ("train.precision=16", "train.precision is 16, not one of 32-true, bf16-mixed, 16-mixed"),
        ("data.fakes=none", "data.fakes is 'none'"),
        ("data.frames=0", "data.frames is 0, outside 1 to"),
        ("data.test_frames=-1", "data.test_frames is -1, outside 0 to"),
        ("data.size=100", r"data.size is 100 \(a multiple of 32 pixels\)"),
        ("data.size=0", "data.size is 0"),
        ("augment.blend_preset=sbl", "augment.blend_preset is 'sbl'"),
        ("augment.recipe=temporal_fakes", "augment.recipe: 'temporal_fakes' makes fakes"),
        ("augment.recipe=self_blend", "augment.recipe: 'self_blend' makes fakes"),
        (
            "augment.recipe=robst",
            r"augment.recipe: there is no recipe or augmentation robst \(did you mean 'robust'\?\)",
        ),
        ("augment.recipe=h264", "augment.recipe: 'h264' has no default for an option: missing .* 'codec'"),
        ("augment.donor_p=2", "augment.donor_p is 2.0, outside 0 to 1"),
        ("augment.temporal_p=1.5", "augment.temporal_p is 1.5, outside 0 to 1"),
        ("loss.patch_weight=-0.5", "loss.patch_weight is -0.5, outside 0 to"),
        ("loss.patch_target=edge", "loss.patch_target is 'edge', not one of change, boundary"),
        ("data.frames=2", "augment.temporal_p makes nothing of segments of 2 frames"),
        ("network.blocks=2", "table network: blocks is at least 3"),
        ("network.guidance=all", "network.guidance is 'all', not one of both, "),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        build_experiment(None, {}, [given])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("earlier", "name"), RENAMED.items())
def test_an_earlier_name_is_refused_with_the_name_of_now(earlier, name, tmp_path):
    (table, option), (table_now, now) = earlier.split("."), name.split(".")
    known = {field.name for field in fields(TABLES[table])}
    assert table == table_now
    assert now in known
    assert option not in known
    path = tmp_path / "mine.toml"
    path.write_text(f"[{table}]\n{option} = 1\n")
    for file, given, where in ((path, [], path), (None, [f"{earlier}=1"], f"--set {earlier}=1")):
        with pytest.raises(UsageError) as caught:
            build_experiment(file, {}, given)
        assert str(caught.value) == f"{where}: {earlier} is called {name} now"


@pytest.mark.parametrize("other", ["train.accumulate_batches=2", "train.precision=16-mixed"])
def test_a_second_pass_does_not_go_with_everything(other):
    with pytest.raises(UsageError, match=f"train.sam_radius does not go together with {other.partition('=')[0]}"):
        build_experiment(None, {}, ["train.sam_radius=0.05", other])
    build_experiment(None, {}, ["train.sam_radius=0.05"])


def test_a_donor_needs_another_in_the_batch():
    with pytest.raises(UsageError, match=r"augment.donor_p finds no other in a batch of 1 \(raise data.batch_size\)"):
        build_experiment(None, {}, ["data.batch_size=1", "augment.donor_p=0.5"])
    assert build_experiment(None, {}, ["data.batch_size=2", "augment.donor_p=0.5"]).augment.donor_p == 0.5


def test_two_frames_do_without_temporal_fakes():
    for given in ("augment.temporal_p=0", "data.fakes=videos"):
        assert build_experiment(None, {}, ["data.frames=2", given]).data.frames == 2


def test_videos_are_scored_with_the_frames_of_training_unless_told():
    assert build_experiment(None, {}, ["data.frames=6"]).data.scored_frames == 6
    assert build_experiment(None, {}, ["data.frames=6", "data.test_frames=9"]).data.scored_frames == 9


@pytest.mark.parametrize("fakes", [name for name in get_args(Fakes) if name != "none"])
def test_every_kind_of_fakes_can_be_asked_for(fakes):
    assert build_experiment(None, {}, [f"data.fakes={fakes}"]).data.fakes == fakes
