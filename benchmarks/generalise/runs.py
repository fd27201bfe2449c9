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

    def overrides(self, variant: str, seed: int) -> list[str]:
        """What is set for one training, as for ``mgst-train --set``."""
        preset, changes = VARIANTS[variant]
        # The baseline looks at single frames: it gets as many of them a step, and as many in all.
        single = preset == "sbi"
        values = {
            "data.size": self.size,
            "data.frames": 1 if single else self.frames,
            "data.test_frames": self.frames if single else 0,
            "data.batch": self.pairs * (self.frames if single else 1),
            "data.per_video": self.per_video * (self.frames if single else 1),
            "data.val_per_video": 4 * (self.frames if single else 1),
            "data.workers": self.workers,
            "train.epochs": self.epochs,
            "train.seed": seed,
            **changes,
        }
        return [f"{name}={value}" for name, value in values.items()]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


QUICK = Plan(("ours", "sbi", "spatial only"), (0, 1), 256, 160, 8, 4, 5, 4, 1)
FULL = Plan(tuple(VARIANTS), (0, 1, 2), 256, 224, 16, 16, 40, 8, 8)


def run(plan: Plan, variant: str, seed: int, shards: Path, out: Path, *, device: str) -> Predictions:
    """Trains a variant, if that is not done, and scores the test split, if that is not done."""
    folder = out / f"{variant.replace(' ', '-')}-{seed}"
    if (folder / "test" / JSON_NAME).exists():
        return Predictions.load(folder / "test")
    experiment = build_experiment(preset_file(VARIANTS[variant][0]), {}, plan.overrides(variant, seed))
    fabric = make_fabric(experiment, device=device)
    with make_train_watcher() as watcher:
        train(experiment, shards, folder / "network", fabric=fabric, watcher=watcher)
    # The last weights, averaged over the last steps: validation fakes are too easy to choose by.
    loaded = load_network(folder / "network" / "last", device=fabric.device)
    with torch.inference_mode():
        predictions = score_shards(loaded, str(shards), model=variant, split="test", device=fabric.device)
    predictions.save(folder / "test")
    Console(stderr=True).print(f"scored {len(predictions)} videos: {folder / 'test'}")
    return predictions
