"""Augmentations that are made of other augmentations: in sequence, one of several, or with a probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mgst_data.augment.base import Augmentation, Params, Step, merge_rows, rows_of
from mgst_data.augment.functional import draw
from mgst_data.core.segment import RealFakePair, Segment


@dataclass(frozen=True)
class SequentialParams(Params):
    """Parameters of each step."""

    steps: tuple[Params, ...]


class SegmentSequential(Step[SequentialParams]):
    """Applies several steps in sequence: augmentations, and at most one blend that makes real-fake pairs.

    The steps after the blend change both segments of each pair in the same way. The parameters of all steps are drawn
    before any step is applied.

    Args:
        steps: Steps in their order.

    Raises:
        ValueError: if there is no step.
    """

    def __init__(self, *steps: Step[Any]) -> None:
        if not steps:
            raise ValueError("SegmentSequential must have at least one step, got none")
        self.steps = steps
        self.makes_fakes = any(step.makes_fakes for step in steps)

    def __repr__(self) -> str:
        return f"SegmentSequential({', '.join(map(repr, self.steps))})"

    def sample(self, segment: Segment, generator: torch.Generator) -> SequentialParams:
        """Draws parameters for every step. Each step gets the shape that the steps before it return."""
        drawn: list[Params] = []
        for step in self.steps:
            drawn.append(step.sample(segment, generator))
            segment = step.shape_after(segment)
        return SequentialParams(tuple(drawn))

    def shape_after(self, segment: Segment) -> Segment:
        """Returns a segment of the shape that all steps return."""
        for step in self.steps:
            segment = step.shape_after(segment)
        return segment

    def apply_any(self, data: Segment | RealFakePair, params: SequentialParams) -> Segment | RealFakePair:
        """Applies every step to the result of the step before it."""
        for step, mine in zip(self.steps, params.steps, strict=True):
            data = step.apply_any(data, mine)
        return data

    def __call__(self, data: Segment | RealFakePair, *, generator: torch.Generator) -> Segment | RealFakePair:
        """Draws parameters and applies them.

        Args:
            data: Segments, or real-fake pairs.
            generator: Random generator on the CPU.
        """
        params = self.sample(data.fake if isinstance(data, RealFakePair) else data, generator)
        return self.apply_any(data, params)


@dataclass(frozen=True)
class ApplyParams(Params):
    """Which segments are augmented, and the parameters of the augmentation for all segments."""

    active: Bool[Tensor, " b"]
    inner: Params


class Apply(Augmentation[ApplyParams]):
    """Augments each segment of a batch with a probability, and leaves the others unchanged.

    Args:
        augmentation: Augmentation to apply. It must keep the number of frames and their size.
        p: Probability that a segment is augmented.
    """

    def __init__(self, augmentation: Augmentation[Any], *, p: float) -> None:
        draw.check_share("p", p)
        self.augmentation, self.p = augmentation, p
        self.makes_fakes = augmentation.makes_fakes

    def sample(self, segment: Segment, generator: torch.Generator) -> ApplyParams:
        """Draws which segments are augmented, and the parameters."""
        active = draw.chance((len(segment),), self.p, generator)
        return ApplyParams(active, self.augmentation.sample(segment, generator))

    def apply(self, segment: Segment, params: ApplyParams) -> Segment:
        """Augments the drawn segments."""
        return _to_rows(self.augmentation.apply, segment, rows_of(params.active), params.inner)

    def apply_to_pair(self, pair: RealFakePair, params: ApplyParams) -> RealFakePair:
        """Augments the drawn pairs."""
        return _to_rows_of_pair(self.augmentation, pair, rows_of(params.active), params.inner)

    def __repr__(self) -> str:
        return f"Apply({self.augmentation!r}, p={self.p:g})"


@dataclass(frozen=True)
class OneOfParams(Params):
    """Option that is chosen for each segment, and the parameters of each option for all segments."""

    choice: Int[Tensor, " b"]
    options: tuple[Params, ...]


class OneOf(Augmentation[OneOfParams]):
    """Applies one of several augmentations to each segment of a batch.

    Args:
        options: Augmentations to choose from. They must keep the number of frames and their size. Either all of them
            make fakes, or none.
        weights: Relative probability of each option; equal by default.

    Raises:
        ValueError: if there is no option, label-making and label-preserving options are mixed, or the number of weights
            is different, or a weight is negative, or all are 0.
    """

    def __init__(self, *options: Augmentation[Any], weights: Sequence[float] | None = None) -> None:
        if not options:
            raise ValueError("OneOf must have at least one option, got none")
        if len({option.makes_fakes for option in options}) > 1:
            raise ValueError(
                "options must be all label-making or all label-preserving, got both; use one OneOf for each"
            )
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(options)
        if len(self.weights) != len(options):
            raise ValueError(f"weights must have one value per option ({len(options)}), got {len(self.weights)}")
        if not sum(self.weights) > 0 or min(self.weights) < 0:
            raise ValueError(f"weights must be at least 0 and not all 0, got {self.weights}")
        self.options = options
        self.makes_fakes = options[0].makes_fakes

    def __repr__(self) -> str:
        return f"OneOf({', '.join(map(repr, self.options))}, weights={self.weights})"

    def sample(self, segment: Segment, generator: torch.Generator) -> OneOfParams:
        """Draws an option for each segment, and the parameters of every option."""
        choice = draw.choose((len(segment),), self.weights, generator)
        return OneOfParams(choice, tuple(option.sample(segment, generator) for option in self.options))

    def apply(self, segment: Segment, params: OneOfParams) -> Segment:
        """Applies the chosen option to each segment."""
        for number, (option, mine) in enumerate(zip(self.options, params.options, strict=True)):
            segment = _to_rows(option.apply, segment, rows_of(params.choice == number), mine)
        return segment

    def apply_to_pair(self, pair: RealFakePair, params: OneOfParams) -> RealFakePair:
        """Applies the chosen option to both segments of each pair."""
        for number, (option, mine) in enumerate(zip(self.options, params.options, strict=True)):
            pair = _to_rows_of_pair(option, pair, rows_of(params.choice == number), mine)
        return pair


def _to_rows(
    apply: Callable[[Segment, Any], Segment], segment: Segment, rows: Int[Tensor, " n"], params: Params
) -> Segment:
    if len(rows) == 0:
        return segment
    some = segment[rows.to(segment.frames.device, non_blocking=True)]
    return merge_rows(segment, rows, apply(some, params[rows]))


def _to_rows_of_pair(
    augmentation: Augmentation[Any], pair: RealFakePair, rows: Int[Tensor, " n"], params: Params
) -> RealFakePair:
    if len(rows) == 0:
        return pair
    some = augmentation.apply_to_pair(pair[rows.to(pair.fake.frames.device, non_blocking=True)], params[rows])
    return RealFakePair(merge_rows(pair.real, rows, some.real), merge_rows(pair.fake, rows, some.fake))
