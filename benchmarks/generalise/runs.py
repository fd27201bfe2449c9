"""What is trained: variants of one network and the baseline, all on the same number of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mgst_cli.experiment import build_experiment, preset_file
from mgst_cli.train_progress import make_train_watcher
from rich.console import Console

from mgst_model.evaluate.predictions import JSON_NAME, Predictions
from mgst_model.evaluate.score import score_shards
from mgst_model.networks.checkpoint import load_network
from mgst_model.train import make_fabric, train

# The networks of two streams begin with the spatial one on single frames, blended as the baseline's: for the same
# number of frames, many more faces and blends are seen. The temporal stream joins for the segments that follow.
_ALONE: Mapping[str, Any] = {"network.streams": "spatial", "augment.blend": "sbi", "augment.temporal": 0.0}
_JOINED: Mapping[str, Any] = {
    "augment.temporal": 0.2,
    "train.lr": 2e-4,
    "train.backbone": 0.3,
    "train.warmup": 0.2,
    "train.ema": 0.97,
    "loss.ramp": 0.0,
}
# By name: preset, and what differs from it.
VARIANTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "ours": ("small", {}),
    "sbi": ("sbi", {}),
    "spatial only": ("small", {"network.streams": "spatial"}),
    "temporal only": ("small", {"network.streams": "temporal"}),
    "no guidance": ("small", {"network.guidance": "none"}),
    "no patch loss": ("small", {"loss.patch": 0.0}),
    "no frame loss": ("small", {"loss.frame": 0.0}),
    "steady blends": ("small", {"augment.blend": "consistent", "augment.temporal": 0.0}),
    "no temporal fakes": ("small", {"augment.temporal": 0.0}),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A grid of trainings.

    Attributes:
        variants: Names in :data:`VARIANTS`.
        seeds: Each variant is trained with every one.
        crop: Side of the crops in the shards, pixels.
        size: Side that the networks see.
        frames: Frames per segment.
        pairs: Real segments per step; each comes with its fake.
        epochs: Each draws ``per_video`` segments of every video.
        single_epochs: How many of them, of networks of two streams, show the spatial stream single frames instead, as
            many in all. The baseline has no other, and the temporal stream alone has none.
        per_video: See there.
        workers: Processes that read.
    """

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    crop: int
    size: int
    frames: int
    pairs: int
    epochs: int
    single_epochs: int
    per_video: int
    workers: int

    def only(self, *, variants: Sequence[str] | None, seeds: Sequence[int] | None, epochs: int | None) -> Plan:
        """A part of the grid; None leaves what is there."""
        return replace(
            self,
            variants=tuple(variants or self.variants),
            seeds=self.seeds if seeds is None else tuple(seeds),
            epochs=epochs or self.epochs,
        )

    def settings(self, seed: int, *, single: bool, epochs: int) -> dict[str, Any]:
        """What is set for one stage of any training, as for ``mgst-train --set``.

        Args:
            seed: Of the training.
            single: Whether segments are single frames: as many frames a step, each of another place in a video.
            epochs: Of this stage.
        """
        more = self.frames if single else 1
        return {
            "data.size": self.size,
            "data.frames": 1 if single else self.frames,
            "data.test_frames": self.frames if single else 0,
            "data.batch": self.pairs * more,
            "data.per_video": self.per_video * more,
            "data.val_per_video": 4 * more,
            "data.workers": self.workers,
            "train.epochs": epochs,
            "train.seed": seed,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


QUICK = Plan(("ours", "sbi", "spatial only"), (0, 1, 2), 256, 160, 8, 4, 5, 4, 4, 1)
FULL = Plan(tuple(VARIANTS), (0, 1, 2), 256, 224, 16, 16, 40, 16, 8, 8)


def run(plan: Plan, variant: str, seed: int, shards: Path, out: Path, *, device: str) -> Predictions:
    """Trains a variant, if that is not done, and scores the test split, if that is not done."""
    folder = out / f"{variant.replace(' ', '-')}-{seed}"
    if (folder / "test" / JSON_NAME).exists():
        return Predictions.load(folder / "test")
    preset, own = VARIANTS[variant]
    last = folder / "network"
    if preset == "sbi" or own.get("network.streams") == "temporal":
        settings = plan.settings(seed, single=preset == "sbi", epochs=plan.epochs)
        _train(preset, settings | own, shards, last, device)
    else:
        # Variants that differ in what comes after it share the first stage.
        shared = {name: value for name, value in own.items() if name == "loss.frame"}
        first = folder / "frames" if shared else out / f"frames-{seed}"
        settings = plan.settings(seed, single=True, epochs=plan.single_epochs)
        _train(preset, {**settings, **_ALONE, **shared}, shards, first, device)
        settings = plan.settings(seed, single=False, epochs=plan.epochs - plan.single_epochs)
        _train(preset, {**settings, **_JOINED, **own, "train.start": first / "last"}, shards, last, device)
    # The last weights, averaged over the last steps: validation fakes are too easy to choose by.
    place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    loaded = load_network(last / "last", device=place)
    predictions = score_shards(loaded, str(shards), model=variant, split="test", device=place)
    predictions.save(folder / "test")
    Console(stderr=True).print(f"scored {len(predictions)} videos: {folder / 'test'}")
    return predictions


def _train(preset: str, settings: Mapping[str, Any], shards: Path, out: Path, device: str) -> None:
    experiment = build_experiment(preset_file(preset), {}, [f"{name}={value}" for name, value in settings.items()])
    fabric = make_fabric(experiment, device=device)
    with make_train_watcher() as watcher:
        train(experiment, shards, out, fabric=fabric, watcher=watcher)
