"""Builds an experiment from a configuration file and options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from mgst_data.core import UsageError
from mgst_data.core.errors import check_name
from mgst_data.core.locations import is_url
from mgst_data.shards import Source, sources_of
from mgst_model.networks import NetworkConfig
from mgst_model.networks.renamed import RENAMED
from mgst_model.train import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig

from ..common.tables import build_tables, parse_value, read_toml

# Table of a configuration file with one table for each folder of shards.
SOURCES = "sources"

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
        overrides: Texts ``"table.name=value"``. Those of sources are ignored here.
    """
    mine = [text for text in overrides if not text.strip().startswith(f"{SOURCES}.")]
    return Experiment(**build_tables(TABLES, path, flags, mine, renamed=RENAMED, others=(SOURCES,)))


def build_sources(path: Path | None, folders: Sequence[str], overrides: Iterable[str]) -> tuple[Source, ...]:
    """Returns the sources of a training: those of the table ``sources`` of a file, then the folders.

    Args:
        path: TOML file; in ``[sources.NAME]``, ``shards`` is a URL, or a path relative to the file, and ``weight`` is
            optional. None for no file.
        folders: Folders of shards by path or URL, with the weight 1.
        overrides: Texts ``"sources.NAME.weight=value"``. Others are ignored here.

    Raises:
        UsageError: If there are no folders, or an option of a source is unknown or has a wrong value.
    """
    table = read_toml(path).get(SOURCES, {}) if path else {}
    if not isinstance(table, Mapping):
        raise UsageError(f"{SOURCES} must be a table", where=path, hint=f"write [{SOURCES}.NAME] above its values")
    listed = [_source(name, values, cast("Path", path)) for name, values in table.items()]
    if not (listed or folders):
        raise UsageError("missing SHARDS", hint=f"give folders of shards, or a --config with [{SOURCES}.NAME]")
    sources = {source.name: source for source in sources_of([*listed, *folders])}
    for text in overrides:
        option, _, value = text.partition("=")
        if option.strip().startswith(f"{SOURCES}."):
            name, _, key = option.strip().removeprefix(f"{SOURCES}.").rpartition(".")
            check_name(name, sources, "source", f"--set {text}")
            check_name(key, ("weight",), f"option {SOURCES}.{name}.", f"--set {text}")
            sources[name] = replace(sources[name], weight=_weight(parse_value(value), name, f"--set {text}"))
    return tuple(sources.values())


def _source(name: str, values: object, path: Path) -> Source:
    if not isinstance(values, Mapping) or not isinstance(values.get("shards"), str):
        hint = 'write shards = "FOLDER" below it'
        raise UsageError(f"{SOURCES}.{name} must be a table with shards", where=path, hint=hint)
    for key in values:
        check_name(key, ("shards", "weight"), f"option {SOURCES}.{name}.", path)
    place = values["shards"] if is_url(values["shards"]) else str(path.parent / values["shards"])
    return Source(name, place, _weight(values.get("weight", 1.0), name, str(path)))


def _weight(value: object, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{SOURCES}.{name}.weight must be a number, got {value!r}", where=where)
    return float(value)


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
