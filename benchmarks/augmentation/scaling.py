"""Measures how the time of self-blending grows with segments, frames and resolution, as figures and plots."""

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
# Varied quantities and their values. The other quantities have the values in BASE.
BASE = {"segments": 2, "frames": 16, "size": SIZE}
SWEEPS = {"segments": (1, 2, 4, 8), "frames": (1, 4, 8, 16, 32), "size": (128, 224, 256, 384)}
ON_CUDA = {"base": {**BASE, "segments": 32}, "segments": (1, 2, 4, 8, 16, 32, 64)}
# Minimum number of segments of a run. The computation depends on the sampled parameters, so a run should contain many.
SEGMENTS_PER_RUN = 8
AXES = {"segments": "segments (B)", "frames": "frames per segment (T)", "size": "side of a frame, pixels"}


def run(faces: Faces, *, quick: bool) -> Section:
    """Measures on the CPU with one thread."""
    return sweep(faces, device="cpu", quick=quick)


def sweep(faces: Faces, *, device: str, quick: bool) -> Section:
    """Measures the time per frame; all values of a sweep run in turn."""
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
    """Measures the milliseconds per frame for all values of one quantity."""
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
    """Blends a segment batch several times: one run."""
    for _ in range(calls(len(segment))):
        blend(segment, generator=generator)


def calls(segments: int) -> int:
    """Returns the number of calls per run for a number of segments."""
    return -(-SEGMENTS_PER_RUN // segments)


def figures(rows: list[dict[str, Any]], base: dict[str, int]) -> tuple[Figure, ...]:
    """Returns the time per pixel at the largest value divided by that at the smallest value: 1 if proportional."""
    found = []
    for name in SWEEPS:
        mine = [row for row in rows if row["preset"] == PRESETS[0] and row["varied"] == name]
        first, last = mine[0], mine[-1]
        share = last["median"] / first["median"]
        if name == "size":
            share *= (first["value"] / last["value"]) ** 2
        others = ", ".join(f"{key} {value}" for key, value in base.items() if key != name)
        what = f"{name} {last['value']} / {first['value']} ({others})"
        found.append(Figure(f"`{PRESETS[0]}`: time per pixel, {what}", share, "x"))
    return tuple(found)


def draw(rows: list[dict[str, Any]], heading: str, path: Path) -> Path:
    """Plots one panel per varied quantity; bands show the fastest and the slowest run."""
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
    """Returns the title of a plot."""
    return f"Self-blending on {torch.cuda.get_device_name() if device == 'cuda' else 'one CPU core'}"
