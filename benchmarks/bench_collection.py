"""Extracts a whole collection of clips and pictures: speed, faces found, and every skipped file with its reason.

    python benchmarks/bench_collection.py --out runs/collection     # writes results/collection.json; about 15 minutes

The collection is a folder with labels.csv (columns path, label, split, person and others), given by --clips or the
environment variable MGST_CLIPS. The shards are kept in --out, for contact sheets and for mgst-data people.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from _common import write_result
from extraction.clips import parse_with_clips
from extraction.report import Figure

from mgst_data.core.locations import is_picture
from mgst_data.datasets import scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.shards import ShardFolder
from mgst_data.shards.report import VideoReport, latest

KINDS = {"clips": "frames", "pictures": "pictures"}


def main() -> None:
    """Extracts clips and pictures one after the other, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Folder for the shards.")
    options = parse_with_clips(parser)
    clips: Path = options.clips
    with (clips / "labels.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if (clips / row["path"]).is_file()]
    figures: list[Figure] = []
    skipped: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        chosen = [row for row in rows if is_picture(row["path"]) == (kind == "pictures")]
        found, seconds = run(clips, chosen, options.out, kind)
        figures += describe(kind, found, seconds)
        skipped[kind] = dict(Counter(video.reason for video in found if video.skipped))
    targets = [figure.as_dict() | {"section": "collection"} for figure in figures]
    print(write_result("collection", {"targets": targets, "skipped": skipped}))


def run(clips: Path, rows: Iterable[Mapping[str, str]], out: Path, kind: str) -> tuple[list[VideoReport], float]:
    """Extracts some rows, and returns the reports and the seconds.

    Args:
        clips: Folder that the paths of the rows are relative to.
        rows: Rows of labels.csv.
        out: Folder for manifest and shards.
        kind: Name of the manifest and the folder of shards.
    """
    out.mkdir(parents=True, exist_ok=True)
    manifest = out / f"{kind}.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split", "method", "target"))
        for row in rows:
            method = "real" if row["label"] == "0" else row["kind"] or "fake"
            writer.writerow((clips / row["path"], row["label"], row["split"], method, row["person"]))
    began = time.perf_counter()
    extract(scan_dataset(manifest), ExtractConfig(), out / kind)
    return list(latest(ShardFolder.read(out / kind).reports()).values()), time.perf_counter() - began


def describe(kind: str, found: list[VideoReport], seconds: float) -> list[Figure]:
    """Returns the figures of one kind: number, speed, and share with a face."""
    kept = [video for video in found if not video.skipped]
    units: dict[str, Any] = {"unit": f"{KINDS[kind]}/s, all cores"}
    figures = [
        Figure(f"{kind}: extracted", len(found)),
        Figure(f"{kind}: with a face", 100 * len(kept) / len(found), "%"),
        Figure(f"{kind}: speed", sum(video.frames for video in found) / seconds, **units),
        Figure(f"{kind}: kept with a note", sum(bool(video.notes) for video in kept)),
    ]
    if kind == "clips":
        images = sum(video.images for video in kept)
        figures.append(Figure("clips: crops per decoded frame", images / sum(video.frames for video in kept)))
    return figures


if __name__ == "__main__":
    main()
