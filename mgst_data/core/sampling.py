"""Which frames of a run of consecutive frames: pure functions of their number and a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from mgst_data.core.rng import check_generator


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Positions of ``wanted`` out of ``count`` things: the middles of ``wanted`` equal parts.

    Raises:
        ValueError: if more are wanted than there are.
    """
    if not 0 <= wanted <= count:
        raise ValueError(f"cannot take {wanted} of {count}")
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


@runtime_checkable
class FrameSampler(Protocol):
    """Chooses frames of a run. What does not fit is a ValueError; no frame is ever repeated or made up."""

    @property
    def span(self) -> int:
        """Length of the shortest run that it fits into."""

    def __call__(self, count: int, generator: torch.Generator) -> Sequence[int]:
        """Positions in a run of ``count`` frames, ascending."""


@dataclass(frozen=True, slots=True)
class RandomWindow:
    """``length`` consecutive frames, or every ``stride``-th, from a random start."""

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ValueError(f"length and stride are at least 1, not {self.length} and {self.stride}")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return (self.length - 1) * self.stride + 1

    def __call__(self, count: int, generator: torch.Generator) -> range:
        """Positions of a window; raises ValueError if none fits."""
        check_generator(generator)
        return self._window(int(torch.randint(self._starts(count), (), generator=generator)))

    def _starts(self, count: int) -> int:
        if count < self.span:
            raise ValueError(f"{count} frames are too few for {self.length} at a stride of {self.stride}")
        return count - self.span + 1

    def _window(self, start: int) -> range:
        return range(start, start + self.span, self.stride)


@dataclass(frozen=True, slots=True)
class CentreWindow(RandomWindow):
    """The same from the middle: draws nothing, for evaluation."""

    def __call__(self, count: int, generator: torch.Generator) -> range:
        """Positions of the middle window; raises ValueError if none fits."""
        check_generator(generator)
        return self._window((self._starts(count) - 1) // 2)


@dataclass(frozen=True, slots=True)
class EvenlySpaced:
    """``length`` frames spread over the whole run; draws nothing."""

    length: int

    @property
    def span(self) -> int:
        """As many frames as are taken."""
        return self.length

    def __call__(self, count: int, generator: torch.Generator) -> list[int]:
        """Positions spread over all frames; raises ValueError if there are too few."""
        check_generator(generator)
        return evenly_spaced(count, self.length)
