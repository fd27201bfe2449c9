"""Which frames of a run of frames: pure functions of frame numbers and a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor


def evenly_spaced(count: int, wanted: int) -> Int[Tensor, " t"]:
    """Positions of ``wanted`` out of ``count`` things: the middles of ``wanted`` equal parts.

    Raises:
        ValueError: if more are wanted than there are.
    """
    if not 0 <= wanted <= count:
        raise ValueError(f"cannot take {wanted} of {count}")
    return (torch.arange(wanted) * 2 + 1) * count // (2 * max(wanted, 1))


def windows(frames: Int[Tensor, " n"], length: int, stride: int = 1) -> Int[Tensor, "m t"]:
    """Positions of every window of ``length`` frames that lie ``stride`` frames of the video apart.

    Frame numbers are compared, not positions: a window never bridges a gap in the numbers.

    Args:
        frames: Numbers of the frames in the video, ascending.
        length: Frames in a window.
        stride: Distance between its frames, in frames of the video.
    """
    if not len(frames):
        return torch.zeros(0, length, dtype=torch.long)
    wanted = frames[:, None] + stride * torch.arange(length)
    positions = torch.searchsorted(frames, wanted).clamp_max(len(frames) - 1)
    return positions[(frames[positions] == wanted).all(dim=1)]


@runtime_checkable
class FrameSampler(Protocol):
    """Chooses frames: from the numbers of those at hand to the positions of those taken.

    What does not fit is a ValueError; no frame is ever repeated or made up.
    """

    @property
    def span(self) -> int:
        """Consecutive frames that are enough for it to fit."""

    def __call__(self, frames: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " t"]:
        """Positions in ``frames`` (ascending numbers of frames in the video)."""


@dataclass(frozen=True, slots=True)
class RandomWindow:
    """Consecutive frames (every ``stride``-th of the video) from a random start."""

    length: int
    stride: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise ValueError(f"length and stride are at least 1, not {self.length} and {self.stride}")

    @property
    def span(self) -> int:
        """Frames of the video from the first to the last of a window."""
        return (self.length - 1) * self.stride + 1

    def __call__(self, frames: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " t"]:
        """Positions of a window; raises ValueError if none fits."""
        found = self._windows(frames)
        return found[int(torch.randint(len(found), (), generator=generator))]

    def _windows(self, frames: Int[Tensor, " n"]) -> Int[Tensor, "m t"]:
        found = windows(frames, self.length, self.stride)
        if not len(found):
            raise ValueError(f"no {self.length} frames at a stride of {self.stride} among these {len(frames)}")
        return found


@dataclass(frozen=True, slots=True)
class CentreWindow(RandomWindow):
    """The same from the middle: draws nothing, for evaluation."""

    def __call__(self, frames: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " t"]:  # noqa: ARG002
        """Positions of the middle window; raises ValueError if none fits."""
        found = self._windows(frames)
        return found[(len(found) - 1) // 2]


@dataclass(frozen=True, slots=True)
class EvenlySpaced:
    """``length`` frames spread over all of them; draws nothing and takes no notice of gaps."""

    length: int

    @property
    def span(self) -> int:
        """As many frames as are taken."""
        return self.length

    def __call__(self, frames: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " t"]:  # noqa: ARG002
        """Positions spread over all frames; raises ValueError if there are too few."""
        return evenly_spaced(len(frames), self.length)
