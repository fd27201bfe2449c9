"""Makes shards of the clips, split by identity."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract

DATASET = "clips"
# Kinds of fakes by the first part of the name. All other fakes are fully generated: talking heads, reenactment,
# diffusion.
SWAPS = {"dflpair": "autoencoder swap", "gfxswap": "graphics swap"}
GENERATED = "generator"


def kind_of(name: str) -> str:
    """Returns the kind of a fake."""
    return SWAPS.get(name.partition("_")[0], GENERATED)


def twin_of(name: str) -> str | None:
    """Returns the stem of the paired real video of a swap, which is pixel-aligned with it; None if there is none."""
    stem = Path(name).stem
    if stem.startswith("gfxswap_"):
        return stem.removeprefix("gfxswap_").partition("__from_")[0]
    return stem.removesuffix("_swap") + "_orig" if stem.endswith("_swap") else None


def write_manifest(clips: Path, out: Path) -> Path:
    """Writes the manifest: a table of all clips with their splits. All fakes are in the test split."""
    splits = json.loads((clips / "splits.json").read_text())
    path = out / f"{DATASET}.csv"
    out.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split", "method", "target"))
        for label, by_split in splits.items():
            for split, names in by_split.items():
                for name in names:
                    method = kind_of(name) if label == "fake" else "real"
                    target = twin_of(name) if label == "fake" else Path(name).stem
                    table.writerow(((clips / label / name).resolve(), label, split, method, target or ""))
    return path


def make_shards(clips: Path, out: Path, *, size: int, workers: int | None = None) -> Path:
    """Extracts all clips once. A complete folder of shards is kept.

    Args:
        clips: Folder with ``real/``, ``fake/`` and ``splits.json``.
        out: Output folder of the manifest and the shards.
        size: Side of the crops, pixels.
        workers: Number of processes; None uses one per core.
    """
    scan = scan_dataset(write_manifest(clips, out))
    shards = out / f"shards-{size}"
    config = ExtractConfig(size=size, upsample=True, tracks="main")
    extract(scan, config, shards, workers=workers, videos_per_shard=8)
    return shards
