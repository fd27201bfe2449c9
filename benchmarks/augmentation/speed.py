"""Measures the speed on one core, against albumentations, OpenCV and kornia."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _common import Timing, compare
from extraction.report import Figure, Section
from torch import Tensor

from augmentation.faces import Faces
from augmentation.peers import (
    AlbumentationsBlend,
    as_tensors,
    blend_all,
    kornia_sequence,
    kornia_steps,
    opencv_blend,
)
from mgst_data.augment import (
    ColourJitter,
    GaussianBlur,
    GaussianNoise,
    Greyscale,
    SegmentSequential,
    SelfBlend,
    Sharpen,
)
from mgst_data.augment.compression import Jpeg
from mgst_data.core import generator_for

SEGMENTS, FRAMES = 8, 16
# Fewer segments for photometric steps, because they are slow in kornia.
PHOTOMETRIC_SEGMENTS = 2
# Steps of this project that correspond to the steps of kornia.
STEPS = {
    "colour": ColourJitter(),
    "blur": GaussianBlur(sigma_range=(0.2, 2.0)),
    "noise": GaussianNoise(sigma_range=(0.025, 0.025)),
    "grey": Greyscale(),
    "sharpen": Sharpen(),
    "jpeg": Jpeg(),
}
SEQUENCE = ("colour", "blur", "noise", "jpeg")
TO_TENSORS = ", 8 bits to tensors"


def run(faces: Faces, *, quick: bool) -> Section:
    """Measures self-blending, then photometric steps, in processor time of one thread."""
    segments, frames = (2, 4) if quick else (SEGMENTS, FRAMES)
    repeats = 2 if quick else 15
    blending, figures = blend_speed(faces.segments(segments, frames), repeats)
    photometric, more = photometric_speed(faces.segments(PHOTOMETRIC_SEGMENTS, frames), repeats)
    setting = {"segments": segments, "frames": frames, "photometric_segments": PHOTOMETRIC_SEGMENTS}
    return Section((*figures, *more), {"setting": setting, "blending": blending, "photometric": photometric})


def blend_speed(faces: Faces, repeats: int) -> tuple[dict[str, Any], list[Figure]]:
    """Measures pairs per second. A pair is a real and a fake segment of ``FRAMES`` frames each."""
    segment = faces.segment()
    sbi, frame_random = SelfBlend.preset("sbi"), SelfBlend.preset("frame_random")
    generator, alb = generator_for(0, "speed"), AlbumentationsBlend()
    works: dict[str, Callable[[], object]] = {
        "sbi": partial(sbi, segment, generator=generator),
        "sbi, one segment at a time": lambda: [
            sbi(segment[i : i + 1], generator=generator) for i in range(len(segment))
        ],
        "frame_random": partial(frame_random, segment, generator=generator),
        "albumentations": partial(blend_all, alb, faces),
        "opencv": partial(blend_all, opencv_blend(), faces),
        f"sbi{TO_TENSORS}": lambda: sbi(faces.segment(), generator=generator),
        f"albumentations{TO_TENSORS}": lambda: as_tensors(blend_all(alb, faces)),
    }
    rows = timed(works, len(segment), "pairs", repeats)

    def ratio(mine: str, other: str, at_least: float | None = None) -> Figure:
        value = rows[mine]["per_s"] / rows[other]["per_s"]
        return Figure(f"self-blending, one core: {mine} / {other.removesuffix(TO_TENSORS)}", value, "x", at_least)

    return rows, [
        ratio("sbi", "albumentations", 6),
        ratio("sbi, one segment at a time", "albumentations"),
        ratio("frame_random", "albumentations"),
        ratio("sbi", "opencv"),
        ratio(f"sbi{TO_TENSORS}", f"albumentations{TO_TENSORS}"),
    ]


def photometric_speed(faces: Faces, repeats: int) -> tuple[dict[str, Any], list[Figure]]:
    """Measures frames per second of single steps and of a sequence of steps."""
    segment, generator, theirs = faces.segment(), generator_for(0, "photometric"), kornia_steps()
    works: dict[str, Callable[[], object]] = {}
    titles = {name: [name] for name in STEPS} | {" + ".join(SEQUENCE): [*SEQUENCE]}
    for title, names in titles.items():
        mine = SegmentSequential(*(STEPS[name] for name in names))
        works[title] = partial(mine, segment, generator=generator)
        works[f"kornia: {title}"] = partial(call, kornia_sequence(*(theirs[name] for name in names)), segment.frames)
    rows = timed(works, segment.frames[:, :, 0, 0, 0].numel(), "frames", repeats)
    return rows, [
        Figure(f"one core: {title} / kornia", rows[title]["per_s"] / rows[f"kornia: {title}"]["per_s"], "x")
        for title in titles
    ]


@torch.no_grad()
def call(module: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Calls a module without gradients."""
    return module(frames)


def timed(
    works: dict[str, Callable[[], object]],
    count: float,
    unit: str,
    repeats: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, dict[str, float]]:
    """Measures the items per second of several functions in turn; each call processes ``count`` items."""
    timings = compare([*works.values()], repeats, clock=clock)
    rows = {name: rates(timing, count) for name, timing in zip(works, timings, strict=True)}
    for name, row in rows.items():
        spread = f"{row['low']:,.2f} to {row['high']:,.2f}"
        print(f"  {name}: {row['per_s']:,.2f} {unit}/s ({spread})", flush=True)
    return rows


def rates(timing: Timing, count: float) -> dict[str, float]:
    """Returns the items per second: the median, the slowest and the fastest run."""
    return {
        "per_s": timing.rate(count),
        "low": count / timing.high,
        "high": count / timing.low,
        "runs": timing.runs,
    }
