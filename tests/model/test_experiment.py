"""Experiments: shipped files build, options override files, and invalid options are rejected."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from mgst_cli.common.options import PAPERS
from mgst_cli.common.tables import PARTS, preset_file
from mgst_cli.data.source import EXTRACTION
from mgst_cli.train.build import SOURCES, TABLES, build_experiment
from mgst_cli.train.command import PRESETS

from mgst_data.core import UsageError
from mgst_model.evaluate.protocols import Protocol
from mgst_model.networks.renamed import RENAMED
from mgst_model.train import DetectionTask, Experiment, TrainConfig
from mgst_model.train.experiment import Fakes

ROOT = Path(__file__).parents[2] / "configs"
CONFIGS, PAPER_CONFIGS = (sorted((ROOT / folder).glob("*.toml")) for folder in ("train", "papers"))


@pytest.mark.parametrize("path", CONFIGS + PAPER_CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_builds(path):
    experiment = build_experiment(path, {}, ())
    DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)
    assert json.loads(json.dumps(experiment.as_dict()))["train"]["epochs"] == experiment.train.epochs


def test_every_preset_is_a_file_and_every_file_a_preset():
    assert sorted(PRESETS) == [path.stem for path in CONFIGS]
    for name in PRESETS:
        assert preset_file(name).samefile(next(path for path in CONFIGS if path.stem == name))
    assert sorted(PAPERS) == [f"papers/{path.stem}" for path in PAPER_CONFIGS]
    for name, path in zip(sorted(PAPERS), PAPER_CONFIGS, strict=True):
        assert preset_file(name).samefile(path)
    with pytest.raises(UsageError, match="unknown configuration 'smal'"):
        preset_file("smal")


def test_the_parts_of_a_file_are_the_tables_of_the_commands():
    extraction, training, evaluation = map(set, PARTS)
    assert extraction == set(EXTRACTION)
    assert training == {*TABLES, SOURCES}
    assert evaluation == {field.name for field in fields(Protocol)}


def test_a_file_without_a_part_of_the_command_is_rejected(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nepochs = 3\n[extract]\nsize = 100\n")
    assert build_experiment(path, {}, ()).train.epochs == 3
    path.write_text("[extract]\nsize = 100\n")
    with pytest.raises(UsageError, match=r"mine.toml: has only extract, which another command reads; needed: network"):
        build_experiment(path, {}, ())


def test_no_options_give_the_default():
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
        ("train.epoch=3", r"unknown option 'train.epoch' \(did you mean 'epochs'\?\)"),
        ("trian.epochs=3", r"unknown table 'trian' \(did you mean 'train'\?\)"),
        ("train.epochs=0", r"train.epochs must be in \[1, .*got 0"),
        ("train.epochs=2.5", "train.epochs must be an integer, got 2.5"),
        ("train.lr=-1", r"train.lr must be in \[0, .*got -1.0"),
        ("train.lr=nan", r"train.lr must be in \[0, .*got nan"),
        ("train.ema_decay=1", r"train.ema_decay must be in \[0, 1\), got 1.0"),
        ("train.momentum=1", r"train.momentum must be in \[0, 1\), got 1.0"),
        ("train.optimizer=adam", "train.optimizer must be one of adamw, sgd, got 'adam'"),
        ("train.decay=step", "train.decay must be one of cosine, linear, got 'step'"),
        ("train.decay_start=1.5", r"train.decay_start must be in \[0, 1\], got 1.5"),
        ("train.best_of=0", r"train.best_of must be in \[1, .*got 0"),
        ("train.precision=16", "train.precision must be one of 32-true, bf16-mixed, 16-mixed, got 16"),
        ("data.fakes=none", "data.fakes must be one of .*, got 'none'"),
        ("data.frames=0", r"data.frames must be in \[1, .*got 0"),
        ("data.test_frames=-1", r"data.test_frames must be in \[0, .*got -1"),
        ("data.size=100", "data.size must be a multiple of 32, got 100"),
        ("data.size=0", r"data.size must be in \[32, .*got 0"),
        ("augment.blend_preset=sbl", "augment.blend_preset must be one of .*, got 'sbl'"),
        ("augment.recipe=temporal_fakes", "augment.recipe: 'temporal_fakes' is label-making"),
        ("augment.recipe=self_blend", "augment.recipe: 'self_blend' is label-making"),
        (
            "augment.recipe=robst",
            r"augment.recipe: unknown recipe or augmentation 'robst' \(did you mean 'robust'\?\)",
        ),
        ("augment.recipe=h264", "augment.recipe: 'h264' has an option without a default: missing .* 'codec'"),
        ("data.face_margin=wide", "data.face_margin must be a number, got 'wide'"),
        ("data.face_margin=-1", r"data.face_margin must be in \[-0.4, 10\], got -1.0"),
        ("data.face_margin=nan", r"data.face_margin must be in .*, got nan"),
        ("augment.blend_at=output", "augment.blend_at must be one of input, native, got 'output'"),
        (
            "augment.blend_at=native",
            r"augment.blend_at=native needs data.face_margin.* \(use data.face_margin=0.125\)",
        ),
        ("augment.face_margin_range=0.1", "augment.face_margin_range must be two numbers such as 0.05,0.2, got 0.1"),
        ("augment.face_margin_range=0.1,0.2,0.3", "augment.face_margin_range must be two numbers .*'0.1,0.2,0.3'"),
        ("augment.face_margin_range=0.1,b", "augment.face_margin_range must be two numbers .*'0.1,b'"),
        ("augment.face_margin_range=0.2,0.1", r"augment.face_margin_range must ascend, got \(0.2, 0.1\)"),
        ("augment.face_margin_range=-1,0.1", r"augment.face_margin_range must be in \[-0.4, 10\], got -1.0"),
        ("augment.donor_p=2", r"augment.donor_p must be in \[0, 1\], got 2.0"),
        ("augment.temporal_p=1.5", r"augment.temporal_p must be in \[0, 1\], got 1.5"),
        ("loss.patch_weight=-0.5", r"loss.patch_weight must be in \[0, .*got -0.5"),
        ("loss.patch_target=edge", "loss.patch_target must be one of change, boundary, got 'edge'"),
        ("data.frames=2", "augment.temporal_p has no effect on segments of 2 frames"),
        ("network.blocks=2", "table network: blocks must be at least 3"),
        ("network.guidance=all", "network.guidance must be one of both, "),
    ],
)
def test_invalid_options_are_rejected_in_one_line(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        build_experiment(None, {}, [given])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("earlier", "name"), RENAMED.items())
def test_an_earlier_name_is_rejected_with_the_current_name(earlier, name, tmp_path):
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
        assert str(caught.value) == f"{where}: option {earlier} was renamed to {name}"


@pytest.mark.parametrize("other", ["train.accumulate_batches=2", "train.precision=16-mixed"])
def test_sam_cannot_be_combined_with_some_options(other):
    with pytest.raises(UsageError, match=f"train.sam_radius and {other.partition('=')[0]}.* cannot be combined"):
        build_experiment(None, {}, ["train.sam_radius=0.05", other])
    build_experiment(None, {}, ["train.sam_radius=0.05"])


def test_a_network_of_single_frames_takes_any_size():
    given = ["network.kind=image", "data.size=380", "augment.temporal_p=0"]
    assert build_experiment(None, {}, given).data.size == 380


def test_a_donor_needs_another_segment_in_the_batch():
    with pytest.raises(UsageError, match=r"augment.donor_p needs a batch of .*, got 1 \(raise data.batch_size\)"):
        build_experiment(None, {}, ["data.batch_size=1", "augment.donor_p=0.5"])
    assert build_experiment(None, {}, ["data.batch_size=2", "augment.donor_p=0.5"]).augment.donor_p == 0.5


def test_margins_are_numbers_pairs_or_none(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nface_margin = 1\n[augment]\nface_margin_range = [0, 0.2]\nblend_at = "native"\n')
    experiment = build_experiment(path, {}, ())
    assert (experiment.data.face_margin, experiment.augment.face_margin_range) == (1.0, (0.0, 0.2))
    given = ["data.face_margin=none", "augment.face_margin_range=0.1,0.3", "augment.blend_at=input"]
    experiment = build_experiment(path, {}, given)
    assert (experiment.data.face_margin, experiment.augment.face_margin_range) == (None, (0.1, 0.3))


def test_segments_of_two_frames_work_without_temporal_fakes():
    for given in ("augment.temporal_p=0", "data.fakes=videos"):
        assert build_experiment(None, {}, ["data.frames=2", given]).data.frames == 2


def test_scoring_uses_the_frames_of_training_by_default():
    assert build_experiment(None, {}, ["data.frames=6"]).data.scored_frames == 6
    assert build_experiment(None, {}, ["data.frames=6", "data.test_frames=9"]).data.scored_frames == 9


@pytest.mark.parametrize("fakes", [name for name in get_args(Fakes) if name != "none"])
def test_every_kind_of_fakes_is_accepted(fakes):
    assert build_experiment(None, {}, [f"data.fakes={fakes}"]).data.fakes == fakes
