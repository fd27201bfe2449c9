"""Augmentations made of augmentations: one after another, one of several, now and then."""

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
    """What each step drew."""

    steps: tuple[Params, ...]


class SegmentSequential(Step[SequentialParams]):
    """Does one step after another: augmentations, and at most one blend that makes twins, which then go together.

    All steps are drawn before any is applied.

    Args:
        steps: In their order.

    Raises:
        ValueError: for no step.
    """

    def __init__(self, *steps: Step[Any]) -> None:
        if not steps:
            raise ValueError("a sequence has at least one step")
        self.steps = steps
        self.makes_fakes = any(step.makes_fakes for step in steps)

    def __repr__(self) -> str:
        return f"SegmentSequential({', '.join(map(repr, self.steps))})"

    def sample(self, segment: Segment, generator: torch.Generator) -> SequentialParams:
        """Draws for every step; each is told the shape that those before it leave."""
        drawn: list[Params] = []
        for step in self.steps:
            drawn.append(step.sample(segment, generator))
            segment = step.shape_after(segment)
        return SequentialParams(tuple(drawn))

    def shape_after(self, segment: Segment) -> Segment:
        """The shape that all steps leave."""
        for step in self.steps:
            segment = step.shape_after(segment)
        return segment

    def apply_any(self, data: Segment | RealFakePair, params: SequentialParams) -> Segment | RealFakePair:
        """Applies every step to what comes out of the one before."""
        for step, mine in zip(self.steps, params.steps, strict=True):
            data = step.apply_any(data, mine)
        return data

    def __call__(self, data: Segment | RealFakePair, *, generator: torch.Generator) -> Segment | RealFakePair:
        """Draws and applies."""
        params = self.sample(data.fake if isinstance(data, RealFakePair) else data, generator)
        return self.apply_any(data, params)


@dataclass(frozen=True)
class ApplyParams(Params):
    """Which segments are augmented, and what was drawn for all of them."""

    active: Bool[Tensor, " b"]
    inner: Params


class Apply(Augmentation[ApplyParams]):
    """Augments each segment of a batch with a probability, and leaves the others as they are.

    Args:
        augmentation: What is done to a segment. It must keep the number of frames and their size.
        p: How likely.
    """

    def __init__(self, augmentation: Augmentation[Any], *, p: float) -> None:
        draw.check_share("p", p)
        self.augmentation, self.p = augmentation, p
        self.makes_fakes = augmentation.makes_fakes

    def sample(self, segment: Segment, generator: torch.Generator) -> ApplyParams:
        """Draws who is augmented, and how."""
        active = draw.chance((len(segment),), self.p, generator)
        return ApplyParams(active, self.augmentation.sample(segment, generator))

    def apply(self, segment: Segment, params: ApplyParams) -> Segment:
        """Augments those that were drawn."""
        return _to_rows(self.augmentation.apply, segment, rows_of(params.active), params.inner)

    def apply_to_pair(self, pair: RealFakePair, params: ApplyParams) -> RealFakePair:
        """Augments those twins that were drawn."""
        return _to_rows_of_pair(self.augmentation, pair, rows_of(params.active), params.inner)

    def __repr__(self) -> str:
        return f"Apply({self.augmentation!r}, p={self.p:g})"


@dataclass(frozen=True)
class OneOfParams(Params):
    """Which of the options each segment gets, and what each option drew for all of them."""

    choice: Int[Tensor, " b"]
    options: tuple[Params, ...]


class OneOf(Augmentation[OneOfParams]):
    """Does one of several augmentations to each segment of a batch.

    Args:
        options: They must keep the number of frames and their size, and all make fakes or none of them.
        weights: How likely each is, relative to the others; all alike by default.

    Raises:
        ValueError: if there is no option, label-making ones are mixed with others, or weights do not match.
    """

    def __init__(self, *options: Augmentation[Any], weights: Sequence[float] | None = None) -> None:
        if not options:
            raise ValueError("there is no option to choose from")
        if len({option.makes_fakes for option in options}) > 1:
            raise ValueError("label-making and label-preserving augmentations cannot take each other's place")
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(options)
        if len(self.weights) != len(options):
            raise ValueError(f"{len(self.weights)} weights for {len(options)} options")
        self.options = options
        self.makes_fakes = options[0].makes_fakes

    def __repr__(self) -> str:
        return f"OneOf({', '.join(map(repr, self.options))}, weights={self.weights})"

    def sample(self, segment: Segment, generator: torch.Generator) -> OneOfParams:
        """Draws an option for each segment, and for every option what it would do."""
        choice = draw.choose((len(segment),), self.weights, generator)
        return OneOfParams(choice, tuple(option.sample(segment, generator) for option in self.options))

    def apply(self, segment: Segment, params: OneOfParams) -> Segment:
        """Does to each segment what was chosen for it."""
        for number, (option, mine) in enumerate(zip(self.options, params.options, strict=True)):
            segment = _to_rows(option.apply, segment, rows_of(params.choice == number), mine)
        return segment

    def apply_to_pair(self, pair: RealFakePair, params: OneOfParams) -> RealFakePair:
        """Does to both twins what was chosen for them."""
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
