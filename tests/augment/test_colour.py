"""Colour spaces agree with OpenCV and scikit-image, are invertible, keep their dtype, and have finite gradients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color
from skimage.data import astronaut
from torch import Tensor

from mgst_data.augment.functional.colour import (
    lab_to_rgb,
    luminance,
    match_colour,
    rgb_to_lab,
    rgb_to_ycbcr,
    shift_hsv,
    ycbcr_to_rgb,
)

HALVES = (torch.float16, torch.bfloat16)
CONVERSIONS = (luminance, rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_lab, lab_to_rgb)


def pictures(*leading: int, size: int = 16, seed: int = 0) -> Tensor:
    """Random colours; the first ones are black, white, a grey and the corners of the cube."""
    rgb = torch.rand(*leading, 3, size, size, generator=torch.Generator().manual_seed(seed))
    special = torch.tensor(
        [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1)]
    )
    rgb[..., 0, :8] = special.T
    return rgb


def opencv(rgb: Tensor, code: int) -> Tensor:
    """What OpenCV makes of one picture (3, h, w)."""
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(rgb.permute(1, 2, 0).numpy()), code)).movedim(-1, 0)


def zero() -> Tensor:
    return torch.zeros(())


@settings(max_examples=30, deadline=None)
@given(st.floats(-2, 2), st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 5))
def test_hsv_is_shifted_as_through_opencv(hue, saturation, value, seed):
    rgb = pictures(seed=seed)
    hsv = opencv(rgb, cv2.COLOR_RGB2HSV).clone()
    hsv[0] = torch.remainder(hsv[0] + 360 * hue, 360)
    hsv[1] = (hsv[1] + saturation).clamp(0, 1)
    hsv[2] = (hsv[2] + value).clamp(0, 1)
    shifted = shift_hsv(rgb, *(torch.tensor(x) for x in (hue, saturation, value)))
    torch.testing.assert_close(shifted, opencv(hsv, cv2.COLOR_HSV2RGB), atol=5e-4, rtol=0)


UNITS = (180.0, 255.0, 255.0)


@pytest.mark.parametrize("shift", [(0.2, 0.3, 0.1), (-0.2, -0.3, -0.1), (0.2, -0.3, 0.1), (1.4, -2.7, 3.2)])
def test_hsv_of_8_bits_is_that_of_opencv(shift):
    """The picture is natural: with strong colours, OpenCV's hue is often a unit off, which is up to 8 levels there."""
    picture = np.ascontiguousarray(astronaut()[:128, 150:278])
    theirs = torch.from_numpy(reference.shift_hsv(picture, np.array(shift))).movedim(-1, 0).float()
    units = (torch.tensor(value / unit) for value, unit in zip(shift, UNITS, strict=True))
    ours = 255 * shift_hsv(torch.from_numpy(picture).movedim(-1, 0) / 255, *units, levels=UNITS)
    apart = (ours - theirs).abs()
    assert float((apart < 1).float().mean()) > 0.998
    assert float(apart.mean()) < 0.5


def test_values_that_8_bits_can_hold_are_kept():
    levels = torch.arange(256) / 255
    grey = levels.expand(3, 1, 256).contiguous()
    torch.testing.assert_close(shift_hsv(grey, zero(), zero(), zero(), levels=UNITS), grey, atol=1e-6, rtol=0)
    pure = torch.stack((levels, torch.zeros(256), torch.zeros(256)))[:, None]
    torch.testing.assert_close(shift_hsv(pure, zero(), zero(), zero(), levels=UNITS), pure, atol=1e-6, rtol=0)
    darker = shift_hsv(grey, zero(), zero(), torch.tensor(-0.1 / 255), levels=UNITS)
    torch.testing.assert_close(darker, (grey - 1 / 255).clamp_min(0), atol=1e-6, rtol=0)


def test_no_shift_changes_nothing(device):
    rgb = pictures(2, 3).to(device)
    torch.testing.assert_close(shift_hsv(rgb, zero(), zero(), zero()), rgb, atol=1e-6, rtol=0)


def test_a_third_of_the_circle_moves_every_channel_to_the_next():
    rgb = pictures()
    torch.testing.assert_close(
        shift_hsv(rgb, torch.tensor(1 / 3), zero(), zero()), rgb.roll(1, dims=0), atol=1e-5, rtol=0
    )


def test_a_grey_has_the_hue_of_red():
    grey = torch.full((3, 2, 2), 0.5)
    red = shift_hsv(grey, zero(), torch.tensor(0.4), zero())
    torch.testing.assert_close(red[:, 0, 0], torch.tensor((0.5, 0.3, 0.3)))
    torch.testing.assert_close(shift_hsv(grey, torch.tensor(0.3), zero(), zero()), grey)


def test_shifts_hold_for_the_leading_dimensions():
    rgb = pictures(2, 3)
    each = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    by_frame = shift_hsv(rgb, each, each / 2, -each / 2)
    alone = shift_hsv(rgb[1, 2], each[1, 2], each[1, 2] / 2, -each[1, 2] / 2)
    torch.testing.assert_close(by_frame[1, 2], alone)
    by_segment = shift_hsv(rgb, each[:, 0], each[:, 0], each[:, 0])
    assert torch.equal(by_segment, shift_hsv(rgb, each[:, :1], each[:, :1], each[:, :1]))
    assert torch.equal(by_segment[1], shift_hsv(rgb[1], each[1, 0], each[1, 0], each[1, 0]))


def test_luminance_and_ycbcr_are_those_of_opencv():
    rgb = pictures()
    grey = cv2.cvtColor(np.ascontiguousarray(rgb.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
    torch.testing.assert_close(luminance(rgb)[0], torch.from_numpy(grey), atol=1e-5, rtol=0)
    # OpenCV rounds the factors of chroma to three digits.
    theirs = opencv(rgb, cv2.COLOR_RGB2YCrCb)[[0, 2, 1]]
    torch.testing.assert_close(rgb_to_ycbcr(rgb), theirs, atol=1e-3, rtol=0)


def test_lab_is_that_of_scikit_image_and_nearly_that_of_opencv():
    rgb = pictures()
    exact = torch.from_numpy(color.rgb2lab(rgb.permute(1, 2, 0).double().numpy())).movedim(-1, 0).float()
    torch.testing.assert_close(rgb_to_lab(rgb), exact, atol=0.03, rtol=0)
    # OpenCV looks Lab up in a coarse table; the way back is exact.
    assert (rgb_to_lab(rgb) - opencv(rgb, cv2.COLOR_RGB2Lab)).abs().mean() < 0.1
    torch.testing.assert_close(lab_to_rgb(exact), opencv(exact, cv2.COLOR_Lab2RGB), atol=5e-3, rtol=0)


def test_greys_have_no_chroma():
    grey = torch.linspace(0, 1, 16).expand(3, 16, 16)
    assert rgb_to_lab(grey)[1:].abs().max() < 1e-3
    assert (rgb_to_ycbcr(grey)[1:] - 0.5).abs().max() < 1e-6


@pytest.mark.parametrize(("there", "back"), [(rgb_to_lab, lab_to_rgb), (rgb_to_ycbcr, ycbcr_to_rgb)])
def test_colour_conversions_are_inverses(there, back, device):
    rgb = pictures(2, 3).to(device)
    torch.testing.assert_close(back(there(rgb)), rgb, atol=2e-5, rtol=0)


def test_colours_that_srgb_lacks_are_clamped():
    rgb = lab_to_rgb(torch.tensor((60.0, -150.0, 120.0)).reshape(3, 1, 1))
    assert rgb.min() == 0
    assert rgb.max() <= 1


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_accepted_and_kept(dtype, device):
    rgb = pictures(2, 3).to(device)
    half = rgb.to(dtype)
    for convert in CONVERSIONS:
        assert convert(half).dtype == dtype
    shift = torch.tensor([0.2, -0.1], device=device)
    shifted = shift_hsv(half, shift, shift, shift)
    matched = match_colour(half, half.flip(0), half[..., :1, :, :])
    assert shifted.dtype == matched.dtype == dtype
    torch.testing.assert_close(shifted.float(), shift_hsv(half.float(), shift, shift, shift), atol=4e-3, rtol=0)


def test_inputs_are_not_modified():
    rgb, weight = pictures(2, 3), torch.rand(2, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    before = rgb.clone(), weight.clone()
    for convert in CONVERSIONS:
        convert(rgb)
    shift_hsv(rgb, zero(), zero(), zero())
    match_colour(rgb, rgb, weight)
    assert torch.equal(rgb, before[0])
    assert torch.equal(weight, before[1])


def test_gradients_are_those_of_small_differences():
    """Away from edges of the hexcone and of the curves."""
    rgb = torch.tensor((0.8, 0.5, 0.3, 0.2, 0.6, 0.4), dtype=torch.float64).reshape(2, 3, 1, 1).requires_grad_()
    shift = torch.tensor((0.07, 0.05), dtype=torch.float64, requires_grad=True)
    weight = torch.tensor((0.7, 0.4), dtype=torch.float64).reshape(2, 1, 1, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, s: shift_hsv(x, s, s, s), (rgb, shift))
    for convert in (luminance, rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_lab):
        assert torch.autograd.gradcheck(convert, (rgb,))
    assert torch.autograd.gradcheck(lambda x: lab_to_rgb(rgb_to_lab(x)), (rgb,))
    assert torch.autograd.gradcheck(lambda x, w: match_colour(x, x.flip(0), w, together=(0, 2, 3)), (rgb, weight))


def test_gradients_are_finite_at_every_colour():
    rgb = pictures(2).requires_grad_()
    shift = torch.tensor(0.1, requires_grad=True)
    weight = torch.zeros(2, 1, 16, 16)
    total = shift_hsv(rgb, shift, shift, shift).sum() + match_colour(rgb, rgb.flip(0), weight).sum()
    (total + sum(convert(rgb).sum() for convert in CONVERSIONS)).backward()
    assert rgb.grad is not None
    assert rgb.grad.isfinite().all()
    assert rgb.grad.abs().sum() > 0
    assert shift.grad is not None
    assert shift.grad.isfinite()


def muted(seed: int) -> Tensor:
    """Pictures (2, 3, 3, 16, 16) whose recolouring stays within sRGB."""
    return 0.4 + 0.2 * pictures(2, 3, seed=seed)


def statistics(rgb: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    lab, share = rgb_to_lab(rgb), weight / weight.sum(dim=(-2, -1), keepdim=True)
    mean = (lab * share).sum(dim=(-2, -1), keepdim=True)
    return mean, ((lab - mean).square() * share).sum(dim=(-2, -1)).sqrt()


def test_matched_colours_have_the_weighted_statistics_of_the_target(device):
    source, target = muted(1).to(device), (muted(2) * 0.8 + 0.1).to(device)
    weight = torch.zeros(2, 3, 1, 16, 16, device=device)
    weight[..., 4:12, 3:14] = 0.7
    matched = match_colour(source, target, weight)
    for ours, theirs in zip(statistics(matched, weight), statistics(target, weight), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=0)
    # The rest of the target plays no part.
    assert torch.equal(matched, match_colour(source, target * (weight > 0), weight))


def test_a_picture_matched_to_itself_stays_as_it_is():
    rgb = pictures(2, 3)
    torch.testing.assert_close(match_colour(rgb, rgb, torch.ones(1, 1, 16, 16)), rgb, atol=5e-5, rtol=0)


def test_without_weights_the_source_stays_as_it_is():
    source, weight = pictures(2, seed=1), torch.zeros(2, 1, 16, 16)
    weight[1, :, 3:9, 3:9] = 1
    matched = match_colour(source, pictures(2, seed=2) / 2, weight)
    torch.testing.assert_close(matched[0], source[0], atol=5e-5, rtol=0)
    assert (matched[1] - source[1]).abs().max() > 0.1


def test_a_flat_source_takes_the_mean():
    target = muted(1)[0]
    flat = match_colour(torch.full_like(target, 0.3), target, torch.ones(3, 1, 16, 16))
    torch.testing.assert_close(
        rgb_to_lab(flat).mean(dim=(-2, -1)), rgb_to_lab(target).mean(dim=(-2, -1)), atol=0.05, rtol=0
    )


def test_frames_that_are_matched_together_are_changed_alike():
    """The same frame twice in a segment whose target differs from frame to frame."""
    source, target = muted(1)[:, :1].expand(2, 3, 3, 16, 16), muted(2)
    weight = torch.ones(2, 3, 1, 16, 16)
    together = match_colour(source, target, weight, together=(-4, -2, -1))
    assert torch.equal(together[:, 0], together[:, 1])
    assert torch.equal(together, match_colour(source, target, weight[0, 0], together=(-4, -2, -1)))
    assert not torch.equal(*match_colour(source, target, weight)[0, :2])
