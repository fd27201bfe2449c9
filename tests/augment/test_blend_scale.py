"""A blend depends on the face alone: it is the same at another margin, on an extended picture, and at another size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from mgst_data.augment import Recolour, SelfBlend
from mgst_data.augment.blend.regions import reference_side
from mgst_data.core import Segment, generator_for

PLAIN = Recolour(rgb_p=0.0, hsv_p=0.0, contrast_p=0.0, degrade_p=0.0)


def extended(segment, left, top, right, bottom):
    """The same faces in a larger picture, whose border is repeated."""
    b, t = segment.frames.shape[:2]
    wide = functional.pad(segment.frames.flatten(0, 1), (left, right, top, bottom), mode="replicate")
    return Segment.of(wide.reshape(b, t, *wide.shape[1:]), segment.landmarks + torch.tensor((left, top)))


def blended(blend, segment, seed=3):
    """A blend with the draws of a seed, which do not depend on the size of the picture."""
    return blend.apply(segment, blend.sample(segment, generator_for(seed)))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("extent", [(0, 0, 56, 24), (32, 16, 8, 40)])
@pytest.mark.parametrize("preset", ["sbi", "frame_random"])
def test_a_blend_on_a_larger_picture_is_the_same_blend(preset, extent, at_once, make_segment):
    segment = make_segment(6, 2, 200)
    left, top, *_ = extent
    blend = SelfBlend.preset(preset)
    # With gradients, the batch is blended at once and not in tiles.
    narrow, wide = (
        blended(blend, given.replace(frames=given.frames.requires_grad_(at_once)))
        for given in (segment, extended(segment, *extent))
    )
    # Scaling by 4 interpolates between blocks, which end at the border of the smaller picture.
    inner = slice(4, 196)
    for mine, others in ((narrow.real, wide.real), (narrow.fake, wide.fake)):
        for name in ("frames", "mask"):
            values, more = getattr(mine, name), getattr(others, name)[..., top : top + 200, left : left + 200]
            torch.testing.assert_close(more[..., inner, inner], values[..., inner, inner], rtol=0, atol=2e-3)
    assert narrow.fake.mask.flatten(2).amax(dim=2).any()


def test_any_other_margin_gives_nearly_the_same_mask(make_segment):
    """Masks are made at half resolution, so an odd shift moves their edge by less than a pixel."""
    segment = make_segment(6, 1, 200)
    masks = [blended(SelfBlend.preset("sbi"), one).fake.mask for one in (segment, extended(segment, 31, 17, 12, 5))]
    apart = (masks[1][..., 17:217, 31:231] - masks[0]).abs()
    slope = torch.maximum(masks[0].diff(dim=-1).abs().amax(), masks[0].diff(dim=-2).abs().amax())
    assert float(apart.mean()) < 0.002
    assert float(apart.max()) < float(slope)


@pytest.mark.parametrize("preset", ["sbi", "consistent"])
def test_strengths_grow_with_the_face(preset, make_segment):
    """At twice the size, a blend is twice as large in pixels; the mask is then made at half resolution."""
    segment = make_segment(8, 1, 128, noise=0.0)
    large = functional.interpolate(segment.frames[:, 0], scale_factor=2, mode="bilinear", align_corners=False)
    double = Segment.of(large[:, None], (segment.landmarks + 0.5) * 2 - 0.5)
    blend = replace(SelfBlend.preset(preset), recolour=PLAIN)
    small, large = blended(blend, segment), blended(blend, double)
    halved = functional.avg_pool2d(large.fake.mask.flatten(0, 1), 2)
    assert float((halved - small.fake.mask.flatten(0, 1)).abs().mean()) < 0.004
    moved, still = ((pair.fake.frames - pair.real.frames).flatten(0, 1) for pair in (large, small))
    again = functional.avg_pool2d(moved, 2)
    # Without changes of colour, only the motion of the source changes pixels.
    assert float((again - still).abs().mean()) < 0.2 * float(still.abs().mean())


def test_the_reference_picture_is_that_of_self_blended_images(make_segment):
    segment = make_segment(2, 3, 100)
    face = segment.landmarks[:, 0]
    width, height = (face.amax(dim=1) - face.amin(dim=1)).unbind(dim=-1)
    every = torch.ones(2, 3, dtype=torch.bool)
    side = reference_side(segment.landmarks, every)
    torch.testing.assert_close(side, (2 * width + 2.4 * height) / 2)
    torch.testing.assert_close(reference_side(segment.landmarks + 40, every), side)
    torch.testing.assert_close(reference_side(segment.landmarks * 3, every), 3 * side)


def test_the_reference_picture_ignores_frames_without_a_face_and_the_forehead(make_segment):
    landmarks = make_segment(1, 3, 100, k=81).landmarks
    seen = torch.tensor([[True, False, True]])
    wrong = landmarks.clone()
    wrong[0, 1] = 0
    every = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(reference_side(wrong, seen), reference_side(landmarks[:, :, :68], every))
    assert reference_side(wrong, torch.zeros_like(every)).tolist() == [1.0]


def test_the_source_moves_by_a_share_of_the_reference_picture():
    warp = SelfBlend.preset("sbi").warp
    params = warp.sample(2000, 1, lambda shape: torch.zeros(2000, 1, *shape), generator_for(0))
    matrix = warp.matrix(torch.zeros(2000, 1, 2), torch.full((2000,), 200.0), params)
    # The matrix maps output pixels to input pixels: the shift is divided by the scale factor, and reversed.
    shift = -matrix[:, 0, :, 2] * params.scale[:, None]
    assert float(shift[:, 0].abs().max()) == pytest.approx(0.03 * 200, rel=0.01)
    assert float(shift[:, 1].abs().max()) == pytest.approx(0.015 * 200, rel=0.01)
