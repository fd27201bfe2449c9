"""The contract of augmentations, one function per rule; :func:`mgst_data.testing.check_augmentation` calls them all.

Rules about labels are in :mod:`mgst_data._label_contract`.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from mgst_data._painted import Data, copy_of, difference, each, forged, frames_of, segments_of, tensors
from mgst_data.augment import Params
from mgst_data.core import RealFakePair, Segment, generator_for

T = TypeVar("T")
_SHARES = ("frames", "mask", "label", "frame_label", "patch_label")
# Largest mean change by half precision.
_HALF_STEP = 0.01
# Exceptions of code that does not handle its input.
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Subject:
    """The object that is checked. Messages start with it."""

    what: Any

    def require(self, holds: object, message: str) -> None:
        """Checks a condition.

        Args:
            holds: Condition.
            message: What is wrong if it is false.

        Raises:
            AssertionError: if the condition is false.
        """
        if not holds:
            raise AssertionError(f"{self.what!r}: {message}")

    def of(self, kind: type[T], value: Any, what: str) -> T:
        """Returns a value unchanged if it has a type.

        Args:
            kind: Expected type.
            value: Value to check.
            what: What the value is, with a verb, for the message: "sample returns".

        Raises:
            AssertionError: if the type is different.
        """
        self.require(isinstance(value, kind), f"{what} a {type(value).__name__}, not a {kind.__name__}")
        found: T = value
        return found

    def sample(self, data: Data, seed: int) -> Any:
        """Draws parameters for a batch."""
        with self._no_other_random("sample"):
            return self.what.sample(data.fake if isinstance(data, RealFakePair) else data, generator_for(seed, "check"))

    def apply(self, data: Data, params: Params) -> Data:
        """Applies parameters to a batch."""
        with self._no_other_random("apply"):
            out: Data = self.what.apply_any(data, params)
        self.require(isinstance(out, Data), f"apply returns a {type(out).__name__}, not a Segment or RealFakePair")
        return out

    def to_segment(self, segment: Segment, params: Params) -> Segment:
        """Applies parameters where the result must be a segment, not a pair."""
        return self.of(Segment, self.apply(segment, params), "apply turns a segment into")

    @contextmanager
    def _no_other_random(self, method: str) -> Iterator[None]:
        before = _random_states()
        yield
        for name, state in _random_states().items():
            message = (
                f"{method} draws from the global generator of {name}: draw in sample, from the generator passed in"
            )
            self.require(state == before.get(name, state), message)


def _random_states() -> dict[str, object]:
    """Returns the states of the global generators, from which nothing may draw."""
    states: dict[str, object] = {"torch": torch.random.get_rng_state().tolist()}
    # beartype draws from this generator to choose the items of a list that it checks.
    if "beartype" not in sys.modules:
        states["random"] = random.getstate()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["torch.cuda"] = [state.tolist() for state in torch.cuda.get_rng_state_all()]
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        states["numpy"] = (kind, keys.tolist(), rest)
    return states


def check_draws(subject: Subject, data: Data, seed: int) -> Params:
    """Checks that draws depend on generator and shape only, with one row per segment, on the CPU."""
    params = subject.of(Params, subject.sample(data, seed), "sample returns")
    for name, value in _drawn(params):
        subject.require(value.device.type == "cpu", f"sample draws {name} on {value.device}: draw on the CPU")
        rows = value.ndim > 0 and len(value) == len(data)
        subject.require(rows, f"sample draws {name} {tuple(value.shape)} for {len(data)} segments: one row each")
    text = _text(params)
    again = _text(subject.sample(data, seed))
    subject.require(again == text, "the same seed gives other draws: it keeps a state, or draws from another generator")
    other = _text(subject.sample(_with_other_pixels(data), seed))
    subject.require(other == text, "other pixels give other draws: sample uses more than the shape")
    return params


def _drawn(params: Params, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yields the name and value of every tensor."""
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Params):
                yield from _drawn(item, f"{prefix}{field.name}.")
            else:
                yield prefix + field.name, item


def _text(params: Params) -> str:
    """Returns all parameters as text, for comparison."""
    return json.dumps(params.as_dict())


def _with_other_pixels(data: Data) -> Data:
    """Returns a batch of the same shape in which everything else is different."""
    if isinstance(data, RealFakePair):
        return RealFakePair(
            data.real, data.fake.replace(frames=1 - data.fake.frames, landmarks=data.fake.landmarks + 1)
        )
    return forged(data.replace(frames=1 - data.frames, landmarks=data.landmarks + 1))


def check_replay(subject: Subject, data: Data, params: Params, seed: int) -> Data:
    """Checks that apply is a pure function, and that a call equals sample and apply. Returns the result.

    Raises:
        AssertionError: if one of them is not true, or apply fails.
    """
    before, drawn = copy_of(data), _text(params)
    try:
        out = subject.apply(data, params)
    except (TypeError, ValueError) as error:
        message = f"apply fails on the batch that sample drew for: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    changed = difference(before, data)
    subject.require(not changed, f"apply modifies its input: {changed}")
    subject.require(_text(params) == drawn, "apply modifies its params")
    kept = copy_of(out)
    # These two calls change anything that the augmentation keeps between calls.
    subject.sample(data[:1], seed + 1000)
    subject.apply(_with_other_pixels(data), params)
    changed = difference(kept, out)
    subject.require(not changed, f"apply writes into an earlier result: {changed}")
    changed = difference(kept, subject.apply(data, params))
    subject.require(not changed, f"the same params give another result the second time: {changed}")
    subject.require(callable(subject.what), "cannot be called: define __call__, which draws and applies")
    changed = difference(kept, subject.what(data, generator=generator_for(seed, "check")))
    subject.require(not changed, f"a call differs from sample and apply: {changed}")
    return out


def check_result(subject: Subject, data: Data, out: Data) -> None:
    """Checks dtype, device, range and shape of all tensors of a result."""
    given = data.fake if isinstance(data, RealFakePair) else data
    shape_after = subject.what.shape_after(given)
    for prefix, segment in segments_of(out).items():
        subject.require(len(segment) == len(given), f"{len(given)} segments become {len(segment)}")
        for name, value in tensors(segment).items():
            want, said = getattr(given, name), tuple(getattr(shape_after, name).shape)
            subject.require(value.dtype == want.dtype, f"{prefix}{name} is {value.dtype} after apply, not {want.dtype}")
            subject.require(
                value.device == want.device, f"{prefix}{name} is on {value.device} after apply, not {want.device}"
            )
            message = f"{prefix}{name} has shape {tuple(value.shape)} after apply, but shape_after gives {said}"
            subject.require(tuple(value.shape) == said, message)
        for name in _SHARES:
            value = getattr(segment, name)
            subject.require(value.isfinite().all(), f"{prefix}{name} has values that are not finite after apply")
            low, high = (float(value.min()), float(value.max())) if value.numel() else (0.0, 0.0)
            subject.require(
                low >= 0 and high <= 1, f"{prefix}{name} is in [{low:g}, {high:g}] after apply, not in [0, 1]"
            )
        seen = segment.landmarks[segment.valid]
        subject.require(seen.isfinite().all(), f"{prefix}landmarks of valid frames are not finite after apply")


def check_batch(subject: Subject, data: Data, params: Params, out: Data, *, atol: float) -> None:
    """Checks that a part of the batch with its parameters gives the same result as in the whole batch."""
    numbers = torch.arange(len(data))
    for rows in (*numbers[:, None], numbers.flip(0)):
        there = rows.to(frames_of(data).device)
        apart = difference(out[there], subject.apply(data[there], params[rows]), atol)
        subject.require(not apart, f"the result of a segment differs in another batch: {apart}")


def check_half(subject: Subject, data: Data, params: Params, out: Data) -> None:
    """Checks that half precision gives nearly the same result, in half precision.

    Raises:
        AssertionError: if the result is different, or half precision fails.
    """
    for dtype in (torch.float16, torch.bfloat16):
        given = data.to(dtype=dtype)
        try:
            half = subject.apply(given, params)
        except (RuntimeError, TypeError) as error:
            raise AssertionError(f"{subject.what!r}: apply fails on frames of {dtype}: {error}") from error
        check_result(subject, given, half)
        for name, value in tensors(out).items():
            far = (tensors(half)[name].double() - value.double()).abs().nan_to_num()
            far = far.mean() if far.numel() else far.sum()
            subject.require(far <= _HALF_STEP, f"{dtype} changes {name} by {float(far):.2g} on average")


def check_autocast(subject: Subject, data: Data, params: Params, out: Data, seed: int) -> None:
    """Checks that draws and results inside autocast are bit-identical to those outside."""
    low = torch.bfloat16
    with torch.autocast("cpu", low), torch.autocast(frames_of(data).device.type, low):
        drawn, cast = subject.sample(data, seed), subject.apply(data, params)
    subject.require(_text(drawn) == _text(params), "inside torch.autocast the same seed gives other draws")
    changed = difference(out, cast)
    subject.require(not changed, f"inside torch.autocast the same params give another result: {changed}")


def check_empty_batch(subject: Subject, data: Data, seed: int) -> None:
    """Checks that an empty batch gives an empty batch of the right shape.

    Raises:
        AssertionError: if an empty batch fails.
    """
    empty = data[:0]
    try:
        out = subject.apply(empty, subject.sample(empty, seed))
    except FAILURES as error:
        message = f"an empty batch fails: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    check_result(subject, empty, out)


def check_single_frame(subject: Subject, data: Data, seed: int) -> None:
    """Checks that segments of one frame work or raise ValueError.

    Raises:
        AssertionError: if another exception is raised.
    """

    def first(segment: Segment) -> Segment:
        rest = {name: value[:, :1] for name, value in tensors(segment).items() if name != "label"}
        return segment.replace(**rest)

    single = each(data, first)
    try:
        out = subject.apply(single, subject.sample(single, seed))
    except ValueError:
        return
    except (RuntimeError, IndexError) as error:
        message = f"a segment of one frame neither works nor raises ValueError: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    check_result(subject, single, out)


def check_gradient(subject: Subject, data: Data, params: Params) -> None:
    """Checks that gradients reach the frames."""
    leaves: list[Tensor] = []

    def watched(segment: Segment) -> Segment:
        leaves.append(segment.frames.clone().requires_grad_())
        return segment.replace(frames=leaves[-1])

    frames = [segment.frames for segment in segments_of(subject.apply(each(data, watched), params)).values()]
    subject.require(any(value.requires_grad for value in frames), "no gradient reaches the frames")
    torch.stack([value.float().square().sum() for value in frames]).sum().backward()  # type: ignore[no-untyped-call]
    for grad in (leaf.grad for leaf in leaves):
        subject.require(grad is not None and grad.abs().sum() != 0, "no gradient reaches the frames")
        subject.require(grad is not None and grad.isfinite().all(), "gradients are not finite")


def check_no_wait(subject: Subject, data: Data, params: Params) -> None:
    """Checks that apply reads no values on the device.

    Raises:
        AssertionError: if values are read.
    """
    try:
        # Tensors of this device have no values, so reading a value fails.
        subject.apply(data.to("meta"), params)
    except (RuntimeError, ValueError) as error:
        raise AssertionError(
            f"{subject.what!r}: apply reads values on the device, or mixes devices: {error}"
        ) from error
