"""Parts of a blend: place of the mask, regions, source motion, recolouring, Laplacian pyramid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference
import torch

from mgst_data.augment import REGIONS, BlendMask, Donor, Recolour, SelfBlend
from mgst_data.augment.blend.pixels import BlendPixels
from mgst_data.augment.blend.regions import region_hulls
from mgst_data.augment.functional.pyramid import pyramid_blend
from mgst_data.augment.functional.scale import coarsen, sharpen
from mgst_data.core import Segment
from mgst_data.core.polygons import hull_mask


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("size", [(96, 96), (256, 256), (201, 230), (120, 91)])
def test_a_mask_lies_on_the_face(size, at_once, make_segment, generator):
    face = make_segment(2, 1, min(size)).landmarks[:, 0]
    none = {"landmark_drift_range": (0.0, 0.0), "edge_drift": 0.0, "ratio_drift": 0.0, "elastic": (0.0, 7.0)}
    kernels = {"shrink_range": (5, 5), "soften_range": (5, 5), "sigma_range": (5.0, 5.0), "ratios": (1.0,)}
    blend = SelfBlend(mask=BlendMask(regions={"hull": 1.0}, **kernels, **none), frame_mask={"all": 1.0}, drift=0.0)
    # With gradients, the batch is blended at once and not in tiles.
    frames = torch.rand(2, 3, *size, generator=generator).requires_grad_(at_once)
    found = blend(Segment.of(frames, face), generator=generator).fake.mask
    assert found.shape[-2:] == size

    def centre(mask):
        at = (torch.arange(n) for n in mask.shape[-2:])
        return torch.stack([(place * mask).sum(dim=(1, 2)) for place in torch.meshgrid(*at, indexing="ij")]) / mask.sum(
            dim=(1, 2)
        )

    torch.testing.assert_close(centre(found[:, 0, 0]), centre(hull_mask(face, size).float()), rtol=0, atol=0.5)


def laplacian_bands(picture, levels):
    """The bands of one picture, the finest first [Burt & Adelson, 1983]."""
    bands = []
    while len(bands) < levels - 1 and min(picture.shape[-2:]) >= 4:
        small = torch.nn.functional.avg_pool2d(picture, 2, ceil_mode=True)
        bands.append(picture - torch.nn.functional.interpolate(small, size=picture.shape[-2:], mode="bilinear"))
        picture = small
    return [*bands, picture]


@pytest.mark.parametrize("size", [(32, 32), (25, 38), (7, 30), (3, 3)])
@pytest.mark.parametrize("levels", [1, 3, 5])
def test_a_pyramid_blends_each_band_with_the_mask_of_its_resolution(size, levels, generator):
    target, source = (0.3 + 0.4 * torch.rand(2, 3, *size, generator=generator) for _ in range(2))
    mask, weights = torch.rand(2, 1, *size, generator=generator), []
    for _ in range(levels):
        weights.append(weights[-1] if weights else mask)
        if len(weights) > 1:
            weights[-1] = torch.nn.functional.avg_pool2d(weights[-1], 2, ceil_mode=True)
    of_target, of_source = laplacian_bands(target, levels), laplacian_bands(source, levels)
    mixed = [torch.lerp(a, b, w) for a, b, w in zip(of_target, of_source, weights, strict=False)]
    wanted = mixed.pop()
    while mixed:
        band = mixed.pop()
        wanted = torch.nn.functional.interpolate(wanted, size=band.shape[-2:], mode="bilinear") + band
    torch.testing.assert_close(pyramid_blend(target, source, mask, levels), wanted.clamp(0, 1), rtol=0, atol=1e-5)


def test_a_pyramid_is_shown_alone_from_a_mask_weight_of_a_quarter_on(make_segment, generator):
    target, source = (make_segment(2, 2, 64, seed=seed).frames for seed in (0, 1))
    mask = torch.rand(2, 2, 1, 64, 64, generator=generator)
    mask[..., :32] *= 0.3
    params = SelfBlend(pyramid=1.0).sample(make_segment(2, 2, 64), generator)
    still = torch.eye(2, 3).expand(2, 2, 2, 3)
    found, plain = (
        BlendPixels(Recolour(), Donor(), match_colour=False, pyramid=banded).mixed(target, source, still, mask, params)
        for banded in (True, False)
    )
    torch.testing.assert_close(plain, torch.lerp(target, source, mask), rtol=0, atol=1e-5)
    banded = pyramid_blend(*(item.flatten(0, 1) for item in (target, source, mask)), 5).reshape(target.shape)
    torch.testing.assert_close(found, torch.lerp(target, banded, (4 * mask).clamp(max=1)), rtol=0, atol=1e-5)


def test_recolouring_draws_both_directions_within_its_strengths(generator):
    always = Recolour(rgb_p=1.0, hsv_p=1.0, contrast_p=1.0)
    drawn = always.sample(2000, generator)
    for values, middle, strength in (
        (drawn.rgb_shift, 0, 20 / 255),
        (drawn.hsv_shift[:, 0], 0, 0.3 / 180),
        (drawn.hsv_shift[:, 1:], 0, 0.3 / 255),
        (drawn.contrast, 1, 0.1),
        (drawn.brightness, 0, 0.1),
        (drawn.alpha, 0.35, 0.15),
        (drawn.lightness, 0.75, 0.25),
    ):
        scaled = (values - middle) / strength
        assert 0.99 < float(scaled.max()) <= 1 + 1e-4
        assert -1 - 1e-4 <= float(scaled.min()) < -0.99
        assert float(scaled.mean()) == pytest.approx(0, abs=0.05)
    assert set(drawn.factor.tolist()) == {2, 4}
    assert [float((drawn.degrade == kind).float().mean()) for kind in range(3)] == pytest.approx(
        [0, 0.5, 0.5], abs=0.04
    )
    some = Recolour().sample(4000, generator)
    shares = [(some.rgb_shift != 0).all(dim=1), some.hsv, some.contrast != 1, some.brightness != 0]
    assert [float(share.float().mean()) for share in shares] == pytest.approx([0.3, 1, 1, 1], abs=0.03)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("contrast", 0.8, lambda frames: 0.8 * frames),
        ("contrast", 1.2, lambda frames: 1.2 * frames),
        ("brightness", -0.1, lambda frames: frames - 0.1),
        ("rgb_shift", -0.05, lambda frames: frames - 0.05),
    ],
)
def test_each_change_of_colour_is_made_alone(name, value, expected, make_segment, generator):
    frames = make_segment(2, 2, 32).frames
    none = Recolour(rgb_p=0.0, hsv_p=0.0, contrast_p=0.0, degrade_p=0.0)
    params = none.sample(2, generator)
    assert torch.equal(none.apply(frames, params), frames)
    params = dataclasses.replace(params, **{name: torch.full_like(getattr(params, name), value)})
    torch.testing.assert_close(none.apply(frames, params), expected(frames).clamp(0, 1))


@pytest.mark.parametrize("factor", [2, 4])
def test_coarsening_by_single_pixels_is_that_of_opencv(factor, make_segment):
    frames = make_segment(1, 2, 48).frames
    theirs = [reference.coarsen(frame.permute(1, 2, 0).numpy(), factor) for frame in frames[0]]
    ours = coarsen(frames, factor, nearest=True)
    torch.testing.assert_close(ours[0].permute(0, 2, 3, 1), torch.from_numpy(np.stack(theirs)), atol=1e-5, rtol=0)
    assert not torch.allclose(coarsen(frames, factor), ours, atol=0.02)


@pytest.mark.parametrize("lightness", [0.5, 0.8, 1.0])
def test_sharpening_is_the_published_kernel(lightness, make_segment):
    frames, alpha = make_segment(2, 2, 32).frames, torch.tensor([0.2, 0.5])
    found = sharpen(frames, alpha.reshape(2, 1, 1, 1, 1), torch.full((2, 1, 1, 1, 1), lightness))
    assert float(found[..., 1:-1, 1:-1].mean() - frames.mean()) * (1 - lightness) <= 0
    for i in range(2):
        for t in range(2):
            theirs = reference.sharpen(frames[i, t].permute(1, 2, 0).numpy(), float(alpha[i]), lightness)
            wanted = torch.from_numpy(theirs).clamp(0, 1).permute(2, 0, 1)
            # Outside the picture, OpenCV mirrors pixels, and the toolkit repeats them.
            torch.testing.assert_close(found[i, t, :, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lightness_range": (1.0, 0.5)}, "lightness_range"), ({"lightness_range": (-0.1, 1.0)}, "lightness_range")],
)
def test_lightness_must_be_a_range(options, message):
    with pytest.raises(ValueError, match=message):
        Recolour(**options)


def test_rounding_and_averaging_are_options(make_segment, generator):
    frames = make_segment(4, 1, 48).frames
    published = Recolour()
    params = published.sample(4, generator)
    found = published.apply(frames, params)
    for option in ({"hsv_8_bits": False}, {"nearest": False}):
        other = dataclasses.replace(published, **option).apply(frames, params)
        assert (other - found).abs().flatten(1).amax(dim=1).max() > 1 / 255
        assert (other - found).abs().mean() < 0.05


GROWTH = {"hull": [1.0], "extended": [1.0], "inner": [1.15], "parts": [2.5, 2.5, 1.3, 1.3], "lower": [1.0]}


@pytest.mark.parametrize("name", REGIONS)
def test_parts_grow_about_their_middle(name, make_segment):
    face = make_segment(1, 1, 64, k=81).landmarks[0, 0]
    for hull, part, factor in zip(region_hulls(face, REGIONS[name]), REGIONS[name].parts, GROWTH[name], strict=True):
        points = face[list(part.points)]
        middle = (points.amin(dim=0) + points.amax(dim=0)) / 2
        torch.testing.assert_close(hull, middle + factor * (points - middle))
    assert REGIONS[name].edge == {"inner": 0.7, "parts": 0.2, "lower": 0.6}.get(name, 1.0)


@pytest.mark.parametrize("noise", [0.05, -0.05])
def test_tiles_add_colour_noise_of_either_sign(noise, make_segment, generator):
    # With gradients, the batch is blended at once.
    segment = make_segment(1, 2, 192)
    plain = Recolour(rgb_p=0.0, hsv_p=0.0, contrast_p=0.0, degrade_p=0.0)
    blend = SelfBlend(frame_mask={"all": 1.0}, recolour=plain)
    params = blend.sample(segment, generator)
    params = dataclasses.replace(params, colour_noise=torch.full_like(params.colour_noise, noise))
    tiled = blend.apply(segment, params).fake.frames
    whole = blend.apply(segment.replace(frames=segment.frames.clone().requires_grad_()), params).fake.frames.detach()
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)
    without = blend.apply(segment, dataclasses.replace(params, colour_noise=torch.zeros_like(params.colour_noise)))
    assert float((tiled - without.fake.frames).mean()) * noise > 0
