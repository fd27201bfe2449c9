"""Random draws, each from a generator on the CPU and to the CPU; and checks of the ranges that are drawn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core.segment import Segment


def uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator) -> Float[Tensor, "..."]:
    """Evenly distributed over [low, high)."""
    return torch.rand(tuple(shape), generator=generator) * (high - low) + low


def chance(shape: Sequence[int], p: float, generator: torch.Generator) -> Bool[Tensor, "..."]:
    """True with probability ``p``."""
    return torch.rand(tuple(shape), generator=generator) < p


def integers(shape: Sequence[int], low: int, high: int, generator: torch.Generator) -> Int[Tensor, "..."]:
    """Evenly distributed over low, ..., high; both can come out."""
    return torch.randint(low, high + 1, tuple(shape), generator=generator)


def odd(shape: Sequence[int], low: int, high: int, generator: torch.Generator) -> Int[Tensor, "..."]:
    """Evenly distributed over the odd numbers from ``low`` to ``high``."""
    return 2 * integers(shape, low // 2, (high - 1) // 2, generator) + 1


def choose(shape: Sequence[int], weights: Sequence[float], generator: torch.Generator) -> Int[Tensor, "..."]:
    """Numbers of things, each with its share of the sum of the weights.

    Raises:
        ValueError: unless all weights are at least 0 and one is more.
    """
    if not weights or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"weights are at least 0, and one of them more, not {tuple(weights)}")
    steps = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    drawn = torch.rand(tuple(shape), generator=generator, dtype=torch.float64) * steps[-1]
    return torch.searchsorted(steps, drawn, right=True).clamp_max(len(weights) - 1)


def pick(shape: Sequence[int], values: Sequence[float], generator: torch.Generator) -> Float[Tensor, "..."]:
    """One of ``values``, each as likely."""
    return torch.tensor(values, dtype=torch.float32)[integers(shape, 0, len(values) - 1, generator)]


def between(low: Int[Tensor, " b"] | int, high: Int[Tensor, " b"], generator: torch.Generator) -> Int[Tensor, " b"]:
    """Evenly distributed over low, ..., high, which may differ from segment to segment; both can come out."""
    drawn = torch.rand(high.shape, generator=generator, dtype=torch.float64) * (high - low + 1)
    return low + drawn.long()


def run(
    segment: Segment, length_range: tuple[int, int], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
    """First frame and length of a run for every segment; the whole segment at most."""
    b, t = segment.frames.shape[:2]
    low, high = length_range
    length = integers((b,), low, min(high, t), generator)
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
    return integers(shape, low, high, generator)


def check_range(
    name: str, value: tuple[float, float], *, low: float = -float("inf"), high: float = float("inf")
) -> None:
    """Raises ValueError unless ``low <= value[0] <= value[1] <= high``."""
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name} is (low, high) within [{low:g}, {high:g}], not {value}")


def check_share(name: str, value: float) -> None:
    """Raises ValueError unless a probability is in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is in [0, 1], not {value}")


def check_chances(what: str, chances: Mapping[str, float], known: Collection[str]) -> None:
    """Raises ValueError unless every name is known, no chance is below 0, and one is above it."""
    unknown = [name for name in chances if name not in known]
    if unknown:
        raise ValueError(f"no {what} is called {unknown[0]!r}; known: {', '.join(known)}")
    if sum(chances.values()) <= 0 or min(chances.values()) < 0:
        raise ValueError(f"chances of {what}s are at least 0, and one of them more, not {dict(chances)}")


def check_counts(name: str, value: tuple[int, int], *, low: int) -> None:
    """Raises ValueError unless ``low <= value[0] <= value[1]``, in whole numbers."""
    if len(value) != 2 or not low <= value[0] <= value[1] or any(v != int(v) for v in value):
        raise ValueError(f"{name} is (low, high), whole numbers from {low} on, not {value}")


def check_frames(step: object, segment: Segment, needed: int) -> None:
    """Raises ValueError if segments are too short for an augmentation."""
    t = segment.frames.shape[1]
    if t < needed:
        raise ValueError(f"{step!r} needs segments of {needed} frames or more, not {t}")
