"""Measures the speed of the whole pipeline as a share of the speed of decoding alone."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from extraction.clips import GROUPS, Clips
from extraction.pipelines import Ours
from extraction.report import Figure, Section, alone

FRAMES = 250
REPEATS = 3


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures decoding and the whole pipeline in turn, on one core, at 1080p."""
    names = GROUPS["1080p"][:1] if quick else GROUPS["1080p"]
    paths = [clips.trimmed(clips.real(name), 24 if quick else FRAMES) for name in names]
    rows = alone(compare, paths, 1 if quick else REPEATS)
    share = statistics.median(row["share"] for row in rows)
    figure = Figure("1080p: end to end / decoding alone, one core", share, "x", at_least=0.5)
    return Section((figure,), {"clips": rows})


def compare(paths: list[Path], repeats: int) -> list[dict[str, Any]]:
    """Measures decoding to RGB with the reader of this project, and the whole pipeline."""
    ours = Ours()
    ours(paths[0])
    rows = []
    for path in paths:
        decoding, whole = [], []
        for _ in range(repeats):
            start = time.process_time()
            frames = sum(len(batch) for batch in ours.extractor.reader.chunks(str(path), 32))
            middle = time.process_time()
            ours(path)
            decoding.append(frames / (middle - start))
            whole.append(frames / (time.process_time() - middle))
        row: dict[str, Any] = {"clip": path.name, "frames": frames, "repeats": repeats}
        row |= {"decoding_fps": statistics.median(decoding), "fps": statistics.median(whole)}
        row["share"] = row["fps"] / row["decoding_fps"]
        rows.append(row)
        print(
            f"{path.name:48} decoding {row['decoding_fps']:.0f}/s, all {row['fps']:.0f}/s, {row['share']:.0%}",
            flush=True,
        )
    return rows
