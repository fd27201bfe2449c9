"""From the options to the videos they mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mgst_data.datasets import Note, Scan, check_leakage, scan_dataset, select

from .config import SourceConfig


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
