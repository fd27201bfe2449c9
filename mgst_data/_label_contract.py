"""The contract of augmentations for labels, masks and landmarks, checked on pictures that encode pixel positions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_data._contract import Subject
from mgst_data._painted import (
    DARKER,
    Data,
    difference,
    example_pair,
    forged,
    landmarks_in_picture,
    mask_in_picture,
    picture_of_mask,
    picture_of_places,
    plain,
    unforged,
)
from mgst_data.augment import Params
from mgst_data.core import RealFakePair, Segment
from mgst_data.core.labels import patches

# Largest difference between sums of float32.
_ROUNDING = 1e-3
# Smallest share of the variance of its picture that a mask must explain; largest offset in pixels; share from which on
# the offset is checked.
_EXPLAINED, _BESIDE, _CERTAIN = 0.3, 0.4, 0.99


def check_labels(subject: Subject, data: Data, params: Params, *, exact_mask: bool) -> None:
    """Checks what is labelled real and fake, and where, by the kind of the augmentation."""
    if isinstance(data, RealFakePair):
        _check_pair(subject, data, params, exact_mask=exact_mask)
        return
    real = unforged(data)
    out = subject.apply(real, params)
    if isinstance(out, RealFakePair):
        _check_real_and_fake(subject, out, exact_mask=exact_mask)
        return
    if subject.what.makes_fakes:
        _check_consistent(subject, out)
        if exact_mask:
            _check_marks(subject, real, out)
    else:
        _check_real(subject, out, "a real segment")
        _check_fakes(subject, data, params)
        _check_landmarks(subject, real, params)
    _check_pair(subject, example_pair(data), params, exact_mask=exact_mask)


def _check_real_and_fake(subject: Subject, pair: RealFakePair, *, exact_mask: bool) -> None:
    """Checks that a pair is real and fake, as its mask says."""
    _check_real(subject, pair.real, "the paired real segment")
    _check_consistent(subject, pair.fake)
    if exact_mask:
        _check_marks(subject, pair.real, pair.fake)


def _check_pair(subject: Subject, pair: RealFakePair, params: Params, *, exact_mask: bool) -> None:
    """Checks the result for real-fake pairs."""
    making = subject.what.makes_fakes
    for given in (pair,) if making else (pair, RealFakePair(pair.real, pair.real), RealFakePair(pair.fake, pair.fake)):
        out = subject.of(RealFakePair, subject.apply(given, params), "apply turns a real-fake pair into")
        if given is not pair:
            apart = difference(out.real, out.fake)
            subject.require(
                not apart, f"the two segments of a pair are equal before apply but differ after it: {apart}"
            )
        elif making:
            changed = difference(pair.real, out.real)
            subject.require(not changed or not exact_mask, f"the paired real segment is changed: {changed}")
            _check_real_and_fake(subject, out, exact_mask=exact_mask)
        else:
            _check_real_and_fake(subject, out, exact_mask=False)


def _check_real(subject: Subject, segment: Segment, what: str) -> None:
    for name in ("label", "frame_label", "patch_label", "mask"):
        highest = float(getattr(segment, name).max())
        subject.require(highest == 0, f"{what} has a {name} of {highest:g} after apply")


def _check_consistent(subject: Subject, segment: Segment, *, exact: bool = False) -> None:
    """Checks that labels agree with each other.

    Patch labels must reach the mean of the mask; with ``exact`` they must be equal to it.
    """
    masked = segment.mask.flatten(2).amax(dim=2) > 0
    subject.require((segment.frame_label[masked] == 1).all(), "frame_label is not 1 in frames whose mask is not 0")
    agree = (segment.label > 0) == (segment.frame_label > 0).any(dim=1)
    subject.require(agree.all(), "label and frame_label do not agree on which segments are fake")
    beyond = segment.patch_label - patches(segment.mask, segment.patch_label.shape[-1])
    if not exact:
        # A patch may be labelled 1 although only some of its pixels are manipulated.
        beyond = beyond.masked_fill((beyond > 0) & (beyond < segment.patch_label), 0)
    worst = float(beyond.abs().max())
    subject.require(worst <= _ROUNDING, f"patch_label and the mean of the mask over the patch differ by {worst:.2g}")


def _check_marks(subject: Subject, real: Segment, fake: Segment) -> None:
    """Checks that exactly the pixels, frames and segments that differ from the real segment are marked."""
    if real.frames.shape != fake.frames.shape:
        return
    changed = (real.frames != fake.frames).any(dim=2)
    outside = int((changed & (fake.mask[:, :, 0] <= 0)).sum())
    subject.require(not outside, f"{outside} pixels are changed where the mask is 0")
    frames, marked = changed.flatten(2).any(dim=2), fake.frame_label > 0
    count = int((frames & ~marked).sum())
    subject.require(not count, f"{count} frames are changed although their frame_label is 0")
    count = int((marked & ~frames).sum())
    subject.require(not count, f"{count} frames have a frame_label although nothing in them is changed")
    wrong = int((fake.label != frames.any(dim=1).to(fake.label)).sum())
    subject.require(not wrong, f"{wrong} segments have a wrong label: 1 if something in them is changed, otherwise 0")


def _check_fakes(subject: Subject, data: Segment, params: Params) -> None:
    """Checks that fakes stay fake if any of their pixels are left, and that masks move with pixels.

    Fakes with a known mask and fakes without one are checked.
    """
    fake = forged(data)
    bright, dark = picture_of_mask(fake)
    out, other = (subject.to_segment(picture, params) for picture in (bright, dark))
    live = (out.frames != other.frames).any(dim=2)
    _check_consistent(subject, out, exact=True)
    for i in range(len(out)):
        explained, (right, down) = mask_in_picture(out.frames[i], out.mask[i], live[i])
        message = f"the mask does not move with the pixels: it explains {max(explained, 0):.0%} of a picture of itself"
        subject.require(explained >= _EXPLAINED, message)
        message = (
            f"the mask is {right:+.1f} pixels right and {down:+.1f} pixels down from the pixels that it belongs to"
        )
        # If the picture contains much else, for example blocks of a codec, the offset is not accurate.
        subject.require(explained < _CERTAIN or max(abs(right), abs(down)) <= _BESIDE, message)
    one = torch.ones_like(fake.frame_label)
    whole = bright.replace(mask=torch.zeros_like(fake.mask), patch_label=torch.ones_like(fake.patch_label))
    whole = subject.to_segment(whole.replace(label=one[:, 0], frame_label=one), params)
    _check_whole(subject, whole, (out.frames - other.frames).abs().mean(dim=2))


def _check_whole(subject: Subject, out: Segment, left: Float[Tensor, "b t h w"]) -> None:
    """Checks a fake without a known mask. ``left`` is how much is left of a difference between all of its pixels."""
    # The contrast may be lower everywhere; where much less is left than elsewhere, pixels are erased.
    usual = left.float().flatten(1).quantile(0.9, dim=1)
    alive = (left > usual[:, None, None, None] / 2) & (usual > DARKER / 10)[:, None, None, None]
    share = patches(alive[:, :, None].to(out.frames), out.patch_label.shape[-1])
    frames = share.mean(dim=(2, 3)) > 0.5
    # Pixels of a neighbouring patch may be mixed into an erased patch.
    inner = -functional.max_pool2d(-share, 3, 1, 1) >= 1
    message = "a fake without a mask becomes real although its pixels are left: {} is lowered"
    subject.require((out.frame_label[frames] == 1).all(), message.format("frame_label"))
    subject.require((out.label[frames.any(dim=1)] == 1).all(), message.format("label"))
    subject.require((out.patch_label[inner] > 0.5).all(), message.format("patch_label"))


def _check_landmarks(subject: Subject, real: Segment, params: Params) -> None:
    """Checks that landmarks move with their pixels. The pictures show this only if colours are kept."""
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
            f"landmarks do not move with the pixels: they are {right:+.1f} pixels right and {down:+.1f} pixels down"
            f" from them on average, and {distance:.1f} pixels away in the median"
        )
        subject.require(max(abs(right), abs(down)) <= _BESIDE and distance <= 1, message)
