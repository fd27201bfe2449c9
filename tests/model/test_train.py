"""Training: bit-identical after a restart, equal for any number of processes, and able to learn."""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from augment import faces68
from face_shards import face_chunk, write_face_shards
from shards.synthetic_shards import CONFIG as CONFIG_OF_SHARDS
from shards.synthetic_shards import chunk_of, record_of, write_shard
from sklearn.metrics import roc_auc_score
from torch import nn

from mgst_data.core import ConfigMismatchError, MgstError, OutputError, Segment, UsageError, generator_for
from mgst_data.shards import open_folder
from mgst_model.networks import build_network
from mgst_model.networks.checkpoint import load_network
from mgst_model.train import DetectionTask, Stopped, TrainWatcher, Validation, make_fabric, train
from mgst_model.train.data import make_loader, open_split
from mgst_model.train.optim import parameter_groups


class Log(TrainWatcher):
    """Stores all reports, and requests a stop after step ``stop``, as a scheduler does."""

    def __init__(self, stop=0):
        self.stop, self.begun, self.steps, self.validations = stop, {}, [], []

    def begin(self, **known):
        self.begun = known

    def see(self, report):
        if isinstance(report, Validation):
            self.validations.append(report)
        else:
            self.steps.append(report)
            if report.step == self.stop:
                os.kill(os.getpid(), signal.SIGTERM)


def rows(folder, name="steps.csv"):
    with (folder / name).open(newline="") as file:
        return [
            {key: value for key, value in row.items() if not key.startswith("seconds_")} for row in csv.DictReader(file)
        ]


def state_of(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def assert_same(one, other, where="state"):
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{number}")
    else:
        assert one == other, where


def weights_of(folder, name="last"):
    return load_network(folder / name).network.state_dict()


def assert_near(folder, other, atol):
    state, others = state_of(folder)["network"], state_of(other)["network"]
    for name, value in state.items():
        torch.testing.assert_close(value, others[name], atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def through(make_experiment, real_shards, tmp_path_factory):
    """A complete training with all random options: its experiment, folder, result and reports."""
    experiment = make_experiment(
        network={"backbone": "test_efficientnet.r160_in1k", "drop_path_rate": 0.5}, train={"save_every": 2}
    )
    folder, log = tmp_path_factory.mktemp("train") / "through", Log()
    best = train(experiment, real_shards, folder, fabric=make_fabric(experiment, device="cpu"), watcher=log)
    return experiment, folder, best, log


def assert_same_training(folder, other):
    assert rows(folder) == rows(other)
    assert rows(folder, "validation.csv") == rows(other, "validation.csv")
    assert_same(state_of(folder), state_of(other))
    for name in ("last", "best"):
        assert_same(weights_of(folder, name), weights_of(other, name))


@pytest.mark.parametrize("stop", [3, 4])
def test_a_stopped_training_continues_bit_identically(through, real_shards, fabric, tmp_path, stop):
    # Step 3 is inside an epoch. Step 4 is the last step of an epoch, before its validation.
    experiment, whole, best, _ = through
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Log(stop))
    assert signal.getsignal(signal.SIGTERM) is before
    assert state_of(tmp_path)["step"] == len(rows(tmp_path)) == stop
    log = Log()
    assert train(experiment, real_shards, tmp_path, fabric=fabric, watcher=log) == best
    assert (log.begun["done"], log.begun["steps"], log.steps[0].step) == (stop, 8, stop + 1)
    assert_same_training(tmp_path, whole)


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_interrupted_validation_is_repeated(through, real_shards, fabric, tmp_path, monkeypatch, epoch):
    experiment, whole, best, _ = through
    made, answers = DetectionTask.test_examples, []

    def stopped(self, *arguments, **options):
        if len(rows(tmp_path)) == 4 * (epoch + 1):  # the steps of an epoch
            os.kill(os.getpid(), signal.SIGINT)
            assert answers, "the request is answered while the validation goes on"
        return made(self, *arguments, **options)

    class Answers(Log):
        def stopping(self):
            answers.append("stopping")

    with monkeypatch.context() as patched:
        patched.setattr(DetectionTask, "test_examples", stopped)
        with pytest.raises(Stopped):
            train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Answers())
    assert answers == ["stopping"]
    validated = rows(tmp_path, "validation.csv") if epoch else []
    assert len(validated) == epoch
    assert state_of(tmp_path)["unvalidated"] == epoch
    assert train(experiment, real_shards, tmp_path, fabric=fabric) == best
    assert_same_training(tmp_path, whole)


def test_a_second_training_in_the_folder_is_rejected_while_the_first_one_runs(
    make_experiment, real_shards, fabric, tmp_path
):
    experiment = make_experiment(train={"epochs": 1})

    class Second(Log):
        def see(self, report):
            super().see(report)
            with pytest.raises(OutputError, match=r"in use by another run \(process \d+ on ") as caught:
                train(experiment, real_shards, tmp_path, fabric=fabric)
            assert caught.value.reason == "locked"

    train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Second())
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4"]
    assert not (tmp_path / ".lock").exists()


def test_the_card_describes_the_training_set(through):
    _, folder, _, _ = through
    assert load_network(folder).info["trained_on"] == {"real_videos": {"ffpp": 4}, "people": 4}


def test_a_killed_training_continues_from_the_saved_state(through, real_shards, fabric, tmp_path):
    class Killed(Log):
        def see(self, report):
            super().see(report)
            if len(self.steps) == 7:
                raise KeyboardInterrupt

    experiment, whole, _, _ = through
    with pytest.raises(KeyboardInterrupt):
        train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Killed())
    assert (state_of(tmp_path)["step"], len(rows(tmp_path))) == (6, 7)
    log = Log()
    train(experiment, real_shards, tmp_path, fabric=fabric, watcher=log)
    assert [report.step for report in log.steps] == [7, 8]
    assert_same_training(tmp_path, whole)


def test_a_training_that_is_killed_before_its_first_state_starts_over(through, real_shards, fabric, tmp_path):
    class Killed(Log):
        def see(self, report):
            raise KeyboardInterrupt

    experiment, whole, _, _ = through
    with pytest.raises(KeyboardInterrupt):
        train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Killed())
    assert (len(rows(tmp_path)), (tmp_path / "state.pt").exists()) == (1, False)
    train(experiment, real_shards, tmp_path, fabric=fabric)
    assert_same_training(tmp_path, whole)


def test_a_training_that_is_killed_after_a_validation_has_it_once(through, real_shards, fabric, tmp_path):
    class Killed(Log):
        def see(self, report):
            super().see(report)
            if isinstance(report, Validation):
                raise KeyboardInterrupt

    experiment, whole, _, _ = through
    with pytest.raises(KeyboardInterrupt):
        train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Killed())
    assert state_of(tmp_path)["step"] == 4  # that of the validation, but saved before it
    assert len(rows(tmp_path, "validation.csv")) == 1
    train(experiment, real_shards, tmp_path, fabric=fabric)
    assert_same_training(tmp_path, whole)


def test_a_killed_reading_process_is_one_clear_error_and_the_training_continues(through, real_shards, tmp_path):
    class ReaderKilled(Log):
        def see(self, report):
            super().see(report)
            if len(self.steps) == 3:
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    experiment, whole, _, _ = through
    reading = replace(experiment, data=replace(experiment.data, workers=1))
    fabric = make_fabric(experiment, device="cpu")
    with pytest.raises(MgstError, match=r"a process that reads shards has ended: .* \(lower data\.workers") as caught:
        train(reading, real_shards, tmp_path, fabric=fabric, watcher=ReaderKilled())
    assert caught.value.reason == "worker_died"
    train(experiment, real_shards, tmp_path, fabric=fabric)
    assert_same_training(tmp_path, whole)


@pytest.fixture(scope="module")
def alone(make_experiment, real_shards, tmp_path_factory):
    """Trainings of each stream alone, the spatial one on single frames."""
    folders = {}
    for streams, frames in (("spatial", 1), ("temporal", 4)):
        network = {"backbone": "test_convnext", "streams": streams}
        experiment = make_experiment(network=network, data={"frames": frames}, train={"epochs": 1, "lr": 0.01})
        folders[streams] = tmp_path_factory.mktemp(streams)
        train(experiment, real_shards, folders[streams], fabric=make_fabric(experiment, device="cpu"))
    return folders


@pytest.fixture
def started(make_experiment, real_shards, fabric, tmp_path):
    """Continues from other trainings at a rate of 0, so that the initial weights stay; returns the folder."""

    def run(*others, **network):
        start = tuple(str(other / "last") for other in others)
        experiment = make_experiment(
            network={"backbone": "test_convnext", **network}, train={"epochs": 1, "lr": 0.0, "init_from": start}
        )
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        train(experiment, real_shards, folder, fabric=fabric)
        return folder

    return run


@pytest.mark.parametrize("streams", ["both", "spatial"])
def test_a_training_starts_from_an_earlier_one(started, alone, streams):
    """Fusion does not matter for a single stream, and the options of the earlier training do not matter."""
    fusion = "scores" if streams == "spatial" else "features"
    first = started(alone["spatial"], streams=streams, fusion=fusion, style_mix_p=0.5)
    assert_same(weights_of(started(first, streams=streams)), weights_of(first))


def test_a_training_starts_from_its_spatial_stream(started, alone):
    learnt, joined = weights_of(alone["spatial"]), weights_of(started(alone["spatial"]))
    assert {name.split(".")[0] for name in joined} > {"temporal", "guidance"}
    for name, value in learnt.items():
        found = joined[name.replace("heads.spatial", "heads.both")]
        if found.shape != value.shape:
            assert name == "segment_heads.spatial.project.weight"
            assert not found[:, value.shape[1] :].any()
        assert torch.equal(found[:, : value.shape[1]] if value.ndim > 1 else found, value), name


def test_options_without_weights_may_differ_between_streams(started, alone):
    joined, learnt = weights_of(started(alone["spatial"], drop_path_rate=0.5, blocks=4)), weights_of(alone["spatial"])
    assert torch.equal(joined["frame_head.project.weight"], learnt["frame_head.project.weight"])


def test_a_training_starts_from_both_streams(started, alone):
    joined = weights_of(started(alone["temporal"], alone["spatial"], fusion="scores"))
    for path in alone.values():
        for name, value in weights_of(path).items():
            assert torch.equal(joined.pop(name), value), name
    assert {name.split(".")[0] for name in joined} == {"guidance"}


@pytest.mark.parametrize(
    ("network", "streams"),
    [
        ({"streams": "temporal"}, ["spatial"]),
        ({"kind": "image"}, ["spatial"]),
        ({"embedding_dim": 16}, ["spatial"]),
        ({"backbone": "test_vit"}, ["spatial"]),
        ({"dim": 24}, ["spatial", "temporal"]),
        ({"streams": "temporal"}, ["temporal", "spatial"]),
    ],
    ids=str,
)
def test_initial_weights_of_another_network_are_rejected(started, alone, network, streams):
    with pytest.raises(UsageError, match="last: the network has another shape"):
        started(*(alone[stream] for stream in streams), **network)


def test_the_same_stream_twice_is_rejected(started, alone, tmp_path):
    copied = shutil.copytree(alone["spatial"], tmp_path / "copied")
    with pytest.raises(UsageError, match="copied/last: the network has another shape"):
        started(alone["spatial"], copied)


def test_a_training_with_several_batches_per_step_continues_bit_identically(
    make_experiment, real_shards, fabric, tmp_path
):
    experiment = make_experiment(train={"accumulate_batches": 2, "epochs": 1})
    train(experiment, real_shards, tmp_path / "whole", fabric=fabric)
    with pytest.raises(Stopped):
        train(experiment, real_shards, tmp_path / "parts", fabric=fabric, watcher=Log(1))
    train(experiment, real_shards, tmp_path / "parts", fabric=fabric)
    assert len(rows(tmp_path / "parts")) == 2
    assert_same_training(tmp_path / "parts", tmp_path / "whole")


def test_another_seed_gives_another_training(through, real_shards, fabric, tmp_path):
    experiment, whole, _, _ = through
    changed = replace(experiment, train=replace(experiment.train, seed=1))
    with pytest.raises(Stopped):
        train(changed, real_shards, tmp_path, fabric=fabric, watcher=Log(1))
    assert rows(tmp_path)[0]["rate"] == rows(whole)[0]["rate"]
    assert rows(tmp_path)[0]["segment"] != rows(whole)[0]["segment"]


def test_a_complete_training_is_not_changed(through, real_shards, fabric):
    experiment, whole, best, log = through
    assert [report.step for report in log.steps] == list(range(1, 9))
    assert [report.epoch for report in log.validations] == [0, 1]
    assert best == max(log.validations, key=lambda report: (report.auc, -report.loss))
    assert best.best
    assert rows(whole, "validation.csv")[best.epoch]["best"] == "1"
    assert load_network(whole).info["step"] == best.step
    before, again = rows(whole), Log()
    assert train(experiment, real_shards, whole, fabric=fabric, watcher=again) == best
    assert not again.steps + again.validations
    assert rows(whole) == before


@pytest.mark.parametrize("name", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_names_its_chunks_and_keeps_the_last_state(
    name, through, real_shards, fabric, tmp_path, monkeypatch
):
    experiment, whole, _, _ = through
    seen = []
    plain = nn.functional.binary_cross_entropy_with_logits

    def loss(logits, *arguments, **options):
        seen.append(1)
        found = plain(logits, *arguments, **options)
        if len(seen) != 4:
            return found
        # The derivative of the square root is infinite at 0.
        return found * math.nan if name == "loss" else found + (0 * logits.sum()).sqrt()

    with monkeypatch.context() as patch:
        patch.setattr("torch.nn.functional.binary_cross_entropy_with_logits", loss)
        with pytest.raises(
            MgstError, match=rf"the {name} is nan at step 4, chunks train0\d-00-0000, train0\d-00-0000 "
        ) as caught:
            train(experiment, real_shards, tmp_path, fabric=fabric)
    assert caught.value.reason == f"non_finite_{name}"
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert (len(rows(tmp_path)), state_of(tmp_path)["step"]) == (3, 2)
    train(experiment, real_shards, tmp_path, fabric=fabric)
    assert_same_training(tmp_path, whole)


def test_a_validation_loss_that_is_not_finite_is_an_error(make_experiment, real_shards, fabric, tmp_path, monkeypatch):
    def losses(self, output, examples, *, plain=DetectionTask.losses, **options):
        found = plain(self, output, examples, **options)
        return found if options else {**found, "total": found["total"] * math.nan}  # only the training passes an epoch

    monkeypatch.setattr(DetectionTask, "losses", losses)
    with pytest.raises(MgstError, match="the validation loss is nan after step 4 "):
        train(make_experiment(train={"epochs": 1}), real_shards, tmp_path, fabric=fabric)
    assert not (tmp_path / "last.safetensors").exists()


def test_a_training_continues_only_in_the_same_number_of_processes(make_experiment, real_shards, fabric, tmp_path):
    experiment = make_experiment(train={"epochs": 1})
    with pytest.raises(Stopped):
        train(experiment, real_shards, tmp_path, fabric=fabric, watcher=Log(1))
    state = state_of(tmp_path)
    torch.save({**state, "processes": 2}, tmp_path / "state.pt")
    with pytest.raises(ConfigMismatchError, match="the number of processes must be 2, as before, got 1 "):
        train(experiment, real_shards, tmp_path, fabric=fabric)
    torch.save(state, tmp_path / "state.pt")
    train(experiment, f"{real_shards}/", tmp_path, fabric=fabric)  # another spelling of the same path
    assert len(rows(tmp_path)) == 4


def test_validation_runs_at_its_interval_and_at_the_end(make_experiment, real_shards, fabric, tmp_path):
    log = Log()
    train(
        make_experiment(data={"draws_per_video": 1, "batch_size": 4}, train={"epochs": 5, "validate_every": 2}),
        real_shards,
        tmp_path,
        fabric=fabric,
        watcher=log,
    )
    assert [report.epoch for report in log.validations] == [1, 3, 4]


def test_the_auc_is_that_of_all_segments_together(make_experiment, real_shards, fabric, tmp_path):
    # Two logits at a time are sometimes both in [0, 1], as probabilities are.
    experiment = make_experiment(
        data={"batch_size": 1, "draws_per_video": 1, "val_draws_per_video": 12}, train={"epochs": 1, "seed": 1}
    )
    train(experiment, real_shards, tmp_path, fabric=fabric)
    network = load_network(tmp_path / "last").network
    loader = make_loader(open_split(str(real_shards), experiment.data, "val"), experiment.data, seed=1, training=False)
    task = DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)
    logits, labels = [], []
    for number, batch in enumerate(loader):
        examples = task.test_examples(batch.to_segment(grid=2), generator_for(1, "validation", number, 0))
        with torch.no_grad():
            logits.append(network(examples.frames).logit)
        labels.append(examples.label)
    assert any(((logit >= 0) & (logit <= 1)).all() for logit in logits)
    assert not all(((logit >= 0) & (logit <= 1)).all() for logit in logits)
    wanted = roc_auc_score(torch.cat(labels).numpy(), torch.cat(logits).numpy())
    assert float(rows(tmp_path, "validation.csv")[0]["auc"]) == pytest.approx(wanted, abs=1e-6)


def test_an_easy_task_is_learnt(make_experiment, mixed_shards, fabric, tmp_path):
    experiment = make_experiment(
        data={"fakes": "videos", "batch_size": 8, "frames": 2, "draws_per_video": 8},
        augment={"recipe": "none"},
        train={"epochs": 5, "lr": 5e-3, "ema_decay": 0.0, "validate_every": 5},
    )
    log = Log()
    best = train(experiment, mixed_shards, tmp_path, fabric=fabric, watcher=log)
    assert best.auc == 1
    assert log.steps[-1].losses["segment"] < 0.05
    assert log.steps[0].losses["segment"] > 0.5
    assert log.steps[-1].losses["patch"] < log.steps[0].losses["patch"] / 3


def test_two_accumulated_half_batches_equal_one_batch(make_experiment, mixed_shards, fabric, tmp_path):
    # Both halves have as many real as fake segments. A prototype that is updated twice per step would differ.
    for name, batch, accumulate in (("whole", 4, 1), ("halves", 2, 2)):
        experiment = make_experiment(
            network={"drop_path_rate": 0.0},
            data={"fakes": "videos", "batch_size": batch},
            augment={"recipe": "none"},
            loss={"frame_weight": 0.0, "ramp_epochs": 0.0},
            train={"epochs": 1, "accumulate_batches": accumulate, "clip_norm": 0.0},
        )
        train(experiment, mixed_shards, tmp_path / name, fabric=fabric)
    whole, halves = rows(tmp_path / "whole"), rows(tmp_path / "halves")
    assert len(whole) == len(halves) == 4
    for one, other in zip(whole, halves, strict=True):
        assert float(one["total"]) == pytest.approx(float(other["total"]), abs=1e-4)
    assert_near(tmp_path / "whole", tmp_path / "halves", atol=1e-4)
    # AdamW's steps hide a gradient of twice the length, but its running averages show it.
    moments, others = (state_of(tmp_path / name)["optimizer"]["state"] for name in ("whole", "halves"))
    for key, moment in moments.items():
        torch.testing.assert_close(moment["exp_avg"], others[key]["exp_avg"], atol=1e-4, rtol=1e-2)


def test_averaged_weights_are_saved_and_validated(make_experiment, real_shards, fabric, tmp_path):
    for ema in (0.0, 0.9):
        train(make_experiment(train={"ema_decay": ema, "epochs": 1}), real_shards, tmp_path / str(ema), fabric=fabric)
    assert_same(state_of(tmp_path / "0.0")["network"], weights_of(tmp_path / "0.0"))
    state = state_of(tmp_path / "0.9")
    assert_same(state["averaged"], weights_of(tmp_path / "0.9"))
    assert_same(state["network"], weights_of(tmp_path / "0.0"))
    far = [(state["averaged"][name] - value).abs().max() for name, value in state["network"].items()]
    assert 0 < max(far) < 4e-3  # at most four steps of 1e-3


def test_precision_and_sharpness_change_little_at_first(make_experiment, real_shards, fabric, tmp_path):
    first = {}
    for name, changes in {"plain": {}, "bf16": {"precision": "bf16-mixed"}, "sam": {"sam_radius": 0.05}}.items():
        experiment = make_experiment(network={"drop_path_rate": 0.0}, train={"epochs": 1, **changes})
        log = Log()
        own = make_fabric(experiment, device="cpu")
        train(experiment, real_shards, tmp_path / name, fabric=own, watcher=log)
        assert all(math.isfinite(value) for report in log.steps for value in report.losses.values())
        assert {value.dtype for value in state_of(tmp_path / name)["network"].values()} == {torch.float32}
        first[name] = log.steps[0].losses
    assert first["sam"] == first["plain"]
    assert first["bf16"] != first["plain"]
    assert first["bf16"] == pytest.approx(first["plain"], abs=0.05)
    assert rows(tmp_path / "sam")[-1] != rows(tmp_path / "plain")[-1]


@pytest.mark.gpu
def test_the_float16_loss_scale_is_restored(make_experiment, real_shards, cuda, tmp_path):
    experiment = make_experiment(train={"epochs": 1, "precision": "16-mixed"})
    with pytest.raises(Stopped):
        train(experiment, real_shards, tmp_path, fabric=make_fabric(experiment, device=str(cuda)), watcher=Log(1))
    state = state_of(tmp_path)
    assert state["precision"]["scale"] > 128
    state["precision"]["scale"] = 128.0  # it only grows after 2000 steps
    torch.save(state, tmp_path / "state.pt")
    fabric = make_fabric(experiment, device=str(cuda))
    train(experiment, real_shards, tmp_path, fabric=fabric)
    assert fabric.strategy.precision.state_dict()["scale"] <= 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": {"accumulate_batches": 5}},
            r"an epoch has 4 batches, too few for one step \(lower train.accumulate_batches \(5\)",
        ),
        ({"data": {"batch_size": 9}}, "an epoch has 8 segments, too few for one batch in each of 1 processes"),
        ({"data": {"fakes": "both"}}, "no fake videos in the split 'train'"),
        ({"data": {"frames": 9}}, "no real chunk of the split 'train' has 9 consecutive frames .the longest has 8: "),
        ({"network": {"backbone": "test_convnex"}}, "unknown backbone 'test_convnex'"),
    ],
)
def test_an_impossible_training_is_rejected_before_the_folder_is_created(
    make_experiment, real_shards, fabric, tmp_path, changes, message
):
    with pytest.raises(UsageError, match=message):
        train(make_experiment(**changes), real_shards, tmp_path / "out", fabric=fabric)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported(make_experiment):
    with pytest.raises(UsageError, match="no CUDA device is available"):
        make_fabric(make_experiment(), device="cuda")
    with pytest.raises(UsageError, match=r"train.precision 16-mixed needs a GPU"):
        make_fabric(make_experiment(train={"precision": "16-mixed"}))


def test_scoring_uses_consecutive_frames_for_any_stride(make_experiment, real_shards):
    data = make_experiment(data={"stride": 2}).data
    reader = open_split(str(real_shards), data, "val")
    for training, step in ((True, 2), (False, 1)):
        for batch in make_loader(reader, data, seed=0, training=training):
            assert (batch.frame_indices.diff(dim=1) == step).all()


@pytest.mark.parametrize("temporal_p", [0.0, 1.0])
def test_native_blends_are_trained_from_crops_of_any_size(make_experiment, fabric, tmp_path, temporal_p):
    """Videos of several sizes, stills among them, in the same batches."""
    frames = 4 if temporal_p else 1
    sizes = {"a": 64, "b": 96, "c": 80}
    records = [record_of(f"{name}{split}", split=split) for name in sizes for split in ("train", "val")]
    with open_folder(tmp_path / "shards", CONFIG_OF_SHARDS, records, videos_per_shard=9) as folder:
        for task in folder.missing(records):
            write_shard(
                tmp_path / "shards",
                task,
                extract=lambda r: [face_chunk(r, size=sizes[r.key[0]], frames=1 if r.key[0] == "c" else 8)],
            )
        folder.finish()
    experiment = make_experiment(
        network={} if temporal_p else {"kind": "image"},
        data={"frames": frames, "face_margin": 0.125, "draws_per_video": 4},
        augment={"blend_at": "native", "blend_preset": "sbi", "recipe": "sbi", "temporal_p": temporal_p},
        train={"epochs": 1},
    )
    reader = open_split(str(tmp_path / "shards"), experiment.data, "train")
    loader = make_loader(reader, experiment.data, seed=0, training=True)
    assert {batch.frames.shape[-1] for batch in loader} <= {64, 80, 96}
    log = Log()
    train(experiment, tmp_path / "shards", tmp_path / "run", fabric=fabric, watcher=log)
    assert log.steps
    assert all(math.isfinite(report.losses["total"]) for report in log.steps)
    loaded = load_network(tmp_path / "run" / "best")
    assert (loaded.face_margin, loaded.size) == (0.125, 32)


def test_too_short_videos_of_a_label_are_reported(make_experiment, tmp_path):
    records = [record_of("a"), record_of("b", label=1)]
    with open_folder(tmp_path, CONFIG_OF_SHARDS, records, videos_per_shard=9) as folder:
        for task in folder.missing(records):
            write_shard(tmp_path, task, extract=lambda r: [chunk_of(r, t=3 if r.label else 9)])
        folder.finish()
    data = make_experiment(data={"fakes": "videos", "frames": 5, "batch_size": 1}).data
    reader = open_split(str(tmp_path), data, "train")
    with pytest.raises(UsageError, match="no fake chunk of the split 'train' has 5 consecutive frames"):
        make_loader(reader, data, seed=0, training=True)


CONFIG = """
[network]
backbone = "test_convnext"
pretrained = "random"
dim = 16
heads = 2
blocks = 3
mlp_ratio = 2.0
embedding_dim = 8
drop_path_rate = 0.0
[data]
fakes = "videos"
frames = 3
size = 32
batch_size = 2
draws_per_video = 3
val_draws_per_video = 1
workers = 0
[augment]
recipe = "none"
[train]
epochs = 1
lr = 1e-3
backbone_lr_scale = 1.0
ema_decay = 0.9
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(make_experiment, fabric, tmp_path):
    # The validation has two segments, so the second process has no validation batch.
    shards = write_face_shards(tmp_path / "shards", val=1, fakes=True, masks=True)
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    command += ["-m", "mgst_cli.train", shards, "--config", config, "--out", tmp_path / "two", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr

    # 24 segments are 6 steps of 2 x 2.
    experiment = make_experiment(
        network={"drop_path_rate": 0.0},
        data={"fakes": "videos", "batch_size": 4, "draws_per_video": 3, "val_draws_per_video": 1},
        augment={"recipe": "none"},
        train={"epochs": 1},
    )
    train(experiment, shards, tmp_path / "one", fabric=fabric)
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 6
    for row, other in zip(one, two, strict=True):
        assert {k: float(v) for k, v in row.items()} == pytest.approx({k: float(v) for k, v in other.items()}, abs=1e-4)
    for key, value in rows(tmp_path / "one", "validation.csv")[0].items():
        assert float(value) == pytest.approx(float(rows(tmp_path / "two", "validation.csv")[0][key]), abs=1e-4)
    # AdamW takes full steps even for gradients that are rounding errors, as those behind gates of 0 are.
    assert_near(tmp_path / "one", tmp_path / "two", atol=2e-4)


@pytest.mark.slow
def test_processes_average_the_same_running_means(tmp_path):
    """Each process normalises with its own statistics; validation and resuming use one network."""
    shards = write_face_shards(tmp_path / "shards")
    config = tmp_path / "tiny.toml"
    config.write_text(CONFIG.replace('"test_convnext"', '"test_efficientnet"').replace('"videos"', '"blends"'))
    program = tmp_path / "program.py"
    program.write_text(AVERAGES)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
    command += [program, config, shards, tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    means = [name for name in first if name.endswith("running_mean")]
    assert any(first[name].any() for name in means)
    for name in means:
        assert torch.equal(first[name], second[name]), name


AVERAGES = """
import sys
from pathlib import Path

import torch
from mgst_cli.train.build import build_experiment

from mgst_model.train import make_fabric
from mgst_model.train.assemble import make_trainer

config, shards, out = map(Path, sys.argv[1:])
experiment = build_experiment(config, {}, ())
fabric = make_fabric(experiment, device="cpu", devices=2)
training = make_trainer(experiment, shards, out / "net", fabric=fabric)
training.train()
torch.save(training.averaged.module.state_dict(), out / f"{fabric.global_rank}.pt")
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_eight_segments_can_be_memorised(make_experiment):
    experiment = make_experiment(network={"drop_path_rate": 0.0}, augment={"recipe": "none"})
    task = DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)
    people = faces68.make(4, 3, 32)
    segment = Segment.of(people.frames, people.landmarks, grid=2)
    examples = task.examples(segment, generator_for(0, "examples"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment.network).train()
        optimizer = torch.optim.AdamW(parameter_groups(network, experiment.train), lr=5e-3)
        for step in range(200):
            output = network(examples.frames)
            task.update(output, examples)
            parts = task.losses(output, examples)
            parts["total"].backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 0:
                first = {name: float(part.detach()) for name, part in parts.items()}
            elif parts["segment"] < 0.02 and parts["patch"] < first["patch"] / 4:
                break
    assert parts["segment"] < 0.05
    assert parts["patch"] < first["patch"] / 2
    assert parts["frame"] < first["frame"]


def test_a_training_can_have_another_task(make_experiment, real_shards, fabric, tmp_path):
    class Marked(DetectionTask):
        """Makes examples whose fakes are white."""

        def examples(self, segment, generator, **given):
            made = super().examples(segment, generator, **given)
            return replace(made, frames=torch.where(made.label[:, None, None, None, None] == 1, 1.0, made.frames))

    experiment = make_experiment(train={"epochs": 2})
    log, plain = Log(), Log()
    task = Marked(experiment.data, experiment.augment, experiment.loss, experiment.network)
    train(experiment, real_shards, tmp_path / "marked", fabric=fabric, watcher=log, task=task)
    train(experiment, real_shards, tmp_path / "plain", fabric=fabric, watcher=plain)
    assert log.steps[0].losses["total"] != plain.steps[0].losses["total"]
