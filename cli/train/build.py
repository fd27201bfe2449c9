"""From a configuration file to a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mgst_model.networks import NetworkConfig
from mgst_model.networks.renamed import RENAMED
from mgst_model.train import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig

from ..common.tables import build_tables

TABLES: dict[str, type] = {
    "network": NetworkConfig,
    "data": DataConfig,
    "augment": AugmentConfig,
    "loss": LossConfig,
    "train": TrainConfig,
}


def build_experiment(path: Path | None, flags: Mapping[str, Any], overrides: Iterable[str]) -> Experiment:
    """Merges a file, flags and overrides; see :func:`mgst_cli.common.tables.build_tables`."""
    return Experiment(**build_tables(TABLES, path, flags, overrides, renamed=RENAMED))


def preset_for(device: str) -> tuple[str, str]:
    """The preset that suits this machine, and why in words.

    Args:
        device: "auto", "cpu" or "cuda", as asked for.
    """
    if device != "cpu" and torch.cuda.is_available():
        return "base", " (there is a GPU; --preset small is for a CPU)"
    why = "it trains on a CPU" if device == "cpu" else "there is no GPU"
    return "small", f" ({why}; --preset base is for a GPU)"
