"""Noise over time, and the elastic edge of masks."""

from __future__ import annotations

import math

import pytest
import torch

from mgst_data.augment.blend.drift import autoregressive, sample_frame_mask
from mgst_data.augment.blend.mask_edge import elastic_field, field_nodes, soften
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.scale import enlarge, mean_of_nine, reduce


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_noise_is_stationary_and_correlated_as_asked(rho, generator):
    noise = autoregressive(torch.full((4000,), rho), (6, 2), generator)
    assert noise.shape == (4000, 6, 2)
    torch.testing.assert_close(noise.std(dim=0), torch.ones(6, 2), rtol=0, atol=0.05)
    lagged = (noise[:, 1:] * noise[:, :-1]).mean(dim=(0, 2))
    torch.testing.assert_close(lagged, torch.full((5,), rho), rtol=0, atol=0.05)


def test_noise_of_a_single_value_per_frame(generator):
    assert autoregressive(torch.tensor([0.3, 0.0]), (5,), generator).shape == (2, 5)


def test_the_elastic_field_has_unit_deviation_and_moves_with_the_face(generator, device):
    sigma = 7 / 256
    nodes = field_nodes(sigma)
    noise = torch.randn(16, 2, nodes, nodes, generator=generator).to(device)
    centre = torch.tensor([[63.5, 63.5], [79.5, 63.5]]).expand(16, 2, 2).to(device)
    side = torch.full((16, 2), 128.0, device=device)
    field = elastic_field(noise, centre, side, sigma, (slice(0, 128), slice(0, 128)))
    assert float(field.std()) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(field[:, 1, :, :, 32:112], field[:, 0, :, :, 16:96], rtol=0, atol=1e-3)


def test_the_elastic_field_grows_with_the_face(generator):
    sigma = 7 / 256
    nodes = field_nodes(sigma)
    noise = torch.randn(2, 2, nodes, nodes, generator=generator)
    # A pixel of the small field is in the middle of two by two pixels of the large one.
    small = elastic_field(noise, torch.full((2, 1, 2), 31.5), torch.full((2, 1), 64.0), sigma, (slice(0, 64),) * 2)
    large = elastic_field(noise, torch.full((2, 1, 2), 63.5), torch.full((2, 1), 128.0), sigma, (slice(0, 128),) * 2)
    means = torch.nn.functional.avg_pool2d(large.flatten(0, 1), 2).reshape(small.shape)
    torch.testing.assert_close(means, small, rtol=0, atol=0.1)


def test_softening_shrinks_by_the_kernel_and_blurs_over_it(device):
    mask = torch.zeros(1, 1, 65, 65, device=device)
    mask[..., 12:53, 12:53] = 1
    one = torch.ones(1, 1, device=device)
    hard = soften(mask, 4 * one, 0.5 * one, 1e-3 * one)
    expected = torch.zeros_like(mask)
    expected[..., 16:49, 16:49] = 1
    torch.testing.assert_close(hard, expected, rtol=0, atol=1e-5)
    # A wide Gaussian cut off at 4.5 pixels is a box: the edge is a ramp of nine pixels, half way at the shrunk edge.
    ramp = soften(mask, 4 * one, 4.5 * one, 1e3 * one)[0, 0, 32]
    torch.testing.assert_close(
        ramp[11:22].cpu(), torch.arange(11) / 9 * (torch.arange(11) <= 9) + (torch.arange(11) > 9)
    )


def test_one_kernel_for_all_frames_is_the_same_kernel_for_each(generator, device):
    mask = torch.rand(2, 3, 20, 28, generator=generator).to(device)
    shrink, reach, sigma = (torch.rand(2, 1, generator=generator).to(device) * 3 + 1 for _ in range(3))
    each = soften(mask, *(value.expand(2, 3) for value in (shrink, reach, sigma)))
    torch.testing.assert_close(soften(mask, shrink, reach, sigma), each)


def test_a_mask_is_repeated_outside_the_picture():
    one = torch.ones(1, 1)
    torch.testing.assert_close(soften(torch.ones(1, 1, 32, 32), 5 * one, 5 * one, 9 * one), torch.ones(1, 1, 32, 32))


def test_softening_a_window_is_a_window_of_softening(generator, device):
    window = slice(9, 51), slice(0, 40)
    mask = torch.zeros(1, 2, 64, 48, device=device)
    # At the border on the left, and two pixels from that of the window elsewhere.
    mask[..., 11:49, :38] = 1
    for s in (1, 2):
        kernels = [torch.rand(1, s, generator=generator).to(device) + size for size in (2, 7, 4)]
        whole = soften(mask, *kernels)
        part = soften(mask[:, :, window[0], window[1]], *kernels, size=(64, 48), window=window)
        assert part.max() > 0.99
        torch.testing.assert_close(part, whole[:, :, window[0], window[1]], rtol=0, atol=1e-5)


def test_a_mask_smaller_than_the_kernel_becomes_empty():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 14:18, 14:18] = 1
    one = torch.ones(1, 1)
    assert soften(mask, 5 * one, 3 * one, 9 * one).abs().sum() == 0


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(24, 36), (25, 34)])
def test_scaling_by_integer_factors_agrees_with_torch(factor, size, generator):
    picture = torch.rand(2, 3, *size, generator=generator)
    small = reduce(picture, factor)
    if size == (24, 36):
        torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(picture, factor))
    large = enlarge(small, factor, size)
    full = torch.nn.functional.interpolate(small, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(large, full[..., : size[0], : size[1]])


def test_the_mean_of_nine_pixels(generator):
    picture = torch.rand(1, 2, 7, 9, generator=generator)
    padded = torch.nn.functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    torch.testing.assert_close(mean_of_nine(picture), torch.nn.functional.avg_pool2d(padded, 3, stride=1))


def test_draws_are_in_their_ranges(generator):
    odd = draw.odd((2000,), 5, 25, generator)
    assert sorted(set(odd.tolist())) == list(range(5, 26, 2))
    chosen = draw.choose((4000,), (1, 0, 3), generator)
    assert (chosen != 1).all()
    assert float((chosen == 2).float().mean()) == pytest.approx(0.75, abs=0.04)
    assert set(draw.pick((200,), (0.25, 1.0), generator).tolist()) == {0.25, 1.0}
    assert math.isclose(float(draw.uniform((4000,), -1, 3, generator).mean()), 1, abs_tol=0.1)
    with pytest.raises(ValueError, match="weights must be at least 0"):
        draw.choose((3,), (0, 0), generator)


@pytest.mark.parametrize("t", [4, 7])
def test_a_scatter_has_half_of_the_frames_but_never_all_or_none(t, generator):
    _, blended = sample_frame_mask(4000, t, {"scatter": 1.0}, generator)
    count = blended.sum(dim=1)
    assert set(count.tolist()) == set(range(1, t))
    assert float(blended.float().mean()) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(blended.float().mean(dim=0), torch.full((t,), 0.5), rtol=0, atol=0.04)


@pytest.mark.parametrize("t", [4, 7])
def test_runs_have_every_length_and_position(t, generator):
    _, blended = sample_frame_mask(4000, t, {"run": 1.0}, generator)
    found = {tuple(row.nonzero()[:, 0].tolist()) for row in blended}
    assert found == {tuple(range(i, i + n)) for n in range(2, t - 1) for i in range(t - n + 1)}
