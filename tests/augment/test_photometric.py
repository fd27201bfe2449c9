"""Photometric augmentations: common properties, and the result of each."""

from __future__ import annotations

import cmath
import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS
from mgst_data.augment.compression import H264, BlockCodec, Jpeg
from mgst_data.augment.functional.colour import luminance
from mgst_data.augment.functional.filters import hash_noise
from mgst_data.augment.photometric import ColourJitter, Greyscale, PictureAugmentation, PictureParams, RgbShift
from mgst_data.augment.quality import (
    Downscale,
    GaussianBlur,
    GaussianNoise,
    Rescale,
    Sharpen,
    SmoothSkin,
    UnsharpMask,
)
from mgst_data.core import RealFakePair, Segment


def invert(frames: Tensor, crf: int) -> Tensor:
    """Stands in for a codec."""
    return 255 - frames.clamp_min(crf)


def steps(p: float = 1.0) -> list[PictureAugmentation]:
    return [
        ColourJitter(p=p),
        RgbShift(p=p),
        Greyscale(p=p),
        GaussianBlur(sigma_range=(2.0, 8.0), p=p),
        Sharpen(p=p),
        UnsharpMask(p=p),
        SmoothSkin(p=p),
        Downscale(p=p),
        Rescale(p=p),
        GaussianNoise(p=p),
        Jpeg(p=p),
        Jpeg(subsample=False, p=p),
        BlockCodec(p=p),
        H264(invert, p=p),
    ]


every = pytest.mark.parametrize("step", steps(), ids=repr)
# The same change in every frame; noise, key frames and codecs make a difference between frames.
steady = pytest.mark.parametrize(
    "step", [step for step in steps()[:-2] if not isinstance(step, GaussianNoise)], ids=repr
)
sometimes = pytest.mark.parametrize("step", steps(p=0.5), ids=repr)
neutral = pytest.mark.parametrize(
    "step",
    [
        ColourJitter(brightness_range=(0, 0), contrast_range=(1, 1), saturation_range=(1, 1), hue_range=(0, 0)),
        ColourJitter(brightness_range=(0, 0), contrast_range=(1, 1), saturation_range=(1, 1), hue_range=(1, 1)),
        RgbShift(shift_range=(0, 0)),
        GaussianBlur(sigma_range=(0, 0)),
        Sharpen(alpha_range=(0, 0)),
        Downscale(factors=(1,)),
        UnsharpMask(amount_range=(0, 0)),
        Rescale(factor_range=(1, 1)),
        GaussianNoise(sigma_range=(0, 0)),
    ],
    ids=repr,
)


def fixed(params: PictureParams, **values: object) -> PictureParams:
    """Drawn parameters with some exchanged."""
    changes = {name: torch.full_like(getattr(params, name), value) for name, value in values.items()}
    return dataclasses.replace(params, **changes)


def no_label_moved(before: Segment, after: Segment) -> bool:
    names = ("landmarks", "valid", "mask", "label", "frame_label", "patch_label")
    return all(torch.equal(getattr(before, name), getattr(after, name)) for name in names)


@every
def test_a_change_is_drawn_once_and_replays(step, make_segment, device):
    segment = make_segment(b=3, size=40).to(device)
    before = segment.frames.clone()
    params = step.sample(segment, torch.Generator().manual_seed(3))
    again = step.sample(segment.to("cpu"), torch.Generator().manual_seed(3))
    assert params.as_dict() == again.as_dict()
    assert len(params) == 3
    first = step.apply(segment, params)
    assert torch.equal(first.frames, step.apply(segment, params).frames)
    assert torch.equal(segment.frames, before)
    assert no_label_moved(segment, first)
    assert not torch.equal(first.frames, segment.frames)
    assert first.frames.min() >= 0
    assert first.frames.max() <= 1


@every
def test_the_result_of_a_segment_does_not_depend_on_the_batch(step, make_segment, generator):
    segment = make_segment(b=3, size=48)
    params = step.sample(segment, generator)
    whole = step.apply(segment, params).frames
    for i in range(3):
        alone = step.apply(segment[i : i + 1], params[i : i + 1]).frames[0]
        torch.testing.assert_close(whole[i], alone, atol=1e-5, rtol=0)


@sometimes
def test_only_the_drawn_segments_are_changed(step, make_segment, device):
    segment = make_segment(b=8, t=2, size=32).to(device)
    params = step.sample(segment, torch.Generator().manual_seed(1))
    changed = (step.apply(segment, params).frames != segment.frames).flatten(1).any(dim=1)
    assert torch.equal(changed.cpu(), params.active)
    assert 0 < params.active.sum() < 8


@every
def test_probability_0_changes_nothing(step, make_segment, generator):
    segment = make_segment(size=32)
    params = dataclasses.replace(step.sample(segment, generator), active=torch.zeros(2, dtype=torch.bool))
    assert step.apply(segment, params) is segment


@every
def test_both_segments_of_a_pair_change_alike(step, make_segment, generator):
    real = make_segment(size=32)
    fake = real.replace(label=torch.ones(2), frame_label=torch.ones(2, 4))
    pair = step(RealFakePair(real, fake), generator=generator)
    assert torch.equal(pair.real.frames, pair.fake.frames)
    assert not step.makes_fakes
    assert torch.equal(pair.fake.label, torch.ones(2))
    assert torch.equal(pair.real.label, torch.zeros(2))


@steady
def test_a_still_segment_stays_still(step, make_segment, generator):
    frames = step(make_segment(still=True, size=32), generator=generator).frames
    torch.testing.assert_close(frames, frames[:, :1].expand_as(frames), atol=1e-6, rtol=0)


@neutral
def test_neutral_values_change_nothing(step, make_segment, generator):
    segment = make_segment(size=33)
    torch.testing.assert_close(step(segment, generator=generator).frames, segment.frames, atol=1e-6, rtol=0)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accepted_and_kept(step, dtype, make_segment, device):
    segment = make_segment(size=32, k=5).to(device, dtype)
    params = step.sample(segment, torch.Generator().manual_seed(0))
    half = step.apply(segment, params)
    assert half.frames.dtype == dtype
    assert half.landmarks.dtype == torch.float32
    exact = step.apply(segment.to(dtype=torch.float32), params).frames
    torch.testing.assert_close(half.frames.float(), exact, atol=4e-3, rtol=0)


@every
def test_gradients_reach_every_segment_and_frame(step, make_segment, device):
    segment = make_segment(size=32).to(device)
    frames = (segment.frames * 0.6 + 0.2).requires_grad_()
    params = step.sample(segment, torch.Generator().manual_seed(0))
    if isinstance(step, BlockCodec):
        params = fixed(params, phase=0)  # a frame whose blocks are all copied has no part in the result
    weight = torch.rand(frames.shape, generator=torch.Generator().manual_seed(1)).to(device)
    (step.apply(segment.replace(frames=frames), params).frames * weight).sum().backward()
    assert frames.grad is not None
    assert frames.grad.isfinite().all()
    reached = frames.grad.abs().flatten(2).sum(dim=2) > 0
    assert reached[:, 0].all()
    assert isinstance(step, BlockCodec) or reached.all()


@every
def test_one_frame_no_landmarks_and_odd_sides_are_enough(step, generator):
    frames = torch.rand(2, 3, 21, 34, generator=generator)
    segment = Segment.of(frames)
    assert step(segment, generator=generator).frames.shape == segment.frames.shape


@every
def test_steps_are_registered_and_show_their_options(step):
    assert type(step) in [AUGMENTATIONS.get(name) for name in AUGMENTATIONS]
    assert repr(step).startswith(type(step).__name__ + "(")
    assert repr(step).endswith("p=1.0)")


@pytest.mark.parametrize(
    "build",
    [
        lambda: ColourJitter(p=1.5),
        lambda: ColourJitter(contrast_range=(-0.1, 1.0)),
        lambda: ColourJitter(hue_range=(0.2, 0.1)),
        lambda: RgbShift(shift_range=(0.1, -0.1)),
        lambda: RgbShift(shift_range=(-1.5, 0.0)),
        lambda: GaussianBlur(sigma_range=(-1.0, 1.0)),
        lambda: Sharpen(alpha_range=(0.5, 0.2)),
        lambda: Downscale(factors=()),
        lambda: Rescale(factor_range=(0.5, 2)),
        lambda: UnsharpMask(amount_range=(0.5, 0.2)),
        lambda: SmoothSkin(radius=0.5),
        lambda: Downscale(factors=(0, 2)),
        lambda: GaussianNoise(sigma_range=(-0.1, 0.1)),
    ],
)
def test_invalid_values_are_refused(build):
    with pytest.raises(ValueError, match=r"must be|must have"):
        build()


def test_autocast_changes_nothing(make_segment, generator):
    segment = make_segment(size=32)
    for step in steps():
        params = step.sample(segment, generator)
        exact = step.apply(segment, params).frames
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(step.apply(segment, params).frames, exact)


def test_brightness_is_added_and_contrast_turns_about_mid_grey(make_segment, generator):
    segment, jitter = make_segment(size=24), ColourJitter()
    still = fixed(jitter.sample(segment, generator), hue=0.0, saturation=1.0)
    brighter = jitter.apply(segment, fixed(still, brightness=0.1, contrast=1.0)).frames
    torch.testing.assert_close(brighter, (segment.frames + 0.1).clamp(0, 1))
    harder = jitter.apply(segment, fixed(still, brightness=0.0, contrast=1.5)).frames
    torch.testing.assert_close(harder, ((segment.frames - 0.5) * 1.5 + 0.5).clamp(0, 1), atol=1e-6, rtol=0)


def test_each_channel_is_shifted_by_a_value_of_its_own(make_segment, generator):
    segment, step = make_segment(b=400, t=1, size=8), RgbShift()
    params = step.sample(segment, generator)
    shift = params.shift * 255 / 20
    assert -1 <= float(shift.min()) < -0.99 < 0.99 < float(shift.max()) <= 1
    assert (torch.corrcoef(shift.T) - torch.eye(3)).abs().max() < 0.2
    wanted = (segment.frames + params.shift[:, None, :, None, None]).clamp(0, 1)
    torch.testing.assert_close(step.apply(segment, params).frames, wanted)


def test_hue_and_saturation_keep_luminance_and_greys(make_segment, generator):
    segment, jitter = make_segment(size=24), ColourJitter()
    segment = segment.replace(frames=segment.frames * 0.3 + 0.35)
    params = fixed(jitter.sample(segment, generator), brightness=0.0, contrast=1.0, saturation=1.3, hue=0.4)
    turned = jitter.apply(segment, params).frames
    assert (turned - segment.frames).abs().max() > 0.05
    torch.testing.assert_close(luminance(turned), luminance(segment.frames), atol=1e-5, rtol=0)
    grey = segment.replace(frames=luminance(segment.frames).expand_as(segment.frames))
    torch.testing.assert_close(jitter.apply(grey, params).frames, grey.frames, atol=1e-6, rtol=0)
    # No saturation is no colour.
    torch.testing.assert_close(jitter.apply(segment, fixed(params, saturation=0.0)).frames, grey.frames)


def test_grey_is_the_luminance(make_segment, generator):
    segment = make_segment(size=24)
    grey = Greyscale()(segment, generator=generator).frames
    assert torch.equal(grey, luminance(segment.frames).expand_as(grey))


def as_opencv(segment: Segment, change) -> Tensor:
    """What a function of one picture (h, w, 3) makes of all."""
    flat = segment.frames.flatten(0, 1).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([change(np.ascontiguousarray(x)) for x in flat])).permute(0, 3, 1, 2).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.7])
def test_blur_is_that_of_opencv_and_grows_with_the_frames(sigma, make_segment, generator):
    segment = make_segment(size=64)
    blurred = GaussianBlur(sigma_range=(4 * sigma, 4 * sigma))(segment, generator=generator).frames  # 4 x 64 = 256
    side = 2 * math.ceil(3 * sigma) + 1
    theirs = as_opencv(segment, lambda x: cv2.GaussianBlur(x, (side, side), sigma, borderType=cv2.BORDER_REPLICATE))
    torch.testing.assert_close(blurred.flatten(0, 1), theirs, atol=1e-5, rtol=0)


def test_sharpening_is_a_filter_that_keeps_even_areas(make_segment, generator):
    segment = make_segment(size=32)
    sharp = Sharpen(alpha_range=(0.3, 0.3))(segment, generator=generator).frames
    kernel = np.full((3, 3), -0.3)
    kernel[1, 1] = 1 + 8 * 0.3
    theirs = as_opencv(segment, lambda x: cv2.filter2D(x, -1, kernel, borderType=cv2.BORDER_REPLICATE))
    torch.testing.assert_close(sharp.flatten(0, 1), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [2, 4])
def test_scaling_is_that_of_opencv(factor, make_segment, generator):
    segment = make_segment(size=32)
    scaled = Downscale(factors=(factor,))(segment, generator=generator).frames

    def there_and_back(x: np.ndarray) -> np.ndarray:
        small = cv2.resize(x, (32 // factor, 32 // factor), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (32, 32), interpolation=cv2.INTER_LINEAR)

    torch.testing.assert_close(scaled.flatten(0, 1), as_opencv(segment, there_and_back), atol=1e-5, rtol=0)


def test_segments_are_scaled_by_their_own_factors(make_segment, generator):
    segment = make_segment(b=8, t=2, size=32)
    step = Downscale(factors=(1, 2, 3))
    params = step.sample(segment, generator)
    assert set(params.factor.tolist()) == {1, 2, 3}
    lost = (step.apply(segment, params).frames - segment.frames).abs().mean(dim=(1, 2, 3, 4))
    assert lost[params.factor == 1].max() == 0 < lost[params.factor == 2].min()


def test_an_unsharp_mask_makes_halos_at_edges_and_keeps_even_areas(generator):
    frames = torch.full((1, 1, 3, 32, 32), 0.3)
    frames[..., 16:] = 0.7
    step = UnsharpMask(sigma_range=(16.0, 16.0), amount_range=(0.5, 0.5))  # 2 pixels at this height
    sharp = step(Segment.of(frames), generator=generator).frames
    torch.testing.assert_close(sharp[..., :8], frames[..., :8])
    assert sharp[..., 15].max() < 0.25
    assert sharp[..., 16].min() > 0.75


def test_smoothing_removes_weak_noise_and_keeps_edges(generator):
    frames = torch.full((1, 1, 3, 64, 64), 0.3)
    frames[..., 32:] = 0.7
    noisy = frames + 0.01 * torch.randn(frames.shape, generator=generator)
    smooth = SmoothSkin(sigma_range=(0.05, 0.05), radius=16)(Segment.of(noisy), generator=generator).frames
    assert (smooth - frames)[..., 8:24].std() < 0.3 * (noisy - frames)[..., 8:24].std()
    torch.testing.assert_close(smooth[..., 31:33], frames[..., 31:33], rtol=0, atol=0.05)


@pytest.mark.parametrize("factor", [1.5, 2.7, 4.0])
def test_scaling_by_any_factor_removes_what_the_small_picture_cannot_show(factor, generator):
    noise = Segment.of(torch.rand(4, 1, 3, 96, 96, generator=generator))
    step = Rescale(factor_range=(factor, factor))
    params = fixed(step.sample(noise, generator), down=2, up=1)  # bicubic, with averages
    spectrum = torch.fft.fft2(step.apply(noise, params).frames - 0.5).abs().square().mean(dim=(0, 1, 2))
    frequency = torch.fft.fftfreq(96).abs()
    high = torch.maximum(frequency[:, None], frequency[None]) > 0.6 / factor
    low = torch.maximum(frequency[:, None], frequency[None]) < 0.25 / factor
    assert spectrum[high].mean() < 0.1 * spectrum[low].mean()


def mixed(place: int, one: int, two: int) -> int:
    """The hash in whole numbers of any size."""
    x = place ^ one
    x ^= x >> 16
    x = (x * 0x85EBCA6B + two) % 2**32
    x ^= x >> 13
    x = x * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


def test_noise_is_the_documented_hash(device):
    seed = torch.tensor([(12345, 678910), (2**31 - 1, 2**31 - 1)], device=device)
    noise = hash_noise(seed, 1001).cpu()
    for row, (one, two) in enumerate(seed.tolist()):
        for place in (0, 1, 2, 77, 499, 500):
            bits = mixed(place, one, two)
            radius = math.sqrt(-2 * math.log(((bits >> 16) + 0.5) / 2**16))
            angle = (bits & 0xFFFF) / 2**16 * 2 * math.pi
            assert noise[row, place].item() == pytest.approx(radius * math.cos(angle), abs=1e-5)
            if place < 500:
                assert noise[row, 501 + place].item() == pytest.approx(radius * math.sin(angle), abs=1e-5)


def test_noise_is_normal_and_independent(generator):
    n = 200_000
    seeds = GaussianNoise().sample(Segment.of(torch.zeros(3, 1, 3, 4, 4)), generator).seed
    noise = hash_noise(seeds, n).double()
    assert noise.mean(dim=1).abs().max() < 4 / math.sqrt(n)
    assert (noise.var(dim=1) - 1).abs().max() < 4 * math.sqrt(2 / n)
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand times.
    normal = (1 + torch.erf(noise.sort(dim=1).values / math.sqrt(2))) / 2
    assert (normal - torch.arange(n).add(0.5) / n).abs().max() < 1.95 / math.sqrt(n)
    # Between seeds, neighbours, rows and the two halves.
    assert (torch.corrcoef(noise) - torch.eye(3)).abs().max() < 4.5 / math.sqrt(n)
    for distance in (1, 2, 64, 256, n // 2):
        assert (noise[:, distance:] * noise[:, :-distance]).mean(dim=1).abs().max() < 4.5 / math.sqrt(n - distance)
    squares = noise.square() - 1
    assert (squares[:, 1:] * squares[:, :-1]).mean(dim=1).abs().max() < 4.5 * 2 / math.sqrt(n)


def test_noise_has_the_deviation_that_was_drawn_and_differs_between_frames(generator):
    segment = Segment.of(torch.full((2, 3, 3, 48, 48), 0.5))
    noise = GaussianNoise(sigma_range=(0.04, 0.04))(segment, generator=generator).frames - 0.5
    assert noise.flatten(2).std(dim=2).sub(0.04).abs().max() < 0.002
    one, two = noise[:, 0].flatten(1), noise[:, 1].flatten(1)
    assert torch.corrcoef(torch.cat((one, two))).sub(torch.eye(4)).abs().max() < 0.06


@pytest.mark.parametrize(("hue", "saturation"), [(0.1, 1.0), (-0.3, 0.7), (0.0, 1.4)])
def test_hue_and_saturation_rotate_and_scale_the_chroma_of_bt601(hue, saturation, make_segment, generator):
    segment, jitter = make_segment(size=24), ColourJitter()
    segment = segment.replace(frames=segment.frames * 0.2 + 0.4)
    params = fixed(jitter.sample(segment, generator), brightness=0.0, contrast=1.0, saturation=saturation, hue=hue)
    red, _, blue = segment.frames.unbind(2)
    y = luminance(segment.frames)[:, :, 0]
    chroma = saturation * torch.complex((blue - y) / 1.772, (red - y) / 1.402)
    cb, cr = torch.view_as_real(chroma * cmath.exp(2j * cmath.pi * hue)).unbind(-1)
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    wanted = torch.stack((red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue), dim=2)
    torch.testing.assert_close(jitter.apply(segment, params).frames, wanted, atol=1e-5, rtol=0)
