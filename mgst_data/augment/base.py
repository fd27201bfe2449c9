"""Base classes: ``sample`` draws parameters once, ``apply`` is a pure function of a segment and these parameters."""

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

# Options in pixels refer to pictures of this side.
REFERENCE = 256


@dataclass(frozen=True)
class Params:
    """All parameters that an augmentation drew for a batch, on the CPU. Subclasses add fields.

    A field is a tensor, other Params, or a tuple of Params. The leading dimensions of a tensor give its grain: (b, ...)
    for a segment, (b, t, ...) for a frame.
    """

    def __len__(self) -> int:
        """Returns the number of segments.

        Raises:
            TypeError: if the class has no field.
        """
        for _, value in self._fields():
            for item in value if isinstance(value, tuple) else (value,):
                return len(item)
        raise TypeError(f"{type(self).__name__} has no field")

    def __getitem__(self: P, rows: slice | Int[Tensor, " n"]) -> P:  # noqa: PYI019 - Self is not checked in tests
        """Returns the parameters of some segments of the batch."""
        return type(self)(**{name: _each(value, lambda item: item[rows]) for name, value in self._fields()})

    def to(self: P, device: torch.device | str) -> P:  # noqa: PYI019
        """Returns the parameters on another device, without waiting for the device."""

        def move(item: Any) -> Any:
            return item.to(device, non_blocking=True) if isinstance(item, Tensor) else item.to(device)

        return type(self)(**{name: _each(value, move) for name, value in self._fields()})

    def as_dict(self) -> dict[str, Any]:
        """Returns the parameters as lists and numbers, for JSON."""

        def plain(item: Any) -> Any:
            return item.tolist() if isinstance(item, Tensor) else item.as_dict()

        return {name: _each(value, plain) for name, value in self._fields()}

    def _fields(self) -> list[tuple[str, Any]]:
        return [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]


def _each(value: Any, change: Any) -> Any:
    return tuple(change(item) for item in value) if isinstance(value, tuple) else change(value)


class Step(Generic[P]):
    """A random change of a batch of segments: an :class:`Augmentation`, or a blend that makes real-fake pairs.

    A step has no state: it keeps nothing between calls, and every draw comes from the generator that is passed in.
    Parameters are drawn on the CPU, so the same seed gives the same draws on any device. A step is not a
    ``torch.nn.Module``, because ``apply`` has another meaning there; a module may hold a step as a plain attribute.

    A label-making step (``makes_fakes``) turns its input into a pseudo-fake, or makes real-fake pairs. All other steps
    are label-preserving.

    Subclasses get two things automatically: their methods compute without autocast, and ``sample`` raises TypeError if
    it gets no Segment or no generator on the CPU.
    """

    makes_fakes: bool = False

    def __eq__(self, other: object) -> bool:
        """Returns whether the other one is of the same class with equal options."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("sample", "apply", "apply_to_pair", "apply_any", "__call__"):
            owner = next((base for base in cls.__mro__ if name in vars(base)), Step)
            # Methods of other steps are wrapped already. Methods of classes that are not steps are not.
            if owner is cls or not issubclass(owner, Step):
                method = vars(owner)[name]
                if isinstance(method, FunctionType):
                    setattr(cls, name, without_autocast(_checked(method) if name == "sample" else method))

    def sample(self, segment: Segment, generator: torch.Generator) -> P:
        """Draws parameters for every segment of a batch.

        Args:
            segment: Segments to draw for. Only their shape is used.
            generator: Random generator on the CPU.

        Returns:
            Parameters on the CPU, one row per segment.
        """
        raise NotImplementedError

    def apply_any(self, data: Segment | RealFakePair, params: P) -> Segment | RealFakePair:
        """Applies the step to segments or to real-fake pairs.

        Args:
            data: Segments, or real-fake pairs.
            params: Parameters that :meth:`sample` drew for this batch.
        """
        raise NotImplementedError

    def shape_after(self, segment: Segment) -> Segment:
        """Returns a segment of the shape that comes out, for the next step to draw for. Its pixels have no meaning."""
        return segment


def _checked(sample: Callable[..., R]) -> Callable[..., R]:
    """Wraps ``sample`` of a step so that it checks its arguments first."""

    @functools.wraps(sample)
    def checked(self: Step[Any], segment: object, generator: object) -> R:
        if not isinstance(segment, Segment):
            given = type(segment).__name__
            raise TypeError(f"segment must be a Segment, for example Segment.of(frames, landmarks), got a {given}")
        check_generator(generator)
        return sample(self, segment, generator)

    return checked


class Augmentation(Step[P]):
    """Changes segments; the number of segments stays the same.

    A label-preserving augmentation (``makes_fakes`` is False) changes real and fake segments in the same way, also the
    two segments of a real-fake pair. A label-making augmentation turns its input into a pseudo-fake with labels of its
    frames and patches. It changes only the fake segment of a pair.
    """

    def apply(self, segment: Segment, params: P) -> Segment:
        """Applies drawn parameters to a segment. The segment itself is not modified; labels change with the pixels.

        Args:
            segment: Segments to change.
            params: Parameters that :meth:`sample` drew for this batch.
        """
        raise NotImplementedError

    def apply_to_pair(self, pair: RealFakePair, params: P) -> RealFakePair:
        """Applies drawn parameters to both segments of each pair, or to the fake one only if it is label-making.

        Args:
            pair: Real-fake pairs to change.
            params: Parameters that :meth:`sample` drew for this batch.
        """
        real = pair.real if self.makes_fakes else self.apply(pair.real, params)
        return RealFakePair(real, self.apply(pair.fake, params))

    def apply_any(self, data: Segment | RealFakePair, params: P) -> Segment | RealFakePair:
        """Applies the augmentation to segments or to real-fake pairs."""
        return self.apply_to_pair(data, params) if isinstance(data, RealFakePair) else self.apply(data, params)

    def __call__(self, data: D, *, generator: torch.Generator) -> D:
        """Draws parameters and applies them.

        Args:
            data: Segments, or real-fake pairs.
            generator: Random generator on the CPU.
        """
        if isinstance(data, RealFakePair):
            return self.apply_to_pair(data, self.sample(data.fake, generator))
        return self.apply(data, self.sample(data, generator))


AUGMENTATIONS: Registry[type[Step[Any]]] = Registry("mgst_data.augmentations")


def rows_of(active: Bool[Tensor, " b"]) -> Int[Tensor, " n"]:
    """Returns the indices of the active segments. ``active`` is on the CPU, so no device is waited for."""
    return active.nonzero()[:, 0]


def any_of(condition: Bool[Tensor, "..."]) -> bool:
    """Returns whether a condition on the CPU is true anywhere; True while torch compiles. Never waits for a device."""
    return torch.compiler.is_compiling() or bool(condition.any())


def on_rows(
    data: Float[Tensor, "b ..."],
    active: Bool[Tensor, " b"],
    change: Callable[[Tensor, Tensor | slice], Tensor],
    *,
    owned: bool = False,
) -> Float[Tensor, "b ..."]:
    """Changes the active rows of a batch.

    ``active`` is on the CPU, so the other rows cost nothing and no device is waited for. While torch compiles, all rows
    are computed and then selected, so that there is one graph for all cases.

    Args:
        data: Batch to change.
        active: Rows to change.
        change: Function of these rows and of their indices. The indices are on the device of the data.
        owned: Whether the data may be changed in place, because the caller made it and needs it no more. This saves a
            copy of the batch. With gradients, it is copied anyway.
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
    changed = change(data[there], there)
    if owned and not (torch.is_grad_enabled() and (data.requires_grad or changed.requires_grad)):
        return data.index_copy_(0, there, changed)
    return data.index_copy(0, there, changed)


def merge_rows(segment: Segment, rows: Int[Tensor, " n"], part: Segment) -> Segment:
    """Returns a batch in which some segments are replaced.

    Args:
        segment: Whole batch.
        rows: Indices of the segments to replace, on the CPU.
        part: New segments, one for each index.

    Raises:
        ValueError: if the new segments have another number of frames or another size.
    """
    whole, other = tuple(segment.frames.shape[1:]), tuple(part.frames.shape[1:])
    if whole != other:
        raise ValueError(
            f"all segments of a batch must have frames of shape {whole}, got {other}; apply an augmentation that"
            " changes the length or size to the whole batch"
        )
    rows = rows.to(segment.frames.device, non_blocking=True)
    changes = {
        field.name: getattr(segment, field.name).index_copy(0, rows, getattr(part, field.name))
        for field in dataclasses.fields(segment)
    }
    return segment.replace(**changes)
