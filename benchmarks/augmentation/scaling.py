"""How the time of self-blending grows with segments, frames and resolution, as figures and as plots."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _common import compare
from extraction.report import Figure, Section

from augmentation.faces import SIZE, Faces
from mgst_data.augment import SelfBlend
from mgst_data.core import Segment, generator_for

PRESETS = ("sbi", "frame_random")
# What is varied, over which values; the others stay as in BASE.
BASE = {"segments": 2, "frames": 16, "size": SIZE}
SWEEPS = {"segments": (1, 2, 4, 8), "frames": (1, 4, 8, 16, 32), "size": (128, 224, 256, 384)}
ON_CUDA = {"base": {**BASE, "segments": 32}, "segments": (1, 2, 4, 8, 16, 32, 64)}
# Segments of a run, at least: what is drawn decides what is computed, and a run should hold a little of all.
SEGMENTS_PER_RUN = 8
AXES = {"segments": "segments (B)", "frames": "frames of each (T)", "size": "side of a frame, pixels"}


def run(faces: Faces, *, quick: bool) -> Section:
    """On the CPU, one thread."""
    return sweep(faces, device="cpu", quick=quick)


def sweep(faces: Faces, *, device: str, quick: bool) -> Section:
    """Time per frame; all values of a sweep take turns."""
    base = dict(ON_CUDA["base"] if device == "cuda" else BASE)
    sweeps = dict(SWEEPS) | ({"segments": ON_CUDA["segments"]} if device == "cuda" else {})
    if quick:
        base, sweeps = {"segments": 1, "frames": 2, "size": 128}, {name: values[:2] for name, values in SWEEPS.items()}
    clock = time.perf_counter if device == "cuda" else time.process_time
    rows: list[dict[str, Any]] = []
    for preset in PRESETS:
        for name, values in sweeps.items():
            rows += one_sweep(faces, device, preset, base, name, values, 2 if quick else 7, clock)
    return Section(figures(rows, base), {"base": base, "rows": rows})


def one_sweep(
    faces: Faces,
    device: str,
    preset: str,
    base: dict[str, int],
    name: str,
    values: tuple[int, ...],
    repeats: int,
    clock: Callable[[], float],
) -> list[dict[str, Any]]:
    """Milliseconds per frame for all values of one size."""
    shapes = [{**base, name: value} for value in values]
    works: list[Callable[[], object]] = []
    for shape in shapes:
        segment = faces.segments(shape["segments"], shape["frames"], shape["size"]).segment().to(device)
        works.append(partial(blend_often, SelfBlend.preset(preset), segment, generator_for(0, "scaling")))
    rows = []
    for shape, value, timing in zip(shapes, values, compare(works, repeats, clock=clock), strict=True):
        per_frame = 1000 / (calls(shape["segments"]) * shape["segments"] * shape["frames"])
        times = {key: getattr(timing, key) * per_frame for key in ("median", "low", "high")}
        rows.append({"preset": preset, "varied": name, "value": value, **times, "runs": timing.runs})
    shown = ", ".join(f"{row['value']}: {row['median']:.2f}" for row in rows)
    print(f"  {preset}, ms per frame by {name}: {shown}", flush=True)
    return rows


def blend_often(blend: SelfBlend, segment: Segment, generator: torch.Generator) -> None:
    """A run."""
    for _ in range(calls(len(segment))):
        blend(segment, generator=generator)


def calls(segments: int) -> int:
    """Of the blend, in a run."""
    return -(-SEGMENTS_PER_RUN // segments)


def figures(rows: list[dict[str, Any]], base: dict[str, int]) -> tuple[Figure, ...]:
    """How far from proportional: the time of a pixel at the largest value, as share of that at the smallest."""
    found = []
    for name in SWEEPS:
        mine = [row for row in rows if row["preset"] == PRESETS[0] and row["varied"] == name]
        first, last = mine[0], mine[-1]
        share = last["median"] / first["median"]
        if name == "size":
            share *= (first["value"] / last["value"]) ** 2
        others = ", ".join(f"{key} {value}" for key, value in base.items() if key != name)
        what = f"{name} {last['value']} / {first['value']} ({others})"
        found.append(Figure(f"`{PRESETS[0]}`: time of a pixel, {what}", share, "x"))
    return tuple(found)


def draw(rows: list[dict[str, Any]], heading: str, path: Path) -> Path:
    """Three panels, one for each thing that is varied; bands are the spread."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(SWEEPS), figsize=(12, 3.4), constrained_layout=True)
    for panel, name in zip(panels, SWEEPS, strict=True):
        for preset in PRESETS:
            mine = [row for row in rows if row["varied"] == name and row["preset"] == preset]
            x, low, middle, high = ([row[key] for row in mine] for key in ("value", "low", "median", "high"))
            panel.plot(x, middle, marker="o", label=preset)
            panel.fill_between(x, low, high, alpha=0.2)
        panel.set_xlabel(AXES[name])
        panel.set_xticks(x, map(str, x))
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ms per frame")
    panels[0].legend()
    figure.suptitle(heading)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def title(device: str) -> str:
    """Of a plot."""
    return f"Self-blending on {torch.cuda.get_device_name() if device == 'cuda' else 'one CPU core'}"
