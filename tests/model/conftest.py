"""Fixtures of the training tests: shards with faces, a tiny experiment, a fabric on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from face_shards import write_face_shards
from lightning.fabric import Fabric

from mgst_model.networks import NetworkConfig
from mgst_model.train import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig, make_fabric

NETWORK = {
    "backbone": "test_convnext",
    "pretrained": "random",
    "dim": 16,
    "heads": 2,
    "blocks": 3,
    "mlp_ratio": 2.0,
    "embedding_dim": 8,
}
DATA = {"frames": 3, "size": 32, "batch_size": 2, "draws_per_video": 2, "val_draws_per_video": 2, "workers": 0}
TRAIN = {"epochs": 2, "lr": 1e-3, "backbone_lr_scale": 1.0, "ema_decay": 0.9}


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., Experiment]:
    """Builds a tiny experiment with changes: ``make_experiment(train={"epochs": 1})``."""

    def make(
        network: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        augment: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        train: Mapping[str, Any] | None = None,
    ) -> Experiment:
        return Experiment(
            network=NetworkConfig(**{**NETWORK, **(network or {})}),
            data=DataConfig(**{**DATA, **(data or {})}),
            augment=AugmentConfig(**(augment or {})),
            loss=LossConfig(**(loss or {})),
            train=TrainConfig(**{**TRAIN, **(train or {})}),
        )

    return make


@pytest.fixture(scope="session")
def real_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four real videos in the split train, two in the split val."""
    return write_face_shards(tmp_path_factory.mktemp("real") / "shards")


@pytest.fixture(scope="session")
def mixed_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same numbers of real and fake videos, with masks: four of each in the split train, two in val."""
    return write_face_shards(tmp_path_factory.mktemp("mixed") / "shards", fakes=True, masks=True)


@pytest.fixture
def fabric(make_experiment) -> Fabric:
    """One process on the CPU."""
    return make_fabric(make_experiment(), device="cpu")
