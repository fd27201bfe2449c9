"""The trainer with custom networks, tasks and loaders."""

from __future__ import annotations

import csv
import json
import math
import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mgst_data.core import ConfigMismatchError, UsageError
from mgst_model.networks import NetworkCard, SegmentOutput, build_network, load_network
from mgst_model.train import DetectionTask, Stopped, TrainConfig, Trainer, TrainWatcher, make_loaders

CONFIG = TrainConfig(epochs=2, lr=0.01, ema_decay=0.9, save_every=2)


class OwnNetwork(nn.Module):
    """Computes logits from the contrast of frames, with dropout, so that random numbers matter."""

    def __init__(self, width=8, output=None):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.backbone = nn.Conv2d(3, width, 8, stride=8)
            self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, 1))
        self.output = output

    def forward(self, frames):
        maps = self.backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        std, mean = torch.std_mean(maps, dim=(1, 3, 4))
        logit = self.head(torch.cat((std, mean), dim=1))[:, 0]
        return self.output(logit) if self.output else logit


class OwnTask:
    """Distinguishes fake videos from real ones without augmentation. It is not a module and has no state."""

    def __init__(self):
        self.epochs, self.updates = [], 0

    def examples(self, segment, generator, *, has_mask=None, label=None):
        assert len(has_mask) == len(label) == len(segment)
        flipped = torch.rand((), generator=generator) < 0.5
        return segment.replace(frames=segment.frames.flip(-1)) if flipped else segment

    def test_examples(self, segment, generator, *, has_mask=None, label=None):
        return segment

    def losses(self, output, examples, *, epoch=math.inf, average=None):
        self.epochs.append(epoch)
        loss = nn.functional.binary_cross_entropy_with_logits(output.logit, examples.label)
        return {"total": loss, "own": loss.detach()}

    def update(self, output, examples, *, average=None):
        self.updates += 1


class OwnLoader:
    """Yields batches from memory, in the same order in every epoch."""

    def __init__(self, batches):
        self.batches, self.epoch, self.place = list(batches), 0, 0

    def __len__(self):
        return len(self.batches) - self.place

    def __iter__(self):
        while self.place < len(self.batches):
            self.place += 1
            yield self.batches[self.place - 1]
        self.epoch, self.place = self.epoch + 1, 0

    def state_dict(self):
        return {"epoch": self.epoch, "place": self.place}

    def load_state_dict(self, state):
        self.epoch, self.place = state["epoch"], state["place"]


class StopAt(TrainWatcher):
    def __init__(self, step):
        self.step = step

    def see(self, report):
        if getattr(report, "step", 0) == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def batches(make_experiment, mixed_shards):
    """Batches of real and fake videos, for training and for validation."""
    data = make_experiment(data={"fakes": "videos", "batch_size": 4}).data
    return [list(loader) for loader in make_loaders(str(mixed_shards), data)]


@pytest.fixture
def make_trainer(batches, fabric, tmp_path):
    def make(network=None, config=CONFIG, **options):
        loaders = tuple(map(OwnLoader, batches))
        options = {"out": tmp_path / "out", "fabric": fabric, **options}
        return Trainer(network or OwnNetwork(), OwnTask(), loaders, config, **options)

    return make


def rows(folder, name="steps.csv"):
    with (folder / name).open(newline="") as file:
        return [
            {key: value for key, value in row.items() if not key.startswith("seconds_")} for row in csv.DictReader(file)
        ]


def test_all_parts_can_be_custom(make_trainer, batches, tmp_path):
    trainer = make_trainer(config=TrainConfig(epochs=12, lr=0.05, ema_decay=0.5, validate_every=6))
    best = trainer.train()
    assert best.auc == 1
    per_epoch = len(batches[0])
    training = [epoch for epoch in trainer.task.epochs if math.isfinite(epoch)]
    assert training == [step / per_epoch for step in range(12 * per_epoch)]
    assert trainer.task.updates == len(training) == len(rows(tmp_path / "out"))
    assert len(trainer.task.epochs) == len(training) + 2 * len(batches[1])
    assert rows(tmp_path / "out")[-1].keys() == {"step", "epoch", "rate", "total", "own"}


def test_the_detection_task_trains_a_network_with_logits_only(mixed_shards, make_experiment, fabric, tmp_path):
    data = make_experiment(data={"fakes": "both"}).data
    loaders = make_loaders(str(mixed_shards), data, fabric=fabric)
    Trainer(OwnNetwork(), DetectionTask(data), loaders, TrainConfig(epochs=1), out=tmp_path, fabric=fabric).train()
    assert rows(tmp_path)[0].keys() == {"step", "epoch", "rate", "total", "segment"}


def test_weights_of_a_custom_network_are_not_loaded_by_load_network(make_trainer, tmp_path):
    trainer = make_trainer()
    trainer.train()
    network = OwnNetwork()
    network.load_state_dict(load_file(tmp_path / "out" / "last.safetensors"))
    for name, value in trainer.trained.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    with pytest.raises(UsageError, match=r"describes a custom network, which .* \(build it, and read its weights"):
        load_network(tmp_path / "out")


def test_parameters_that_share_memory_are_written(make_trainer, tmp_path):
    network = OwnNetwork()
    network.again = network.head
    make_trainer(network).train()
    state = load_file(tmp_path / "out" / "last.safetensors")
    assert torch.equal(state["head.1.weight"], state["again.1.weight"])
    network.load_state_dict(state)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_custom_training_continues_bit_identically(make_trainer, tmp_path, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    best = make_trainer(out=whole).train()
    with pytest.raises(Stopped):
        make_trainer(out=parts, watcher=StopAt(stop)).train()
    assert len(rows(parts)) == stop
    assert make_trainer(out=parts).train() == best
    assert rows(parts) == rows(whole)
    for name in ("best", "last"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (parts, whole))
        assert all(torch.equal(one[key], other[key]) for key in other)


def test_a_stopped_trainer_can_continue(make_trainer):
    trainer = make_trainer(watcher=StopAt(1))
    with pytest.raises(Stopped):
        trainer.train()
    assert trainer.train() == trainer.best == trainer.train()
    assert trainer.step == trainer.steps


@pytest.mark.parametrize(("best_of", "epoch"), [(1, 1), (3, 4)])
def test_best_is_the_latest_of_the_best_validations_also_after_a_stop(
    make_trainer, tmp_path, monkeypatch, best_of, epoch
):
    areas = (0.5, 0.9, 0.7, 0.6, 0.8, 0.3)
    monkeypatch.setattr(Trainer, "_validate_part", lambda self, *_: (areas[self._epoch_number() - 1], 1.0))
    config = TrainConfig(epochs=6, lr=0.01, best_of=best_of, optimizer="sgd")
    per_epoch = make_trainer(config=config).per_epoch
    with pytest.raises(Stopped):
        make_trainer(config=config, watcher=StopAt(4 * per_epoch - 1)).train()
    best = make_trainer(config=config).train()
    assert (best.epoch, best.auc) == (epoch, areas[epoch])
    (row,) = [row for row in rows(tmp_path / "out", "validation.csv") if int(row["epoch"]) == epoch]
    assert row["best"] == "1"
    assert json.loads((tmp_path / "out" / "best.json").read_text())["info"]["step"] == best.step


def test_another_training_is_not_continued(make_trainer):
    make_trainer(settings={"width": 8}).train()
    with pytest.raises(ConfigMismatchError, match="another config: width: 8 -> 9 "):
        make_trainer(settings={"width": 9}).train()
    with pytest.raises(
        ConfigMismatchError, match=r"out: the state belongs to another network: .*size mismatch"
    ) as caught:
        make_trainer(OwnNetwork(width=9), settings={"width": 8}).train()
    assert "\n" not in str(caught.value)


def test_without_a_fabric_the_trainer_builds_one(make_trainer):
    trainer = make_trainer(fabric=None)
    assert trainer.fabric.world_size == 1
    assert (trainer.fabric.device.type == "cuda") == torch.cuda.is_available()
    trainer.train()


@pytest.mark.parametrize(
    ("output", "given"),
    [
        (lambda logit: logit[:, None], r"a tensor of shape \(4, 1\)"),
        (lambda logit: logit.mean(), r"a tensor of shape \(\)"),
        (lambda logit: (logit, logit), "tuple"),
    ],
)
def test_an_invalid_network_output_is_rejected_with_its_shape(make_trainer, output, given):
    wanted = rf"the network must return a SegmentOutput or logits of shape \(4,\), got {given}"
    with pytest.raises(TypeError, match=wanted):
        make_trainer(OwnNetwork(output=output)).train()


def test_weights_with_a_card_are_loaded_by_load_network(make_trainer, make_experiment, tmp_path):
    config = make_experiment().network
    with torch.random.fork_rng(devices=[]):
        network = build_network(config)
    card = NetworkCard(config=config, frames=3, size=32, info={"mine": 1})
    trainer = make_trainer(network, TrainConfig(epochs=1), card=card)
    best = trainer.train()
    loaded = load_network(tmp_path / "out")
    assert (loaded.frames, loaded.size) == (3, 32)
    assert loaded.info == {"step": best.step, "validation_auc": best.auc, "validation_loss": best.loss, "mine": 1}
    assert isinstance(loaded.network(torch.zeros(1, 3, 3, 32, 32)), SegmentOutput)
