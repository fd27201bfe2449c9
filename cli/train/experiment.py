"""From a configuration file to a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from mgst_data.core import UsageError
from mgst_model.networks import NetworkConfig
from mgst_model.train import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig

from .config import build_tables

TABLES: dict[str, type] = {
    "network": NetworkConfig,
    "data": DataConfig,
    "augment": AugmentConfig,
    "loss": LossConfig,
    "train": TrainConfig,
}


def build_experiment(path: Path | None, flags: Mapping[str, Any], overrides: Iterable[str]) -> Experiment:
    """Merges a file, flags and overrides; see :func:`mgst_cli.config.build_tables`."""
    return Experiment(**build_tables(TABLES, path, flags, overrides))


def preset_for(device: str) -> tuple[str, str]:
    """The preset that suits this machine, and why in words.

    Args:
        device: "auto", "cpu" or "cuda", as asked for.
    """
    if device != "cpu" and torch.cuda.is_available():
        return "base", " (there is a GPU; --preset small is for a CPU)"
    why = "it trains on a CPU" if device == "cpu" else "there is no GPU"
    return "small", f" ({why}; --preset base is for a GPU)"


def preset_file(name: str, folder: str = "train") -> Path:
    """A configuration that comes along.

    Raises:
        UsageError: if there is none of that name.
    """
    path = Path(str(files("mgst_configs") / folder / f"{name}.toml"))
    if not path.is_file():
        raise UsageError(f"there is no configuration {name!r}", where=path.parent)
    return path
