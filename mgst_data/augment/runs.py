"""Runs of frames: drawing them for every segment, and checking that segments are long enough."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mgst_data.augment import draw
from mgst_data.core.segment import Segment


def between(low: Int[Tensor, " b"] | int, high: Int[Tensor, " b"], generator: torch.Generator) -> Int[Tensor, " b"]:
    """Evenly distributed over low, ..., high, which may differ from segment to segment; both can come out."""
    drawn = torch.rand(high.shape, generator=generator, dtype=torch.float64) * (high - low + 1)
    return low + drawn.long()


def draw_run(
    segment: Segment, length_range: tuple[int, int], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
    """First frame and length of a run for every segment; the whole segment at most."""
    b, t = segment.frames.shape[:2]
    low, high = length_range
    length = draw.integers((b,), low, min(high, t), generator)
    return between(0, t - length, generator), length


def run_of(t: int, start: Int[Tensor, " b"], length: Int[Tensor, " b"]) -> Bool[Tensor, "b t"]:
    """True for the frames start, ..., start + length - 1 of t."""
    order = torch.arange(t)
    return (order >= start[:, None]) & (order < (start + length)[:, None])


def share_of(
    t: int, share_range: tuple[float, float], generator: torch.Generator, shape: Sequence[int]
) -> Int[Tensor, "..."]:
    """Lengths of runs, the lowest to the highest share of t frames, each rounded down; all lengths are as likely."""
    # 0.48 of 25 frames is 12, though not in binary fractions.
    low, high = (int(share * t + 1e-6) for share in share_range)
    return draw.integers(shape, low, high, generator)


def check_counts(name: str, value: tuple[int, int], *, low: int) -> None:
    """Raises ValueError unless ``low <= value[0] <= value[1]``, in whole numbers."""
    if len(value) != 2 or not low <= value[0] <= value[1] or any(v != int(v) for v in value):
        raise ValueError(f"{name} is (low, high), whole numbers from {low} on, not {value}")


def check_frames(step: object, segment: Segment, needed: int) -> None:
    """Raises ValueError if segments are too short for an augmentation."""
    t = segment.frames.shape[1]
    if t < needed:
        raise ValueError(f"{step!r} needs segments of {needed} frames or more, not {t}")
