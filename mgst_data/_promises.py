"""What augmentations promise, one function a promise; :func:`mgst_data.testing.check_augmentation` calls them all.

What they promise of labels is in :mod:`mgst_data._label_promises`.
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
# What half precision may change in the mean.
_HALF_STEP = 0.01
# How code fails that did not expect what it is given.
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Subject:
    """An augmentation that is checked. Messages begin with it."""

    what: Any

    def require(self, holds: object, message: str) -> None:
        """Raises AssertionError unless something holds."""
        if not holds:
            raise AssertionError(f"{self.what!r}: {message}")

    def of(self, kind: type[T], value: Any, what: str) -> T:
        """Raises AssertionError unless a value is of a type."""
        self.require(isinstance(value, kind), f"{what} a {type(value).__name__}, not a {kind.__name__}")
        found: T = value
        return found

    def sample(self, data: Data, seed: int) -> Any:
        """Draws for a batch."""
        with self._no_other_random("sample"):
            return self.what.sample(data.fake if isinstance(data, RealFakePair) else data, generator_for(seed, "check"))

    def apply(self, data: Data, params: Params) -> Data:
        """Applies to a batch."""
        with self._no_other_random("apply"):
            out: Data = self.what.apply_any(data, params)
        self.require(isinstance(out, Data), f"apply gives a {type(out).__name__}, not a Segment or RealFakePair")
        return out

    def to_segment(self, segment: Segment, params: Params) -> Segment:
        """Applies where a segment comes out, not twins."""
        return self.of(Segment, self.apply(segment, params), "a segment comes out as")

    @contextmanager
    def _no_other_random(self, method: str) -> Iterator[None]:
        before = _random_states()
        yield
        for name, state in _random_states().items():
            message = f"{method} draws from the global generator of {name}: draw in sample, from the one handed in"
            self.require(state == before.get(name, state), message)


def _random_states() -> dict[str, object]:
    """What the generators hold that nobody may draw from."""
    states: dict[str, object] = {"torch": torch.random.get_rng_state().tolist()}
    # beartype draws which items of a list it looks at; then a draw shows only by what comes of it.
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
    """Draws come from the generator and from the shape alone, one row a segment, on the CPU."""
    params = subject.of(Params, subject.sample(data, seed), "sample gives")
    for name, value in _drawn(params):
        subject.require(value.device.type == "cpu", f"sample draws {name} on {value.device}: draw on the CPU")
        rows = value.ndim > 0 and len(value) == len(data)
        subject.require(rows, f"sample draws {name} {tuple(value.shape)} for {len(data)} segments: one row each")
    text = _text(params)
    again = _text(subject.sample(data, seed))
    subject.require(again == text, "the same seed gives other draws: it keeps a state, or draws from elsewhere")
    other = _text(subject.sample(_with_other_pixels(data), seed))
    subject.require(other == text, "other pixels give other draws: sample looks at more than the shape")
    return params


def _drawn(params: Params, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Name and value of every tensor."""
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Params):
                yield from _drawn(item, f"{prefix}{field.name}.")
            else:
                yield prefix + field.name, item


def _text(params: Params) -> str:
    """All that was drawn, to be compared."""
    return json.dumps(params.as_dict())


def _with_other_pixels(data: Data) -> Data:
    """A batch of the same shape in which everything else is different."""
    if isinstance(data, RealFakePair):
        return RealFakePair(
            data.real, data.fake.replace(frames=1 - data.fake.frames, landmarks=data.fake.landmarks + 1)
        )
    return forged(data.replace(frames=1 - data.frames, landmarks=data.landmarks + 1))


def check_replay(subject: Subject, data: Data, params: Params, seed: int) -> Data:
    """Applying is a pure function, and calling is drawing and applying. Gives what comes out."""
    before, drawn = copy_of(data), _text(params)
    try:
        out = subject.apply(data, params)
    except (TypeError, ValueError) as error:
        message = f"apply refuses what sample drew for: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    changed = difference(before, data)
    subject.require(not changed, f"apply modifies what it is given: {changed}")
    subject.require(_text(params) == drawn, "apply modifies its params")
    kept = copy_of(out)
    # Whatever is kept between calls is something else after these two.
    subject.sample(data[:1], seed + 1000)
    subject.apply(_with_other_pixels(data), params)
    changed = difference(kept, out)
    subject.require(not changed, f"apply writes into a result that it gave before: {changed}")
    changed = difference(kept, subject.apply(data, params))
    subject.require(not changed, f"the same params give another result the second time: {changed}")
    subject.require(callable(subject.what), "cannot be called: __call__ draws and applies")
    changed = difference(kept, subject.what(data, generator=generator_for(seed, "check")))
    subject.require(not changed, f"calling it is not sample and apply: {changed}")
    return out


def check_result(subject: Subject, data: Data, out: Data) -> None:
    """Dtype, device, range and shape of all that comes out."""
    given = data.fake if isinstance(data, RealFakePair) else data
    shape_after = subject.what.shape_after(given)
    for twin, segment in segments_of(out).items():
        subject.require(len(segment) == len(given), f"{len(given)} segments become {len(segment)}")
        for name, value in tensors(segment).items():
            want, said = getattr(given, name), tuple(getattr(shape_after, name).shape)
            subject.require(value.dtype == want.dtype, f"{twin}{name} comes out as {value.dtype}, not {want.dtype}")
            subject.require(value.device == want.device, f"{twin}{name} comes out on {value.device}, not {want.device}")
            message = f"{twin}{name} comes out {tuple(value.shape)}, but shape_after says {said}"
            subject.require(tuple(value.shape) == said, message)
        for name in _SHARES:
            value = getattr(segment, name)
            subject.require(value.isfinite().all(), f"{twin}{name} comes out with values that are not finite")
            low, high = (float(value.min()), float(value.max())) if value.numel() else (0.0, 0.0)
            subject.require(low >= 0 and high <= 1, f"{twin}{name} comes out in [{low:g}, {high:g}], not in [0, 1]")
        seen = segment.landmarks[segment.valid]
        subject.require(seen.isfinite().all(), f"{twin}landmarks of valid frames come out not finite")


def check_batch(subject: Subject, data: Data, params: Params, out: Data, *, atol: float) -> None:
    """A part of the batch with its part of the params gives its part of the result."""
    numbers = torch.arange(len(data))
    for rows in (*numbers[:, None], numbers.flip(0)):
        there = rows.to(frames_of(data).device)
        apart = difference(out[there], subject.apply(data[there], params[rows]), atol)
        subject.require(not apart, f"a segment comes out differently in another batch: {apart}")


def check_half(subject: Subject, data: Data, params: Params, out: Data) -> None:
    """Half precision gives nearly the same, in half precision."""
    for dtype in (torch.float16, torch.bfloat16):
        given = data.to(dtype=dtype)
        try:
            half = subject.apply(given, params)
        except (RuntimeError, TypeError) as error:
            raise AssertionError(f"{subject.what!r}: frames of {dtype} do not work: {error}") from error
        check_result(subject, given, half)
        for name, value in tensors(out).items():
            far = (tensors(half)[name].double() - value.double()).abs().nan_to_num()
            far = far.mean() if far.numel() else far.sum()
            subject.require(far <= _HALF_STEP, f"{dtype} changes {name} by {float(far):.2g} in the mean")


def check_autocast(subject: Subject, data: Data, params: Params, out: Data, seed: int) -> None:
    """Inside autocast, draws and results are bit-identical to those outside."""
    low = torch.bfloat16
    with torch.autocast("cpu", low), torch.autocast(frames_of(data).device.type, low):
        drawn, cast = subject.sample(data, seed), subject.apply(data, params)
    subject.require(_text(drawn) == _text(params), "inside torch.autocast the same seed gives other draws")
    changed = difference(out, cast)
    subject.require(not changed, f"inside torch.autocast the same params give another result: {changed}")


def check_empty_batch(subject: Subject, data: Data, seed: int) -> None:
    """A batch without a segment comes back, in the right shape."""
    empty = data[:0]
    try:
        out = subject.apply(empty, subject.sample(empty, seed))
    except FAILURES as error:
        message = f"an empty batch does not come back: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    check_result(subject, empty, out)


def check_single_frame(subject: Subject, data: Data, seed: int) -> None:
    """Segments of one frame work, or are a ValueError."""

    def first(segment: Segment) -> Segment:
        rest = {name: value[:, :1] for name, value in tensors(segment).items() if name != "label"}
        return segment.replace(**rest)

    single = each(data, first)
    try:
        out = subject.apply(single, subject.sample(single, seed))
    except ValueError:
        return
    except (RuntimeError, IndexError) as error:
        message = f"one frame neither works nor is a ValueError: {type(error).__name__}: {error}"
        raise AssertionError(f"{subject.what!r}: {message}") from error
    check_result(subject, single, out)


def check_gradient(subject: Subject, data: Data, params: Params) -> None:
    """Gradients reach the frames."""
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
    """Applying does not look at values on the device."""
    try:
        # Tensors of this device have no values: whoever looks at one fails.
        subject.apply(data.to("meta"), params)
    except (RuntimeError, ValueError) as error:
        raise AssertionError(
            f"{subject.what!r}: apply looks at values on the device, or mixes devices: {error}"
        ) from error
