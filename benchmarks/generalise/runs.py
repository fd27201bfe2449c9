"""Trains variants of one network and the baseline, all on the same number of frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import build_experiment
from mgst_cli.train.progress import train_watcher
from rich.console import Console

from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.evaluate.score import score_shards
from mgst_model.networks.checkpoint import load_network
from mgst_model.train import make_fabric, train
from mgst_model.train.state import STEPS

# Changed options of each variant, relative to ours. The baseline is a preset, so it has no changed options.
BASELINE = "sbi"
VARIANTS: dict[str, Mapping[str, Any]] = {
    "ours": {},
    BASELINE: {},
    "spatial only": {"network.streams": "spatial"},
    "temporal only": {"network.streams": "temporal"},
    "no guidance": {"network.guidance": "none"},
    "no patch loss": {"loss.patch_weight": 0.0},
    "no frame loss": {"loss.frame_weight": 0.0},
    "steady blends": {"augment.blend_preset": "consistent"},
    "no temporal fakes": {"augment.temporal_p": 0.0},
    "donors": {"augment.donor_p": 0.5},
    "style mixing": {"network.style_mix_p": 0.5},
}
# Options that change the training of one stream alone. Variants with equal values share this training.
_MATTERS = {
    "frames": ("loss.frame_weight", "augment.donor_p", "network.style_mix_p"),
    "patches": ("loss.patch_weight", "augment.blend_preset", "augment.temporal_p"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A grid of trainings.

    Attributes:
        variants: Names of variants in :data:`VARIANTS`.
        seeds: Seeds; each variant is trained with every seed.
        crop: Side of the crops in the shards, pixels.
        size: Side of the input frames of the networks, pixels.
        frames: Frames per segment.
        pairs: Real-fake pairs per step.
        epochs: Epochs of the baseline.
        frame_epochs: Epochs of the spatial stream alone, on single frames.
        patch_epochs: Epochs of the temporal stream alone, on segments; they take little time.
        joined_epochs: Epochs of both streams together. All epochs of ours together take the same time as the baseline.
        per_video: Segments per video in an epoch, or as many single frames.
        workers: Number of reader processes.
        precision: Precision of the networks.
        frame_precision: Precision of the networks on single frames. On a CPU, the gradients of depthwise convolutions
            are slower in bfloat16 than in float32.
    """

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    crop: int
    size: int
    frames: int
    pairs: int
    epochs: int
    frame_epochs: int
    patch_epochs: int
    joined_epochs: int
    per_video: int
    workers: int
    precision: str
    frame_precision: str

    def only(self, *, variants: Sequence[str] | None, seeds: Sequence[int] | None) -> Plan:
        """Returns a part of the grid; None keeps all variants or all seeds."""
        seeds = self.seeds if seeds is None else tuple(seeds)
        return replace(self, variants=tuple(variants or self.variants), seeds=seeds)

    def settings(self, seed: int, *, single: bool, epochs: int) -> dict[str, Any]:
        """Returns the options of one stage of a training, in the form of ``mgst-train --set``.

        Args:
            seed: Seed of the training.
            single: Whether segments are single frames. A step then has the same number of frames, each from another
                position of a video.
            epochs: Number of epochs of the stage.
        """
        more = self.frames if single else 1
        return {
            "data.size": self.size,
            "data.frames": 1 if single else self.frames,
            "data.test_frames": self.frames if single else 0,
            "data.batch_size": self.pairs * more,
            "data.draws_per_video": self.per_video * more,
            "data.val_draws_per_video": 4 * more,
            "data.workers": self.workers,
            "train.epochs": epochs,
            "train.validate_every": epochs,
            "train.precision": self.frame_precision if single else self.precision,
            "train.seed": seed,
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns the plan as plain values, for JSON."""
        return asdict(self)


QUICK = Plan(
    variants=("ours", "sbi", "spatial only", "temporal only"),
    seeds=(0, 1, 2),
    crop=256,
    size=160,
    frames=8,
    pairs=4,
    epochs=5,
    frame_epochs=3,
    patch_epochs=5,
    joined_epochs=1,
    per_video=4,
    workers=1,
    precision="bf16-mixed",
    frame_precision="32-true",
)
FULL = Plan(
    variants=tuple(VARIANTS),
    seeds=(0, 1, 2),
    crop=256,
    size=224,
    frames=16,
    pairs=16,
    epochs=40,
    frame_epochs=16,
    patch_epochs=40,
    joined_epochs=12,
    per_video=8,
    workers=8,
    precision="bf16-mixed",
    frame_precision="bf16-mixed",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One of several consecutive trainings.

    Attributes:
        folder: Output folder; variants that share a stage share its folder.
        preset: Name of a file of configs/train.
        settings: Changed options, in the form of ``mgst-train --set``.
    """

    folder: Path
    preset: str
    settings: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The last checkpoint, averaged over the last steps. The validation fakes are too easy to select the best."""
        return self.folder / "last"

    def seconds(self) -> float:
        """Returns the time of all steps of a finished training, seconds."""
        with (self.folder / STEPS).open(newline="") as file:
            return sum(float(row[name]) for row in csv.DictReader(file) for name in row if name.startswith("seconds_"))


def stages(plan: Plan, variant: str, seed: int, out: Path) -> list[Stage]:
    """Returns the stages of a variant in order."""
    own = VARIANTS[variant]
    name = variant.replace(" ", "-")
    network = out / f"{name}-{seed}" / "network"
    if variant == BASELINE:
        return [Stage(network, BASELINE, plan.settings(seed, single=True, epochs=plan.epochs))]

    def alone(which: str, epochs: int, *, single: bool) -> Stage:
        differs = {key: value for key, value in own.items() if key in _MATTERS[which]}
        folder = out / (f"{name}-{which}-{seed}" if differs else f"{which}-{seed}")
        return Stage(folder, f"small_{which}", plan.settings(seed, single=single, epochs=epochs) | differs)

    streams = own.get("network.streams", "both")
    made = []
    if streams != "temporal":
        made.append(alone("frames", plan.frame_epochs, single=True))
    if streams != "spatial":
        made.append(alone("patches", plan.patch_epochs, single=False))
    if streams == "temporal":
        return made
    begin = {"train.init_from": ",".join(str(stage.weights) for stage in made)}
    settings = plan.settings(seed, single=False, epochs=plan.joined_epochs)
    return [*made, Stage(network, "small_joined", settings | own | begin)]


def run(plan: Plan, variant: str, seed: int, shards: Path, out: Path, *, device: str) -> tuple[Predictions, float]:
    """Trains a variant and scores the test split; finished parts are not repeated.

    Returns:
        The predictions for the test videos, and the training time in seconds.

    Raises:
        ConfigMismatchError: if a stage was trained with other settings.
    """
    planned = stages(plan, variant, seed, out)
    folder = out / f"{variant.replace(' ', '-')}-{seed}" / "test"
    for stage in planned:
        _train(stage, shards, device)
    if not (folder / JSON_NAME).exists():
        place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        loaded = load_network(planned[-1].weights, device=place)
        predictions = score_shards(loaded, str(shards), model=variant, split="test", device=place)
        predictions.save(folder)
        Console(stderr=True).print(f"scored {len(predictions)} videos: {folder}")
    return Predictions.load(folder), sum(stage.seconds() for stage in planned)


def _train(stage: Stage, shards: Path, device: str) -> None:
    settings = [f"{name}={value}" for name, value in stage.settings.items()]
    experiment = build_experiment(preset_file(stage.preset), {}, settings)
    fabric = make_fabric(experiment, device=device)
    with train_watcher() as watcher:
        train(experiment, shards, stage.folder, fabric=fabric, watcher=watcher)
