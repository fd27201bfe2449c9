"""What augmentations promise, one function a promise; :func:`mgst_data.testing.check_augmentation` calls them all."""

from __future__ import annotations

import dataclasses
import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_data._painted import (
    DARKER,
    Data,
    copy_of,
    difference,
    each,
    example_pair,
    forged,
    frames_of,
    landmarks_in_picture,
    mask_in_picture,
    picture_of_mask,
    picture_of_places,
    plain,
    segments_of,
    tensors,
    unforged,
)
from mgst_data.augment import Params
from mgst_data.core import RealFakePair, Segment, generator_for
from mgst_data.core.labels import patches

T = TypeVar("T")
_SHARES = ("frames", "mask", "label", "frame_label", "patch_label")
# What half precision may change in the mean; and sums of float32.
_HALF_STEP, _ROUNDING = 0.01, 1e-3
# Share of a picture of a mask that the mask has to explain; pixels that it may lie beside it, where it explains more.
_EXPLAINED, _BESIDE, _CERTAIN = 0.3, 0.4, 0.99


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
    out = subject.apply(data, params)
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
            low, high = float(value.min()), float(value.max())
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
        # Tensors of this device have no values: whoever looks at one fails. Autocast does not know it.
        with mock.patch.object(torch, "autocast", return_value=nullcontext()):
            subject.apply(data.to("meta"), params)
    except (RuntimeError, ValueError) as error:
        raise AssertionError(
            f"{subject.what!r}: apply looks at values on the device, or mixes devices: {error}"
        ) from error


def check_labels(subject: Subject, data: Data, params: Params, *, exact_mask: bool) -> None:
    """What is real, what is fake, and where; by the kind of the augmentation."""
    if isinstance(data, RealFakePair):
        _check_pair(subject, data, params, exact_mask=exact_mask)
        return
    real = unforged(data)
    out = subject.apply(real, params)
    if isinstance(out, RealFakePair):
        _check_twins(subject, out, exact_mask=exact_mask)
        return
    if _makes_fakes(subject.what):
        _check_consistent(subject, out)
        if exact_mask:
            _check_marks(subject, real, out)
    else:
        _check_real(subject, out, "a real segment")
        _check_fakes(subject, data, params)
        _check_landmarks(subject, real, params)
    _check_pair(subject, example_pair(data), params, exact_mask=exact_mask)


def _makes_fakes(step: object) -> bool:
    """Whether an augmentation, or one of those that a sequence is made of, is label-making."""
    return bool(getattr(step, "makes_fakes", False)) or any(map(_makes_fakes, getattr(step, "steps", ())))


def _check_twins(subject: Subject, pair: RealFakePair, *, exact_mask: bool) -> None:
    """Twins are real and fake, and as the mask says."""
    _check_real(subject, pair.real, "the real twin")
    _check_consistent(subject, pair.fake)
    if exact_mask:
        _check_marks(subject, pair.real, pair.fake)


def _check_pair(subject: Subject, pair: RealFakePair, params: Params, *, exact_mask: bool) -> None:
    """What becomes of twins."""
    making = _makes_fakes(subject.what)
    for given in (pair,) if making else (pair, RealFakePair(pair.real, pair.real), RealFakePair(pair.fake, pair.fake)):
        out = subject.of(RealFakePair, subject.apply(given, params), "twins come out as")
        if given is not pair:
            apart = difference(out.real, out.fake)
            subject.require(not apart, f"twins that are the same come out different: {apart}")
        elif making:
            changed = difference(pair.real, out.real)
            subject.require(not changed or not exact_mask, f"the real twin is changed: {changed}")
            _check_twins(subject, out, exact_mask=exact_mask)
        else:
            _check_twins(subject, out, exact_mask=False)


def _check_real(subject: Subject, segment: Segment, what: str) -> None:
    for name in ("label", "frame_label", "patch_label", "mask"):
        highest = float(getattr(segment, name).max())
        subject.require(highest == 0, f"{what} comes out with a {name} of {highest:g}")


def _check_consistent(subject: Subject, segment: Segment, *, exact: bool = False) -> None:
    """Labels say of each other what they should; those of patches at least the mean of the mask, or just that."""
    masked = segment.mask.flatten(2).amax(dim=2) > 0
    subject.require((segment.frame_label[masked] == 1).all(), "frame_label is not 1 in frames whose mask is not 0")
    agree = (segment.label > 0) == (segment.frame_label > 0).any(dim=1)
    subject.require(agree.all(), "label and frame_label do not agree on which segments are fake")
    beyond = segment.patch_label - patches(segment.mask, segment.patch_label.shape[-1])
    if not exact:
        # Patches may be marked as a whole of which only some pixels are manipulated.
        beyond = beyond.masked_fill((beyond > 0) & (beyond < segment.patch_label), 0)
    worst = float(beyond.abs().max())
    subject.require(worst <= _ROUNDING, f"patch_label and the mean of the mask there are {worst:.2g} apart")


def _check_marks(subject: Subject, real: Segment, fake: Segment) -> None:
    """What differs from the real segment is masked, and its frames and segments are marked, and no others are."""
    if real.frames.shape != fake.frames.shape:
        return
    changed = (real.frames != fake.frames).any(dim=2)
    beside = int((changed & (fake.mask[:, :, 0] <= 0)).sum())
    subject.require(not beside, f"{beside} pixels are changed where the mask is 0")
    frames, marked = changed.flatten(2).any(dim=2), fake.frame_label > 0
    count = int((frames & ~marked).sum())
    subject.require(not count, f"{count} frames are changed whose frame_label is 0")
    count = int((marked & ~frames).sum())
    subject.require(not count, f"{count} frames have a frame_label though nothing in them is changed")
    wrong = int((fake.label != frames.any(dim=1).to(fake.label)).sum())
    subject.require(not wrong, f"{wrong} segments have not the label 1 if something in them is changed, and 0 if not")


def _check_fakes(subject: Subject, data: Segment, params: Params) -> None:
    """Fakes stay fake as far as anything is left of them, with a mask or without, and masks go with the pixels."""
    fake = forged(data)
    bright, dark = picture_of_mask(fake)
    out, other = (subject.to_segment(picture, params) for picture in (bright, dark))
    live = (out.frames != other.frames).any(dim=2)
    _check_consistent(subject, out, exact=True)
    for i in range(len(out)):
        explained, (right, down) = mask_in_picture(out.frames[i], out.mask[i], live[i])
        message = f"the mask does not go with the pixels: it explains {max(explained, 0):.0%} of a picture of itself"
        subject.require(explained >= _EXPLAINED, message)
        message = f"the mask lies {right:+.1f} pixels across and {down:+.1f} down beside the pixels it belongs to"
        # Where much else is in the picture, blocks of a codec for one, its place is not that certain.
        subject.require(explained < _CERTAIN or max(abs(right), abs(down)) <= _BESIDE, message)
    one = torch.ones_like(fake.frame_label)
    whole = bright.replace(mask=torch.zeros_like(fake.mask), patch_label=torch.ones_like(fake.patch_label))
    whole = subject.to_segment(whole.replace(label=one[:, 0], frame_label=one), params)
    _check_whole(subject, whole, (out.frames - other.frames).abs().mean(dim=2))


def _check_whole(subject: Subject, out: Segment, left: Float[Tensor, "b t h w"]) -> None:
    """A fake of which no mask is known; ``left`` says how much is left of a difference between all of its pixels."""
    # Colours may be paler throughout; where much less is left than elsewhere, pixels are erased.
    usual = left.float().flatten(1).quantile(0.9, dim=1)
    alive = (left > usual[:, None, None, None] / 2) & (usual > DARKER / 10)[:, None, None, None]
    share = patches(alive[:, :, None].to(out.frames), out.patch_label.shape[-1])
    frames = share.mean(dim=(2, 3)) > 0.5
    # An erased patch may shine through from the one beside it.
    inner = -functional.max_pool2d(-share, 3, 1, 1) >= 1
    message = "a fake without a mask comes out real, though its pixels are left: {} falls"
    subject.require((out.frame_label[frames] == 1).all(), message.format("frame_label"))
    subject.require((out.label[frames.any(dim=1)] == 1).all(), message.format("label"))
    subject.require((out.patch_label[inner] > 0.5).all(), message.format("patch_label"))


def _check_landmarks(subject: Subject, real: Segment, params: Params) -> None:
    """Landmarks go where their pixels go. Only where colours stay can pictures tell."""
    if real.landmarks.shape[2] == 0:
        return
    bright, dark = (subject.to_segment(picture, params).frames for picture in picture_of_mask(real))
    live = (bright != dark).any(dim=2)
    colour = plain(real).frames[:1, :1, :, :1, :1]
    out = subject.to_segment(plain(real), params).frames
    if bool((((out - colour).abs() * live[:, :, None]) > 2 * _ROUNDING).any()):
        return
    places = picture_of_places(real)
    for offset, distance in landmarks_in_picture(places, subject.to_segment(places, params), live):
        right, down = offset.tolist()
        message = (
            f"landmarks do not go with the pixels: they lie {right:+.1f} pixels across and {down:+.1f} down"
            f" beside them in the mean, {distance:.1f} away in the median"
        )
        subject.require(max(abs(right), abs(down)) <= _BESIDE and distance <= 1, message)
