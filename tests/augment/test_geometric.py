"""Geometric augmentations: pixels, masks, patch labels and landmarks move together."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from step_checks import Make, assert_same, check, drawn, forged
from torch.nn import functional

from mgst_data.augment.base import Augmentation
from mgst_data.augment.functional.warp import affine_grid, inverse, resample
from mgst_data.augment.geometric import Affine, AffineParams, CropMargin, CropMarginParams, HorizontalFlip
from mgst_data.core import Segment, generator_for
from mgst_data.core.geometry import FLIP_5
from mgst_data.core.labels import patches

STEPS = [HorizontalFlip(p=0.5), CropMargin(), Affine(), Affine(degrees_range=(-40.0, 40.0))]


@pytest.mark.parametrize("step", STEPS, ids=repr)
@pytest.mark.parametrize("k", [0, 5, 68, 81])
def test_steps_keep_the_contract(make_segment: Make, device: torch.device, step: Augmentation, k: int) -> None:
    segment = make_segment(3, 4, 32) if k == 0 else make_segment(3, 4, 32, k=k)
    segment = segment if k else segment.replace(landmarks=torch.zeros(3, 4, 0, 2))
    check(step, forged(segment).to(device))


@pytest.mark.parametrize("step", STEPS, ids=repr)
@pytest.mark.parametrize("t", [1, 3])
def test_half_a_patch_and_odd_sizes_work(step: Augmentation, t: int) -> None:
    segment = Segment.of(torch.rand(2, t, 3, 30, 41, generator=generator_for(0, "odd")), grid=7)
    check(step, forged(segment))


@pytest.mark.parametrize("step", STEPS, ids=repr)
@given(seed=st.integers(0, 10**6))
@drawn
def test_masks_and_patch_labels_move_with_the_pixels(make_segment: Make, step: Augmentation, seed: int) -> None:
    segment = forged(make_segment(2, 3, 48), seed=seed)
    segment = segment.replace(frames=segment.mask.expand_as(segment.frames).contiguous())
    out = step(segment, generator=generator_for(seed))
    torch.testing.assert_close(out.frames[:, :, :1], out.mask, rtol=0, atol=1e-6)
    torch.testing.assert_close(out.patch_label, patches(out.mask, 14), rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", STEPS, ids=repr)
@given(seed=st.integers(0, 10**6))
@drawn
def test_landmarks_move_with_the_pixels(step: Augmentation, seed: int) -> None:
    h, w = 60, 72
    generator = generator_for(seed)
    points = torch.rand(2, 2, 5, 2, generator=generator) * torch.tensor((24.0, 20.0)) + torch.tensor((24.0, 20.0))
    x, y = torch.arange(w)[None, None, None, None], torch.arange(h)[None, None, None, :, None]
    dots = points[:, :, :3, :, None, None]  # one for each colour
    far = (x - dots[:, :, :, 0]) ** 2 + (y - dots[:, :, :, 1]) ** 2
    out = step(Segment.of(torch.exp(-far / 4), points), generator=generator)
    mass = out.frames.sum(dim=(3, 4))
    found = torch.stack(((out.frames * x).sum(dim=(3, 4)) / mass, (out.frames * y).sum(dim=(3, 4)) / mass), dim=-1)
    kept, mirrored = out.landmarks[:, :, :3], out.landmarks[:, :, list(FLIP_5)][:, :, :3]
    flips = isinstance(step, HorizontalFlip)
    miss = (found - kept).norm(dim=-1).amax(dim=(1, 2))
    if flips:
        miss = torch.minimum(miss, (found - mirrored).norm(dim=-1).amax(dim=(1, 2)))
    assert miss.max() < 0.2


@pytest.mark.parametrize("k", [5, 68, 81])
def test_mirroring_twice_changes_nothing(make_segment: Make, generator: torch.Generator, k: int) -> None:
    segment = forged(make_segment(2, 3, 33, k=k))
    flip = HorizontalFlip(p=1.0)
    params = flip.sample(segment, generator)
    once = flip.apply(segment, params)
    assert torch.equal(once.frames, segment.frames.flip(-1))
    assert torch.equal(once.mask, segment.mask.flip(-1))
    assert torch.equal(once.patch_label, segment.patch_label.flip(-1))
    torch.testing.assert_close(once.patch_label, patches(once.mask, 14))
    # The landmarks are renumbered, so a landmark of the left side is still on the left side.
    assert_same(flip.apply(once, params), segment, atol=1e-5)


def test_only_those_drawn_are_mirrored(make_segment: Make, generator: torch.Generator) -> None:
    segment = make_segment(8, 2, 16)
    flip = HorizontalFlip()
    params = flip.sample(segment, generator)
    assert params.flip.any()
    assert not params.flip.all()
    out = flip.apply(segment, params)
    for i, flipped in enumerate(params.flip):
        assert torch.equal(out.frames[i], segment.frames[i].flip(-1) if flipped else segment.frames[i])


def test_a_rotation_by_90_degrees_is_exact(make_segment: Make) -> None:
    segment = make_segment(1, 2, 28)
    segment = segment.replace(patch_label=torch.rand(1, 2, 14, 14, generator=generator_for(0)))
    params = AffineParams(torch.tensor([90.0]), torch.tensor([1.0]), torch.zeros(1, 2))
    out = Affine().apply(segment, params)
    torch.testing.assert_close(out.frames, segment.frames.rot90(-1, (3, 4)), rtol=0, atol=1e-4)
    torch.testing.assert_close(out.patch_label, segment.patch_label.rot90(-1, (2, 3)), rtol=0, atol=1e-4)
    x, y = segment.landmarks.unbind(dim=-1)
    torch.testing.assert_close(out.landmarks, torch.stack((27 - y, x), dim=-1), rtol=0, atol=1e-4)


def test_a_shift_by_two_patches_moves_labels_without_a_mask() -> None:
    label = torch.zeros(1, 1, 7, 7)
    label[..., 2, 3] = 1.0
    segment = Segment.of(torch.rand(1, 1, 3, 28, 56, generator=generator_for(0)), label=torch.ones(1), grid=7)
    params = AffineParams(torch.zeros(1), torch.ones(1), torch.tensor([[2 / 7, -1 / 7]]))
    out = Affine().apply(segment.replace(patch_label=label), params)
    expected = torch.zeros(1, 1, 7, 7)
    expected[..., 1, 5] = 1.0
    torch.testing.assert_close(out.patch_label, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(out.frames[..., :-4, 16:], segment.frames[..., 4:, :-16], rtol=0, atol=1e-5)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_a_fake_without_a_mask_stays_fake(make_segment: Make, generator: torch.Generator, step: Augmentation) -> None:
    segment = make_segment(2, 2, 28)
    fake = Segment.of(segment.frames, segment.landmarks, label=torch.ones(2))
    out = step(fake, generator=generator)
    torch.testing.assert_close(out.patch_label, torch.ones(2, 2, 14, 14), rtol=0, atol=1e-5)
    assert out.mask.max() == 0
    assert out.label.min() == out.frame_label.min() == 1


def test_a_segment_whose_forgery_is_cropped_away_is_real(make_segment: Make) -> None:
    segment = make_segment(2, 2, 40)
    mask = torch.zeros(2, 2, 1, 40, 40)
    mask[:, 0, :, :4, :4] = 1.0
    mask[1, 1, :, 20:, 20:] = 1.0
    fake = segment.replace(
        mask=mask, label=torch.ones(2), frame_label=torch.tensor([[1.0, 0], [1, 1]]), patch_label=patches(mask, 14)
    )
    params = CropMarginParams(torch.full((2,), 0.8), torch.ones(2, 2))
    out = CropMargin().apply(fake, params)
    assert out.frame_label.tolist() == [[0, 0], [0, 1]]
    assert out.label.tolist() == [0, 1]
    assert out.patch_label[0].max() == 0


def test_a_crop_shows_the_box_that_was_drawn(make_segment: Make) -> None:
    segment = make_segment(1, 1, 48)
    half = CropMarginParams(torch.tensor([0.5]), torch.tensor([[1.0, 0.0]]))
    out = CropMargin(side_range=(0.5, 0.5)).apply(segment, half)
    box = segment.frames[..., :24, 24:]
    expected = functional.interpolate(box[0], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(out.frames[0, ..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=0, atol=1e-5)
    torch.testing.assert_close(out.landmarks[..., 0], (segment.landmarks[..., 0] - 23.5) * 2 - 0.5)
    assert out.landmarks[..., 0].min() < 0, "points that leave the picture are kept"


def test_all_frames_of_a_segment_move_alike(make_segment: Make, generator: torch.Generator) -> None:
    out = Affine()(make_segment(3, 4, 32, still=True), generator=generator)
    assert torch.equal(out.frames, out.frames[:, :1].expand_as(out.frames))
    assert not torch.equal(out.landmarks[0], out.landmarks[1])


def test_grids_agree_with_those_of_torch(generator: torch.Generator) -> None:
    h, w = 20, 31
    matrix = torch.eye(2, 3) + torch.rand(4, 2, 3, generator=generator) * 0.2
    unit = torch.tensor(((2 / w, 0, 1 / w - 1), (0, 2 / h, 1 / h - 1), (0, 0, 1)))
    last = torch.tensor((0.0, 0, 1)).expand(4, 1, 3)
    theta = (unit @ torch.cat((matrix, last), dim=1) @ unit.inverse())[:, :2]
    expected = functional.affine_grid(theta, [4, 1, h, w], align_corners=False)
    torch.testing.assert_close(affine_grid(matrix, (h, w)), expected, rtol=0, atol=1e-5)
    double = torch.cat((matrix, last), dim=1) @ torch.cat((inverse(matrix), last), dim=1)
    torch.testing.assert_close(double, torch.eye(3).expand(4, 3, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_reads_the_same_positions_as_full_precision(
    dtype: torch.dtype, generator: torch.Generator
) -> None:
    ramp = torch.linspace(0, 1, 256).expand(1, 1, 4, 256).to(dtype)
    matrix = torch.tensor([[[1.0, 0, 0.25], [0, 1, 0]]])
    out = resample(ramp, affine_grid(matrix.to(dtype), (4, 256)))
    assert out.dtype == dtype
    expected = resample(ramp.float(), affine_grid(matrix, (4, 256)))
    assert torch.equal(out, expected.to(dtype))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: HorizontalFlip(p=1.5), "p must be in"),
        (lambda: CropMargin(side_range=(0.8, 1.2)), "side_range"),
        (lambda: Affine(scale_range=(0.0, 1.0)), "scale_range"),
        (lambda: Affine(degrees_range=(5.0, -5.0)), "degrees_range"),
    ],
)
def test_wrong_options_are_refused(wrong: Callable[[], Augmentation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_unknown_landmarks_are_refused_before_anything_is_drawn(generator: torch.Generator) -> None:
    segment = Segment.of(torch.zeros(1, 1, 3, 8, 8), torch.full((1, 1, 7, 2), torch.nan))
    with pytest.raises(ValueError, match="no flip table for 7"):
        HorizontalFlip(p=0.0).sample(segment, generator)
