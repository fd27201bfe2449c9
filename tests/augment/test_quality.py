"""Blends whose sides differ in quality."""

from dataclasses import replace

import pytest
import torch

from mgst_data.augment import BlendMask, GaussianBlur, Jpeg, OneOf, Recolour, SelfBlend, SourceWarp, TubeSwap

PLAIN = SelfBlend(
    mask=BlendMask(regions={"hull": 1.0}, ratios=(1.0,)),
    warp=SourceWarp(translation=(0, 0), scale_range=(1, 1)),
    recolour=Recolour(rgb_p=0, hsv_p=0, contrast_p=0, degrade_p=0),
    frame_mask={"all": 1.0},
    drift=0.0,
)
BLUR = GaussianBlur(sigma_range=(2.0, 2.0))


@pytest.fixture
def real(make_segment):
    return make_segment(2, 3, size=128)


def test_without_other_changes_a_blend_of_one_quality_changes_nothing(real, generator):
    pair = PLAIN(real, generator=generator)
    torch.testing.assert_close(pair.fake.frames, pair.real.frames, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_only_one_side_has_the_other_quality(real, generator, side):
    blend = replace(PLAIN, quality=BLUR, recolour_source=side)
    params = blend.sample(real, generator)
    pair = blend.apply(real, params)
    blurred = BLUR.apply(real, params.quality[0]).frames
    target, source = (real.frames, blurred) if side else (blurred, real.frames)
    torch.testing.assert_close(pair.real.frames, target)
    inside = (pair.fake.mask > 0.999).expand_as(source)
    assert inside.any()
    torch.testing.assert_close(pair.fake.frames[inside], source[inside], rtol=0, atol=1e-2)
    outside = (pair.fake.mask == 0).expand_as(source)
    assert torch.equal(pair.fake.frames[outside], pair.real.frames[outside])


def test_frames_without_a_face_keep_their_quality(real, generator):
    valid = real.valid.clone()
    valid[:, 0] = False
    given = real.replace(valid=valid)
    pair = replace(PLAIN, quality=BLUR)(given, generator=generator)
    assert torch.equal(pair.real.frames[:, 0], given.frames[:, 0])
    assert torch.equal(pair.fake.frames[:, 0], given.frames[:, 0])


def test_the_quality_is_part_of_the_parameters(real, generator):
    blend = replace(PLAIN, quality=OneOf(BLUR, Jpeg()))
    params = blend.sample(real, generator)
    assert len(params[:1]) == 1
    first = blend.apply(real, params)
    assert torch.equal(first.fake.frames, blend.apply(real, params).fake.frames)


def test_a_quality_must_be_label_preserving():
    with pytest.raises(TypeError, match="label-preserving"):
        SelfBlend(quality=TubeSwap())
