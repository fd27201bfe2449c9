"""Random draws. Every one takes a generator on the CPU and gives a tensor on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
