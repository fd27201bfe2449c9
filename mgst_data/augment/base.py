"""What an augmentation is: ``sample`` draws once, ``apply`` is a pure function of a segment and what was drawn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core.precision import without_autocast
from mgst_data.core.registry import Registry
from mgst_data.core.rng import check_generator
from mgst_data.core.segment import RealFakePair, Segment

P = TypeVar("P", bound="Params")
D = TypeVar("D", Segment, RealFakePair)
R = TypeVar("R")

# Side of the picture that options in pixels refer to.
REFERENCE = 256


@dataclass(frozen=True)
class Params:
    """Everything an augmentation drew for a batch, on the CPU. Subclasses add fields.

    A field is a tensor, other Params, or a tuple of Params. The leading dimensions of a tensor say its grain: (b, ...)
    holds for a segment, (b, t, ...) for a frame.
    """

    def __len__(self) -> int:
        """Segments that were drawn for."""
        for _, value in self._fields():
            for item in value if isinstance(value, tuple) else (value,):
                return len(item)
        raise TypeError(f"{type(self).__name__} has no field")

    def __getitem__(self: P, rows: slice | Int[Tensor, " n"]) -> P:  # noqa: PYI019 - Self is not checked in tests
        """What was drawn for some segments of the batch."""
        return type(self)(**{name: _each(value, lambda item: item[rows]) for name, value in self._fields()})

    def to(self: P, device: torch.device | str) -> P:  # noqa: PYI019
        """The same on another device, without waiting for it."""

        def move(item: Any) -> Any:
            return item.to(device, non_blocking=True) if isinstance(item, Tensor) else item.to(device)

        return type(self)(**{name: _each(value, move) for name, value in self._fields()})

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""

        def plain(item: Any) -> Any:
            return item.tolist() if isinstance(item, Tensor) else item.as_dict()

        return {name: _each(value, plain) for name, value in self._fields()}

    def _fields(self) -> list[tuple[str, Any]]:
        return [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]


def _each(value: Any, change: Any) -> Any:
    return tuple(change(item) for item in value) if isinstance(value, tuple) else change(value)


class Step(Generic[P]):
    """Something that is done to a batch of segments at random: an :class:`Augmentation`, or a blend that makes twins.

    It has no state: nothing is kept between calls, and every draw comes from the generator handed in. Parameters are
    drawn on the CPU, so that the same seed gives the same draws on any device. It is no ``torch.nn.Module``, whose own
    ``apply`` means something else; a module may hold it as a plain attribute.

    A label-making step (``makes_fakes``) turns what it gets into a pseudo-fake, or makes twins. All others are
    label-preserving.

    Deriving a class sees to two things: its methods compute as if there were no autocast, and ``sample`` raises
    TypeError for what is no Segment, and for what is no generator on the CPU.
    """

    makes_fakes: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("sample", "apply", "apply_to_pair", "apply_any", "__call__"):
            owner = next((base for base in cls.__mro__ if name in vars(base)), Step)
            # What other steps bring along has been seen to; what comes from a class that is no step has not.
            if owner is cls or not issubclass(owner, Step):
                method = vars(owner)[name]
                if isinstance(method, FunctionType):
                    setattr(cls, name, without_autocast(_checked(method) if name == "sample" else method))

    def sample(self, segment: Segment, generator: torch.Generator) -> P:
        """Draws for every segment of a batch; looks at its shape only."""
        raise NotImplementedError

    def apply_any(self, data: Segment | RealFakePair, params: P) -> Segment | RealFakePair:
        """Applies to a segment or to twins."""
        raise NotImplementedError

    def shape_after(self, segment: Segment) -> Segment:
        """A segment of the shape that comes out, for the next step to draw for; what its pixels show means nothing."""
        return segment


def _checked(sample: Callable[..., R]) -> Callable[..., R]:
    """``sample`` of a step, with a look at what it is given first."""

    @functools.wraps(sample)
    def checked(self: Step[Any], segment: object, generator: object) -> R:
        if not isinstance(segment, Segment):
            given = type(segment).__name__
            raise TypeError(f"segment is a Segment, such as Segment.of(frames, landmarks), not a {given}")
        check_generator(generator)
        return sample(self, segment, generator)

    return checked


class Augmentation(Step[P]):
    """Turns segments into segments of the same number.

    A label-preserving augmentation (``makes_fakes`` False) does the same to real and fake, and to both twins of a pair.
    A label-making one turns what it gets into a pseudo-fake with the labels of its frames and patches; of a pair it
    changes the fake only.
    """

    def apply(self, segment: Segment, params: P) -> Segment:
        """Does what was drawn; the segment itself stays as it is. Labels change with the pixels."""
        raise NotImplementedError

    def apply_to_pair(self, pair: RealFakePair, params: P) -> RealFakePair:
        """Does the same to both twins, or makes the fake more of one."""
        real = pair.real if self.makes_fakes else self.apply(pair.real, params)
        return RealFakePair(real, self.apply(pair.fake, params))

    def apply_any(self, data: Segment | RealFakePair, params: P) -> Segment | RealFakePair:
        """Applies to a segment or to twins."""
        return self.apply_to_pair(data, params) if isinstance(data, RealFakePair) else self.apply(data, params)

    def __call__(self, data: D, *, generator: torch.Generator) -> D:
        """Draws and applies."""
        if isinstance(data, RealFakePair):
            return self.apply_to_pair(data, self.sample(data.fake, generator))
        return self.apply(data, self.sample(data, generator))


AUGMENTATIONS: Registry[type[Step[Any]]] = Registry("mgst_data.augmentations")


def rows_of(active: Bool[Tensor, " b"]) -> Int[Tensor, " n"]:
    """Numbers of the segments that something is done to. ``active`` is on the CPU: no device is waited for."""
    return active.nonzero()[:, 0]


def on_rows(
    data: Float[Tensor, "b ..."], active: Bool[Tensor, " b"], change: Callable[[Tensor, Tensor | slice], Tensor]
) -> Float[Tensor, "b ..."]:
    """Changes those rows of a batch that are active.

    ``active`` is on the CPU, so the others cost nothing and no device is waited for. A compiler is given one graph for
    all: there everything is computed, and chosen from.

    Args:
        data: A batch.
        active: Which rows.
        change: Gets these rows and their numbers, which index tensors on the device of the data.
    """
    if torch.compiler.is_compiling():
        chosen = active.to(data.device).reshape(-1, *[1] * (data.ndim - 1))
        return torch.where(chosen, change(data, slice(None)), data)
    rows = rows_of(active)
    if len(rows) == 0:
        return data
    if len(rows) == len(data):
        return change(data, slice(None))
    there = rows.to(data.device, non_blocking=True)
    return data.index_copy(0, there, change(data[there], there))


def merge_rows(segment: Segment, rows: Int[Tensor, " n"], part: Segment) -> Segment:
    """A batch with some of its segments exchanged.

    Raises:
        ValueError: if the part has another number of frames or another size, so that it does not fit in.
    """
    whole, other = tuple(segment.frames.shape[1:]), tuple(part.frames.shape[1:])
    if whole != other:
        raise ValueError(
            f"segments of {other} do not fit among those of {whole}: an augmentation that changes their length"
            " or size is applied to all of a batch"
        )
    rows = rows.to(segment.frames.device, non_blocking=True)
    changes = {
        field.name: getattr(segment, field.name).index_copy(0, rows, getattr(part, field.name))
        for field in dataclasses.fields(segment)
    }
    return segment.replace(**changes)
