"""Builds an experiment from a configuration file and options."""

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
    """Merges a file, options of the command line and overrides; see :func:`mgst_cli.common.tables.build_tables`.

    Args:
        path: TOML file with the tables network, data, augment, loss and train; None for no file.
        flags: Values of command-line options, by name of a field of any table.
        overrides: Texts ``"table.name=value"``.
    """
    return Experiment(**build_tables(TABLES, path, flags, overrides, renamed=RENAMED))


def preset_for(device: str) -> tuple[str, str]:
    """Chooses the preset for this machine.

    Args:
        device: "auto", "cpu" or "cuda".

    Returns:
        Name of the preset, and the reason as text for the user.
    """
    if device != "cpu" and torch.cuda.is_available():
        return "base", " (GPU found; for a CPU, use --preset small)"
    why = "device is the CPU" if device == "cpu" else "no GPU found"
    return "small", f" ({why}; for a GPU, use --preset base)"
