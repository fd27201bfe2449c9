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

# In a network of two streams each learns alone first, at its own pace: the spatial one from single frames, blended as
# the baseline's (for the same number of frames, many more faces and blends are seen), the temporal one, whose steps are
# cheap, from segments for many more of them. Then both go on together.
_FRAMES: Mapping[str, Any] = {"network.streams": "spatial", "augment.blend": "sbi", "augment.temporal": 0.0}
_PATCHES: Mapping[str, Any] = {"network.streams": "temporal", "augment.recipe": "robust"}
_JOINED: Mapping[str, Any] = {
    "network.fusion": "scores",
    "augment.recipe": "robust",
    "train.lr": 1e-4,
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
# What of that matters to a stream alone; variants that do not differ in it share its training.
_MATTERS = {"frames": ("loss.frame",), "patches": ("loss.patch", "augment.blend", "augment.temporal")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A grid of trainings.

    Attributes:
        variants: Names in :data:`VARIANTS`.
        seeds: Each variant is trained with every one.
        crop: Side of the crops in the shards, pixels.
        size: Side that the networks see.
        frames: Frames per segment.
        pairs: Real segments per step; each comes with its fake.
        epochs: Of the baseline; each draws ``per_video`` segments of every video, or as many frames one by one.
        frame_epochs: Of the spatial stream alone, on single frames.
        patch_epochs: Of the temporal stream alone, on segments; cheap ones.
        joined_epochs: Of both together. In all, ours takes as long as the baseline.
        per_video: See there.
        workers: Processes that read.
        precision: Of the networks.
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

    def only(self, *, variants: Sequence[str] | None, seeds: Sequence[int] | None) -> Plan:
        """A part of the grid; None leaves what is there."""
        seeds = self.seeds if seeds is None else tuple(seeds)
        return replace(self, variants=tuple(variants or self.variants), seeds=seeds)

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
            "train.validate": epochs,
            "train.precision": self.precision,
            "train.seed": seed,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
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
    patch_epochs=6,
    joined_epochs=1,
    per_video=4,
    workers=1,
    precision="bf16-mixed",
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
)


def run(plan: Plan, variant: str, seed: int, shards: Path, out: Path, *, device: str) -> Predictions:
    """Trains a variant, if that is not done, and scores the test split, if that is not done."""
    folder = out / f"{variant.replace(' ', '-')}-{seed}"
    if (folder / "test" / JSON_NAME).exists():
        return Predictions.load(folder / "test")
    last = train_variant(plan, variant, seed, shards, out, device=device)
    # The last weights, averaged over the last steps: validation fakes are too easy to choose by.
    place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    loaded = load_network(last, device=place)
    predictions = score_shards(loaded, str(shards), model=variant, split="test", device=place)
    predictions.save(folder / "test")
    Console(stderr=True).print(f"scored {len(predictions)} videos: {folder / 'test'}")
    return predictions


def train_variant(plan: Plan, variant: str, seed: int, shards: Path, out: Path, *, device: str) -> Path:
    """Trains a variant, stage by stage, as far as that is not done.

    Returns:
        Its weights.
    """
    preset, own = VARIANTS[variant]

    def stage(name: str, epochs: int, settings: Mapping[str, Any], *, single: bool) -> Path:
        folder = out / name
        _train(preset, {**plan.settings(seed, single=single, epochs=epochs), **settings}, shards, folder, device)
        return folder / "last"

    def alone(name: str, epochs: int, settings: Mapping[str, Any], *, single: bool) -> Path:
        differs = {key: value for key, value in own.items() if key in _MATTERS[name]}
        where = f"{variant.replace(' ', '-')}-{name}-{seed}" if differs else f"{name}-{seed}"
        return stage(where, epochs, {**settings, **differs}, single=single)

    name = f"{variant.replace(' ', '-')}-{seed}/network"
    if preset == "sbi":
        return stage(name, plan.epochs, own, single=True)
    streams = own.get("network.streams", "both")
    start = []
    if streams != "temporal":
        start.append(alone("frames", plan.frame_epochs, _FRAMES, single=True))
    if streams != "spatial":
        start.append(alone("patches", plan.patch_epochs, _PATCHES, single=False))
    if streams == "temporal":
        return start[0]
    begin = {"train.start": ",".join(map(str, start))}
    return stage(name, plan.joined_epochs, {**_JOINED, **own, **begin}, single=False)


def _train(preset: str, settings: Mapping[str, Any], shards: Path, out: Path, device: str) -> None:
    experiment = build_experiment(preset_file(preset), {}, [f"{name}={value}" for name, value in settings.items()])
    fabric = make_fabric(experiment, device=device)
    with make_train_watcher() as watcher:
        train(experiment, shards, out, fabric=fabric, watcher=watcher)
