"""Random draws on the CPU, each from a generator on the CPU, and checks of the ranges to draw from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core.segment import Segment


def uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator) -> Float[Tensor, "..."]:
    """Draws uniformly from [low, high).

    Args:
        shape: Shape of the result.
        low: Lowest value.
        high: Upper bound, which is not drawn.
        generator: Random generator on the CPU.
    """
    return torch.rand(tuple(shape), generator=generator) * (high - low) + low


def chance(shape: Sequence[int], p: float, generator: torch.Generator) -> Bool[Tensor, "..."]:
    """Draws True with a probability.

    Args:
        shape: Shape of the result.
        p: Probability of True, [0, 1].
        generator: Random generator on the CPU.
    """
    return torch.rand(tuple(shape), generator=generator) < p


def integers(shape: Sequence[int], low: int, high: int, generator: torch.Generator) -> Int[Tensor, "..."]:
    """Draws integers uniformly from low, ..., high.

    Args:
        shape: Shape of the result.
        low: Lowest value.
        high: Highest value, which can be drawn.
        generator: Random generator on the CPU.
    """
    return torch.randint(low, high + 1, tuple(shape), generator=generator)


def odd(shape: Sequence[int], low: int, high: int, generator: torch.Generator) -> Int[Tensor, "..."]:
    """Draws odd integers uniformly from a range.

    Args:
        shape: Shape of the result.
        low: Lower bound; it is drawn if it is odd.
        high: Upper bound; it is drawn if it is odd.
        generator: Random generator on the CPU.
    """
    return 2 * integers(shape, low // 2, (high - 1) // 2, generator) + 1


def choose(shape: Sequence[int], weights: Sequence[float], generator: torch.Generator) -> Int[Tensor, "..."]:
    """Draws indices with given weights.

    Args:
        shape: Shape of the result.
        weights: Relative probability of each index, at least 0.
        generator: Random generator on the CPU.

    Raises:
        ValueError: if there is no weight, one is negative, or all are 0.
    """
    if not weights or min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"weights must be at least 0 and not all 0, got {tuple(weights)}")
    steps = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    drawn = torch.rand(tuple(shape), generator=generator, dtype=torch.float64) * steps[-1]
    return torch.searchsorted(steps, drawn, right=True).clamp_max(len(weights) - 1)


def pick(shape: Sequence[int], values: Sequence[float], generator: torch.Generator) -> Float[Tensor, "..."]:
    """Draws from a list of values, all with the same probability.

    Args:
        shape: Shape of the result.
        values: Values to draw from.
        generator: Random generator on the CPU.
    """
    return torch.tensor(values, dtype=torch.float32)[integers(shape, 0, len(values) - 1, generator)]


def between(low: Int[Tensor, " b"] | int, high: Int[Tensor, " b"], generator: torch.Generator) -> Int[Tensor, " b"]:
    """Draws integers uniformly from low, ..., high, with a range for each segment.

    Args:
        low: Lowest value.
        high: Highest value of each segment, which can be drawn.
        generator: Random generator on the CPU.
    """
    drawn = torch.rand(high.shape, generator=generator, dtype=torch.float64) * (high - low + 1)
    return low + drawn.long()


def run(
    segment: Segment, length_range: tuple[int, int], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
    """Draws a run of frames for every segment.

    Args:
        segment: Segments to draw for; only their shape is used.
        length_range: Shortest and longest run, frames. A run has at most as many frames as the segment.
        generator: Random generator on the CPU.

    Returns:
        First frame and length of each run.
    """
    b, t = segment.frames.shape[:2]
    low, high = length_range
    length = integers((b,), low, min(high, t), generator)
    return between(0, t - length, generator), length


def run_of(t: int, start: Int[Tensor, " b"], length: Int[Tensor, " b"]) -> Bool[Tensor, "b t"]:
    """Returns which frames belong to a run: start, ..., start + length - 1.

    Args:
        t: Frames of a segment.
        start: First frame of each run.
        length: Number of frames of each run.
    """
    order = torch.arange(t)
    return (order >= start[:, None]) & (order < (start + length)[:, None])


def share_of(
    t: int, share_range: tuple[float, float], generator: torch.Generator, shape: Sequence[int]
) -> Int[Tensor, "..."]:
    """Draws the lengths of runs as shares of a segment. All lengths in the range have the same probability.

    Args:
        t: Frames of a segment.
        share_range: Lowest and highest share, [0, 1]. Each is converted to frames and rounded down.
        generator: Random generator on the CPU.
        shape: Shape of the result.
    """
    # 0.48 * 25 must give 12, although binary fractions give slightly less.
    low, high = (int(share * t + 1e-6) for share in share_range)
    return integers(shape, low, high, generator)


def check_range(
    name: str, value: tuple[float, float], *, low: float = -float("inf"), high: float = float("inf")
) -> None:
    """Checks that a range is within limits: ``low <= value[0] <= value[1] <= high``.

    Args:
        name: Name of the option, for the error message.
        value: Range to check.
        low: Lowest allowed value.
        high: Highest allowed value.

    Raises:
        ValueError: if the range is not within the limits, or does not have two values.
    """
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name} must be (low, high) within [{low:g}, {high:g}], got {value}")


def check_share(name: str, value: float) -> None:
    """Checks that a probability or share is in [0, 1].

    Args:
        name: Name of the option, for the error message.
        value: Value to check.

    Raises:
        ValueError: if the value is outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def check_chances(what: str, chances: Mapping[str, float], known: Collection[str]) -> None:
    """Checks a table of relative probabilities by name.

    Args:
        what: What the names stand for, in the singular, for the error message.
        chances: Relative probability of each name, at least 0.
        known: Known names.

    Raises:
        ValueError: if a name is unknown, a probability is negative, or all are 0.
    """
    unknown = [name for name in chances if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {unknown[0]!r}; known: {', '.join(known)}")
    if sum(chances.values()) <= 0 or min(chances.values()) < 0:
        raise ValueError(f"probabilities of {what}s must be at least 0 and not all 0, got {dict(chances)}")


def check_counts(name: str, value: tuple[int, int], *, low: int, high: int | None = None) -> None:
    """Checks that a range has integers with ``low <= value[0] <= value[1] <= high``.

    Args:
        name: Name of the option, for the error message.
        value: Range to check.
        low: Lowest allowed value.
        high: Highest allowed value; None for no limit.

    Raises:
        ValueError: if the range is not within the limits, or does not have two integers.
    """
    limits = f"of at least {low}" if high is None else f"within [{low}, {high}]"
    top = float("inf") if high is None else high
    if len(value) != 2 or not low <= value[0] <= value[1] <= top or any(v != int(v) for v in value):
        raise ValueError(f"{name} must be (low, high), integers {limits}, got {value}")


def check_strength(name: str, *values: float) -> None:
    """Checks that the strengths of a random change are at least 0.

    Args:
        name: Name of the option, for the error message.
        values: One value, or one for each direction.

    Raises:
        ValueError: if a value is below 0.
    """
    if not min(values) >= 0:
        raise ValueError(f"{name} must be at least 0, got {values[0] if len(values) == 1 else values}")


def check_frames(step: object, segment: Segment, needed: int) -> None:
    """Checks that segments have enough frames for an augmentation.

    Args:
        step: Augmentation, named in the error message.
        segment: Segments to check.
        needed: Fewest frames that the augmentation needs.

    Raises:
        ValueError: if the segments have less frames.
    """
    t = segment.frames.shape[1]
    if t < needed:
        raise ValueError(f"{step!r}: segments must have at least {needed} frames, got {t}")
