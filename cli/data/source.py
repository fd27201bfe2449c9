"""From the options of an extraction to the videos they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgst_data.datasets import Note, Scan, check_leakage, scan_dataset, select
from mgst_data.extract import ExtractConfig

from ..common.tables import build_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Which videos of a data set.

    Attributes:
        layout: Name of the layout; "auto" looks which one it is.
        split: Only these splits.
        method: Only these methods; the method of real videos is "real".
        compression: Only these compressions.
        limit: At most so many videos, spread evenly over labels and methods.
        splits: Folder of the official split files, for layouts that have them.
        reals: Where the real videos lie, for data sets that come without.
        allow_leakage: Go on although a person is in two splits.
    """

    layout: str = "auto"
    split: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    limit: int | None = None
    splits: str = ""
    reals: str = ""
    allow_leakage: bool = False


EXTRACTION: dict[str, type] = {"source": SourceConfig, "extract": ExtractConfig}


@dataclass(frozen=True, slots=True)
class Config:
    """What a configuration can say about an extraction."""

    source: SourceConfig
    extract: ExtractConfig


def build_config(path: Path | None, flags: Mapping[str, Any], overrides: Iterable[str]) -> Config:
    """Merges a file, flags and overrides.

    Args:
        path: A TOML file with the tables ``source`` and ``extract``.
        flags: Values by name, of either table.
        overrides: ``"table.name=value"``, the value as in TOML; text needs no quotes.

    Raises:
        UsageError: for a name that there is not, with the one that may be meant, or a value that does not fit.
    """
    tables = build_tables(EXTRACTION, path, flags, overrides)
    return Config(tables["source"], tables["extract"])


def scan_source(root: Path, config: SourceConfig, *, masks: bool) -> Scan:
    """Finds the wanted videos and checks that no person is in two splits of them.

    A note says so if none can be trained on, unless a split was asked for.

    Raises:
        UsageError: as scanning, selecting and the check do.
    """
    scan = scan_dataset(
        root,
        layout=config.layout,
        masks=masks,
        splits=Path(config.splits) if config.splits else None,
        reals=Path(config.reals) if config.reals else None,
    )
    chosen = select(scan, split=config.split, method=config.method, compression=config.compression, limit=config.limit)
    if not config.allow_leakage:
        check_leakage(chosen.records)
    if not config.split and not any(record.split == "train" for record in chosen.records):
        note = Note(".", "no video is in the split train: shards to test on, not to train on", "no_train_split")
        chosen = replace(chosen, notes=(*chosen.notes, note))
    return chosen
