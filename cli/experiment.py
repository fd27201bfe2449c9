"""From a configuration file to a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

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


def preset_file(name: str, folder: str = "train") -> Path:
    """A configuration that comes along.

    Raises:
        UsageError: if there is none of that name.
    """
    path = Path(str(files("mgst_configs") / folder / f"{name}.toml"))
    if not path.is_file():
        raise UsageError(f"there is no configuration {name!r}", where=path.parent)
    return path
