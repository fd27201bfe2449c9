"""Choice of frames from a run of consecutive frames. Pure functions of the number of frames and a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from mgst_data.core.rng import check_generator


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Chooses evenly spaced positions: the centres of ``wanted`` equal parts.

    Args:
        count: Number of items to choose from.
        wanted: Number of positions.

    Raises:
        ValueError: if ``wanted`` is negative or larger than ``count``.
    """
    if not 0 <= wanted <= count:
        raise ValueError(f"wanted must be in [0, {count}], got {wanted}")
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


@runtime_checkable
class FrameSampler(Protocol):
    """Chooses frames of a run. A run that is too short raises ValueError; no frame is repeated or invented."""

    @property
    def span(self) -> int:
        """Length of the shortest run that has enough frames."""

    def __call__(self, count: int, generator: torch.Generator) -> Sequence[int]:
        """Chooses positions in a run.

        Args:
            count: Number of frames of the run.
            generator: Random generator on the CPU.

        Returns:
            Positions from 0 to ``count - 1``, ascending.
        """


@dataclass(frozen=True, slots=True)
class RandomWindow:
    """Takes ``length`` frames, every ``stride``-th one, from a random start."""

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ValueError(f"length and stride must be at least 1, got {self.length} and {self.stride}")

    @property
    def span(self) -> int:
        """Number of frames from the first to the last frame of a window."""
        return (self.length - 1) * self.stride + 1

    def __call__(self, count: int, generator: torch.Generator) -> range:
        """Draws the positions of a window.

        Args:
            count: Number of frames of the run.
            generator: Random generator on the CPU.

        Raises:
            ValueError: if the run is shorter than :attr:`span`.
        """
        check_generator(generator)
        return self._window(int(torch.randint(self._starts(count), (), generator=generator)))

    def _starts(self, count: int) -> int:
        if count < self.span:
            raise ValueError(
                f"a window of {self.length} frames with stride {self.stride} needs {self.span} frames, got {count}"
            )
        return count - self.span + 1

    def _window(self, start: int) -> range:
        return range(start, start + self.span, self.stride)


@dataclass(frozen=True, slots=True)
class CentreWindow(RandomWindow):
    """Takes the window in the middle of the run. It draws nothing; evaluation uses it."""

    def __call__(self, count: int, generator: torch.Generator) -> range:
        """Returns the positions of the middle window.

        Args:
            count: Number of frames of the run.
            generator: Random generator on the CPU; nothing is drawn from it.

        Raises:
            ValueError: if the run is shorter than :attr:`span`.
        """
        check_generator(generator)
        return self._window((self._starts(count) - 1) // 2)


@dataclass(frozen=True, slots=True)
class EvenlySpaced:
    """Takes ``length`` frames that are spread evenly over the whole run. It draws nothing."""

    length: int

    @property
    def span(self) -> int:
        """Number of frames that are taken."""
        return self.length

    def __call__(self, count: int, generator: torch.Generator) -> list[int]:
        """Returns evenly spaced positions over all frames.

        Args:
            count: Number of frames of the run.
            generator: Random generator on the CPU; nothing is drawn from it.

        Raises:
            ValueError: if the run has less than ``length`` frames.
        """
        check_generator(generator)
        return evenly_spaced(count, self.length)
