"""Perturbations: values of the table, bit-identical with the same seed, without the defects of the reference."""

import pytest
import torch

from mgst_data.core import UsageError, generator_for
from mgst_data.video.h264 import encode_h264
from mgst_model.evaluate.perturbations import PERTURBATIONS, SEVERITIES, perturb

KINDS = tuple(PERTURBATIONS)


def scene(side=64, t=4):
    """Moving coloured waves with a fine texture, so that every perturbation has an effect."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phase = torch.tensor([0.0, 2.1, 4.2])[None, :, None, None] + torch.arange(t)[:, None, None, None] / 3
    wave = torch.sin(x / 7 + phase) + torch.cos(y / 5 + phase) + 0.6 * torch.sin(1.9 * x + 1.3 * y)
    return (127 + 45 * wave).clamp(0, 255).round().to(torch.uint8)


def done(kind, severity, frames, *, seed=0):
    return perturb(frames, kind, severity, generator_for(seed, kind), codec=encode_h264)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [96, 224])
def test_every_severity_changes_more_than_the_previous_one(kind, side):
    frames = scene(side)
    before = frames.clone()
    results = [done(kind, severity, frames) for severity in SEVERITIES]
    far = [float((result.float() - frames.float()).square().mean()) for result in results]
    assert far[0] > 0.5
    assert far == sorted(set(far))
    assert torch.equal(frames, before)
    assert all(result.shape == frames.shape and result.dtype == torch.uint8 for result in results)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind):
    frames = scene()
    assert torch.equal(done(kind, 3, frames), done(kind, 3, frames))
    drawn = kind in ("gaussian_noise", "block_wise")
    assert torch.equal(done(kind, 3, frames), done(kind, 3, frames, seed=1)) != drawn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_do_not_wrap_around(kind, level):
    # Without a limit, 8-bit values would wrap around at both ends of the range.
    frames = torch.full((2, 3, 64, 64), level, dtype=torch.uint8)
    result = done(kind, 5, frames).float()
    if kind == "gaussian_noise":
        assert float((result - level).abs().max()) > 20
        # Half of the noise is limited, and no value is further away than 4.86 standard deviations.
        assert (result == level).float().mean() == pytest.approx(0.5, abs=0.02)
        assert ((result - level).abs() < 4.86 * 0.05**0.5 * 255 + 1).all()
        assert float((result - level).abs().mean()) == pytest.approx(0.05**0.5 * 255 * 0.4, rel=0.05)
    elif kind == "contrast":
        assert result.unique().tolist() == [pytest.approx(127.5 + 0.35 * (level - 127.5), abs=0.5)]
    elif kind == "block_wise":
        assert result.unique().tolist() == sorted({128.0, float(level)})
    else:
        assert float((result - level).abs().max()) <= 2


def test_values_are_those_of_the_table():
    assert {kind: list(one.values) for kind, one in PERTURBATIONS.items()} == {
        "saturation": [0.4, 0.3, 0.2, 0.1, 0],
        "contrast": [0.85, 0.725, 0.6, 0.475, 0.35],
        "block_wise": [16, 32, 48, 64, 80],
        "gaussian_noise": [0.001, 0.002, 0.005, 0.01, 0.05],
        "gaussian_blur": [7, 9, 13, 17, 21],
        "pixelation": [2, 3, 4, 5, 6],
        "h264": [30, 32, 35, 38, 40],
    }


def test_contrast_brightens_dark_pixels():
    dark = torch.full((1, 3, 8, 8), 40, dtype=torch.uint8)
    bright = torch.full((1, 3, 8, 8), 220, dtype=torch.uint8)
    assert (done("contrast", 3, dark) > dark).all()
    assert (done("contrast", 3, bright) < bright).all()


def test_saturation_0_gives_grey():
    result = done("saturation", 5, scene()).int()
    assert int((result.amax(dim=1) - result.amin(dim=1)).max()) <= 1


def test_noise_has_its_variance_and_differs_from_frame_to_frame():
    frames = torch.full((3, 3, 128, 128), 128, dtype=torch.uint8)
    noise = (done("gaussian_noise", 4, frames).float() - 128) / 255
    assert float(noise.var()) == pytest.approx(0.01, rel=0.05)
    correlation = torch.corrcoef(noise.flatten(1))
    assert float((correlation - torch.eye(3)).abs().max()) < 0.05


@pytest.mark.parametrize("size", [(32, 48), (200, 200), (256, 256), (400, 300)])
def test_blocks_cover_the_same_share_at_any_size(size):
    frames = torch.zeros(20, 3, *size, dtype=torch.uint8)
    covered = (done("block_wise", 5, frames) == 128).float().mean()
    side = round(min(size) / 32)
    expected = 1 - (1 - side**2 / (size[0] * size[1])) ** 80
    assert float(covered) == pytest.approx(expected, rel=0.1)
    assert covered > 0.04


def test_blocks_differ_between_frames_and_a_higher_severity_adds_blocks():
    frames = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    few, many = (done("block_wise", severity, frames) > 0 for severity in (1, 2))
    assert not torch.equal(few[0], few[1])
    assert (many[few]).all()
    assert many.sum() > few.sum()


def test_a_blur_scales_with_the_frame_size():
    def edge(side):
        frames = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        frames[..., side // 2 :] = 255
        return done("gaussian_blur", 5, frames)[0, 0, 0].float()

    small, large = edge(128), edge(512)
    torch.testing.assert_close(small, large.reshape(128, 4).mean(dim=1), atol=8, rtol=0)
    # From 16 % to 84 % are two standard deviations: 2 * 21 / 6 pixels at 256.
    width = int(((large > 0.16 * 255) & (large < 0.84 * 255)).sum())
    assert width == pytest.approx(14, abs=2)


def test_pixelation_gives_uniform_squares():
    result = done("pixelation", 3, scene())
    squares = result.reshape(4, 3, 16, 4, 16, 4)
    assert torch.equal(squares, squares[:, :, :, :1, :, :1].expand_as(squares))
    torch.testing.assert_close(result.float().mean(), scene().float().mean(), atol=0.5, rtol=0)


def test_perturbations_run_on_the_device_of_the_frames(device):
    frames = scene()
    for kind in KINDS:
        there = done(kind, 3, frames.to(device))
        assert there.device.type == device.type
        assert (there.cpu().int() - done(kind, 3, frames).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("kind", "severity", "words"), [("jpeg", 1, "pixelation"), ("contrast", 0, "got 0"), ("contrast", 6, "got 6")]
)
def test_unknown_kinds_and_severities_are_rejected(generator, kind, severity, words):
    with pytest.raises(UsageError, match=words):
        perturb(scene(), kind, severity, generator)


def test_h264_needs_a_codec_that_returns_all_frames(generator):
    assert [kind for kind, one in PERTURBATIONS.items() if one.needs_codec] == ["h264"]
    with pytest.raises(UsageError, match="codec"):
        perturb(scene(), "h264", 1, generator)
    with pytest.raises(ValueError, match="codec returned"):
        perturb(scene(), "h264", 1, generator, codec=lambda frames, crf: frames[1:])
