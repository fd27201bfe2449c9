"""Patches: erased pixels are no longer forged, and tubes change exactly the patches that they mark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from step_checks import Make, assert_same, check, drawn, fields, forged, some_valid, twins
from torch import Tensor

from mgst_data.augment.base import Augmentation
from mgst_data.augment.patch import (
    CutOut,
    ErasedParams,
    ErasingTubes,
    PatchPaste,
    TubeFreeze,
    TubeLag,
    Tubes,
    TubesParams,
    TubeSwap,
)
from mgst_data.core import Segment, generator_for
from mgst_data.core.labels import patches
from mgst_data.core.segment import RealFakePair

ERASING = [CutOut(), CutOut(p_colour=0.0), ErasingTubes(), ErasingTubes(p_colour=1.0)]
TUBES = [TubeSwap(), TubeFreeze(), TubeLag(), TubeSwap(feather=0.0)]


def noisy(b: int = 2, t: int = 6, h: int = 28, w: int = 28, *, grid: int = 14, seed: int = 0) -> Segment:
    """Noise, so that any pixel that moves can be seen."""
    return Segment.of(torch.rand(b, t, 3, h, w, generator=generator_for(seed, "noise")), grid=grid)


def changed_patches(before: Tensor, after: Tensor, grid: int) -> Tensor:
    """Patches of which any pixel differs, pixels on a border between two counted to both."""
    differs = (before != after).any(dim=2, keepdim=True).float()
    return patches(differs, grid) > 0


@pytest.mark.parametrize("step", ERASING + TUBES, ids=repr)
@pytest.mark.parametrize("k", [0, 68])
def test_steps_keep_the_contract(make_segment: Make, device: torch.device, step: Augmentation, k: int) -> None:
    segment = make_segment(3, 6, 56)
    segment = segment if k else segment.replace(landmarks=torch.zeros(3, 6, 0, 2))
    check(step, forged(segment).to(device))


@pytest.mark.parametrize("step", ERASING, ids=repr)
@given(seed=st.integers(0, 10**6))
@drawn
def test_labels_match_what_erasing_leaves(step: Augmentation, seed: int) -> None:
    segment = noisy(2, 4, 40, 52, seed=seed)
    # The mask's own picture, raised so that no colour looks like it.
    segment = forged(segment, seed=seed)
    segment = segment.replace(frames=(segment.mask + 2).expand_as(segment.frames).contiguous())
    out = step(segment, generator=generator_for(seed))
    kept = out.frames[:, :, :1] >= 2
    assert not kept.all()
    assert torch.equal(out.mask, torch.where(kept, segment.mask, 0.0))
    torch.testing.assert_close(out.patch_label, patches(out.mask, 14), rtol=0, atol=1e-6)
    left = (out.mask.flatten(2).amax(dim=2) > 0).float()
    assert torch.equal(out.frame_label, left)
    assert torch.equal(out.label, left.amax(dim=1))
    assert torch.equal(out.valid, segment.valid)
    erased = out.frames.masked_select(~kept)
    assert erased.max() <= 1


def test_cut_out_stays_where_it_is(generator: torch.Generator) -> None:
    segment = noisy(4, 5)
    out = CutOut(p_colour=1.0)(segment, generator=generator)
    erased = (out.frames != segment.frames).any(dim=2)
    assert torch.equal(erased, erased[:, :1].expand_as(erased))
    for i, box in enumerate(erased[:, 0]):
        rows, columns = box.any(dim=1), box.any(dim=0)
        assert torch.equal(box, rows[:, None] & columns), "one box"
        colours = out.frames[i].movedim(1, -1)[erased[i]]
        assert (colours == colours[0]).all()
    assert not torch.equal(erased[0], erased[1])


def test_a_box_erases_its_pixels() -> None:
    segment = noisy(1, 2, 20, 40, grid=4)
    params = ErasedParams(
        torch.tensor([[[0.25, 0.5, 0.5, 1.0]]]), torch.tensor([[[False, True]]]), torch.tensor([[0.1, 0.2, 0.3]])
    )
    out = CutOut().apply(segment, params)
    expected = segment.frames.clone()
    expected[0, 1, :, 10:, 10:20] = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    assert torch.equal(out.frames, expected)


def test_boxes_and_colours_are_in_their_ranges() -> None:
    segment = noisy(200, 1, 4, 4, grid=2)
    colour = CutOut(p_colour=0.3).sample(segment, generator_for(0)).colour
    black = (colour == 0).all(dim=1).float().mean()
    assert 0.6 < black < 0.8
    box = CutOut(side_range=(0.2, 0.5)).sample(segment, generator_for(0)).box
    assert box.min() >= 0
    assert box.max() <= 1
    side = box[..., 2:] - box[..., :2]
    assert 0.199 < side.min() < 0.21
    assert 0.49 < side.max() < 0.501
    seen = ErasingTubes().sample(noisy(200, 10, 4, 4, grid=2), generator_for(0)).seen
    assert set(seen.any(dim=2).sum(dim=1).tolist()) == {1, 2, 3, 4}
    assert (seen.diff(dim=2).sum(dim=2) <= 2).all(), "one run"
    assert set(seen.sum(dim=2)[seen.any(dim=2)].tolist()) == {*range(2, 11)}


def test_a_fake_without_a_mask_loses_what_is_erased() -> None:
    segment = noisy(2, 2)
    fake = Segment.of(segment.frames, label=torch.ones(2))
    box = torch.tensor([[[0.0, 0.0, 3.5 / 14, 2 / 14]]]).expand(2, 1, 4)
    params = ErasedParams(box, torch.ones(2, 1, 2, dtype=torch.bool), torch.zeros(2, 3))
    out = CutOut().apply(fake, params)
    expected = torch.ones(2, 2, 14, 14)
    expected[..., :2, :3] = 0.0
    expected[..., :2, 3] = 0.5
    torch.testing.assert_close(out.patch_label, expected)
    assert out.label.min() == out.frame_label.min() == 1, "the rest of the face is still forged"


def test_a_partly_masked_fake_stays_fake_if_the_masked_part_is_erased() -> None:
    segment = noisy(1, 2)
    whole = Segment.of(segment.frames, label=torch.ones(1))
    mask = torch.zeros_like(whole.mask)
    mask[..., :2, :2] = 1.0
    box = ErasedParams(torch.tensor([[[0.0, 0.0, 0.2, 0.2]]]), torch.ones(1, 1, 2, dtype=torch.bool), torch.zeros(1, 3))
    assert CutOut().apply(whole.replace(mask=mask), box).label.tolist() == [1]
    small = whole.replace(mask=mask, patch_label=patches(mask, 14))
    assert CutOut().apply(small, box).label.tolist() == [0]
    once = ErasedParams(box.box, torch.tensor([[[True, False]]]), box.colour)
    out = CutOut().apply(small, once)
    assert out.frame_label.tolist() == [[0, 1]]
    assert out.label.tolist() == [1]


@pytest.mark.parametrize("step", TUBES, ids=repr)
@pytest.mark.parametrize(("h", "w"), [(28, 56), (64, 47), (40, 28)])
@given(seed=st.integers(0, 10**6))
@drawn
def test_patch_labels_mark_exactly_the_patches_that_change(step: Tubes, h: int, w: int, seed: int) -> None:
    segment = noisy(3, 5, h, w, seed=seed)
    valid = some_valid(3, 5, seed)
    segment = segment.replace(valid=valid)
    out = step(segment, generator=generator_for(seed))
    marked = out.patch_label == 1
    assert torch.equal(marked, changed_patches(segment.frames, out.frames, 14))
    assert torch.equal(out.patch_label, marked.float())
    assert torch.equal(out.frame_label, marked.flatten(2).any(dim=2).float())
    assert torch.equal(out.label, marked.flatten(1).any(dim=1).float())
    assert torch.equal((out.frames != segment.frames).any(dim=2), out.mask[:, :, 0] > 0)
    assert not marked[~valid].any()
    per_frame = marked.sum(dim=(2, 3))
    assert per_frame.max() <= 20
    # One run for all tubes of a segment, which share their places.
    used = per_frame.amax(dim=1, keepdim=True)
    assert ((per_frame == 0) | (per_frame == used)).all()


@pytest.mark.parametrize("kind", [TubeSwap, TubeFreeze, TubeLag])
def test_tubes_add_to_an_existing_forgery(kind: type[Tubes], generator: torch.Generator) -> None:
    segment = forged(noisy(h=84, w=84))
    out = kind(count_range=(90, 120))(segment, generator=generator)
    marked = changed_patches(segment.frames, out.frames, 14)
    assert torch.equal(out.patch_label, torch.where(marked, 1.0, segment.patch_label))
    assert (out.mask >= segment.mask).all()
    same = (out.frames == segment.frames).all(dim=2, keepdim=True)
    assert torch.equal(out.mask[same], segment.mask[same])


def one_tube(patch: list[int], source: list[int], shown: list[int]) -> TubesParams:
    n = len(patch)
    return TubesParams(
        torch.tensor([patch]), torch.tensor([source]), torch.ones(1, n, dtype=torch.bool), torch.tensor([shown])
    )


def test_swapped_patches_show_each_other() -> None:
    segment = noisy(1, 3, 24, 32, grid=4)
    out = TubeSwap(feather=0.0).apply(segment, one_tube([1, 14], [14, 1], [-1, 1, -1]))
    expected = segment.frames.clone()
    expected[:, 1, :, :6, 8:16] = segment.frames[:, 1, :, 18:, 16:24]
    expected[:, 1, :, 18:, 16:24] = segment.frames[:, 1, :, :6, 8:16]
    assert torch.equal(out.frames, expected)
    assert out.mask.sum() == 2 * 6 * 8


def test_frozen_and_lagging_patches_show_earlier_frames() -> None:
    segment = noisy(1, 4, 16, 16, grid=4)
    frozen = TubeFreeze(feather=0.0).apply(segment, one_tube([5], [5], [-1, 0, 0, -1]))
    expected = segment.frames.clone()
    expected[:, 1:3, :, 4:8, 4:8] = segment.frames[:, :1, :, 4:8, 4:8]
    assert torch.equal(frozen.frames, expected)
    lagging = TubeLag(feather=0.0).apply(segment, one_tube([5], [5], [-1, -1, 0, 1]))
    expected = segment.frames.clone()
    expected[:, 2:, :, 4:8, 4:8] = segment.frames[:, :2, :, 4:8, 4:8]
    assert torch.equal(lagging.frames, expected)


def test_pixels_fade_in_by_their_mask() -> None:
    segment = noisy(1, 3, 64, 64, grid=4)
    out = TubeLag(feather=0.25).apply(segment, one_tube([6], [6], [-1, 0, -1]))
    mixed = torch.lerp(segment.frames[:, 1], segment.frames[:, 0], out.mask[:, 1])
    torch.testing.assert_close(out.frames[:, 1], mixed)
    weight = out.mask[0, 1, 0, 16:32, 32:48]
    assert weight[0, 0] < weight[0, 8] < weight[8, 8] == 1
    assert torch.equal(weight, weight.flip(0))
    assert torch.equal(weight, weight.T)
    assert (weight[4:-4, 4:-4] == 1).all()


@pytest.mark.parametrize("valid", [[True, False, True, True], [False, True, True, True]])
def test_frames_without_a_face_are_neither_changed_nor_shown(valid: list[bool]) -> None:
    segment = noisy(1, 4, 16, 16, grid=4).replace(valid=torch.tensor([valid]))
    out = TubeFreeze().apply(segment, one_tube([5, 9], [5, 9], [-1, 0, 0, -1]))
    usable = [False, valid[0] and valid[1], valid[0] and valid[2], False]
    assert out.frame_label.tolist() == [[float(u) for u in usable]]
    if not any(usable):
        assert_same(out, segment)


def test_draws_are_in_their_ranges() -> None:
    segment = noisy(300, 10, 28, 28)
    order = torch.arange(10)
    for step in TUBES[:3]:
        params = step.sample(segment, generator_for(0))
        count = params.active.sum(dim=1)
        assert count.min() == 2
        assert count.max() == 20
        assert all(len(set(row)) == len(row) for row in params.patch.tolist())
        assert set(params.patch.flatten().tolist()) == {*range(196)}
        run = params.shown >= 0
        assert (run.int().diff(dim=1).abs().sum(dim=1) <= 2).all(), "one run"
        if isinstance(step, TubeSwap):
            assert (count % 2 == 0).all()
            there = torch.arange(300)[:, None] * 196
            ends = [(number + there)[params.active].tolist() for number in (params.patch, params.source)]
            pairs = {*zip(*ends, strict=True)}
            assert all((b, a) in pairs and a != b for a, b in pairs)
            assert torch.equal(params.shown[run], order.expand(300, 10)[run])
            assert set(run.sum(dim=1).tolist()) == {*range(2, 11)}
        elif isinstance(step, TubeLag):
            lag = (order - params.shown)[run]
            assert set(lag.tolist()) == {1, 2, 3}
        else:
            first = torch.where(run, params.shown, 99).amin(dim=1)
            assert torch.equal(run.float().argmax(dim=1), first + 1)
            assert set(run.sum(dim=1).tolist()) == {*range(2, 10)}


@given(seed=st.integers(0, 10**6))
@drawn
def test_pasted_patches_are_real(seed: int) -> None:
    pair = twins(noisy(3, 4, 56, 56, seed=seed), seed=seed)
    step = PatchPaste(count_range=(20, 60))
    params = step.sample(pair.fake, generator_for(seed))
    out = step.apply_to_pair(pair, params)
    assert out.real is pair.real
    run = params.shown >= 0
    there = torch.zeros(3, 4, 196).scatter(
        2, params.patch[:, None].expand(3, 4, -1), params.active[:, None] * 1.0 * run[..., None]
    )
    there = there.reshape(3, 4, 14, 14)
    inside = there.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, None].expand_as(pair.real.frames) > 0
    assert torch.equal(out.fake.frames[~inside], pair.fake.frames[~inside])
    assert (out.fake.mask <= pair.fake.mask).all()
    real = (out.fake.mask == 0).expand_as(inside)
    assert torch.equal(out.fake.frames[real], pair.real.frames[real])
    torch.testing.assert_close(
        out.fake.frames, torch.lerp(pair.real.frames, 1 - pair.real.frames, out.fake.mask), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(out.fake.patch_label, patches(out.fake.mask, 14), rtol=0, atol=1e-6)


def test_a_fake_that_is_fully_pasted_is_real() -> None:
    pair = twins(noisy(2, 2, 32, 32, grid=4))
    step = PatchPaste(count_range=(16, 16), share_range=(1.0, 1.0), feather=0.0)
    out = step(pair, generator=generator_for(0))
    for name in ("frames", "mask", "label", "frame_label", "patch_label"):
        assert torch.equal(fields(out.fake)[name], fields(pair.real)[name])
    # One of two frames is left, so the segment is still a fake.
    shown = torch.tensor([[0, -1]]).expand(2, 2)
    tubes = step.sample(pair.fake, generator_for(0))
    half = step.apply_to_pair(pair, TubesParams(tubes.patch, tubes.source, tubes.active, shown))
    assert half.fake.frame_label.tolist() == [[0, 1], [0, 1]]
    assert half.fake.label.tolist() == [1, 1]


def test_pasting_keeps_the_contract(device: torch.device) -> None:
    pair = twins(noisy(3, 4, 30, 41)).to(device)
    step = PatchPaste(p=0.7)
    params = step.sample(pair.fake, generator_for(0))
    out = step.apply_to_pair(pair, params)
    assert_same(step.apply_to_pair(pair, params).fake, out.fake)
    for i in range(3):
        assert_same(step.apply_to_pair(pair[i : i + 1], params[i : i + 1]).fake, out.fake[i : i + 1], atol=1e-6)
    half = step.apply_to_pair(pair.to(dtype=torch.bfloat16), params).fake
    assert half.frames.dtype == half.mask.dtype == torch.bfloat16
    torch.testing.assert_close(half.frames.float(), out.fake.frames, rtol=0, atol=0.02)
    assert len(step.apply_to_pair(pair.to("meta"), params)) == 3
    invalid = pair.fake.replace(valid=torch.zeros_like(pair.fake.valid))
    same = step.apply_to_pair(RealFakePair(pair.real, invalid), params).fake
    assert_same(same, invalid, atol=1e-6)
    assert torch.equal(same.frames, invalid.frames)


def test_pasting_happens_with_its_probability() -> None:
    active = PatchPaste(p=0.3).sample(noisy(500, 1), generator_for(0)).active.any(dim=1)
    assert 0.2 < active.float().mean() < 0.4


def test_pasting_needs_a_pair(generator: torch.Generator) -> None:
    with pytest.raises(TypeError, match="must be a RealFakePair"):
        PatchPaste()(noisy(), generator=generator)


@pytest.mark.parametrize("step", [*ERASING, TubeSwap(), PatchPaste()], ids=repr)
def test_pairs_of_single_pictures_work(step: Augmentation, generator: torch.Generator) -> None:
    pair = twins(noisy(2, 1, 56, 56))
    out = step(pair, generator=generator)
    untouched = (out.fake.mask == 0).expand_as(out.fake.frames)
    assert untouched.any()
    assert torch.equal(out.fake.frames[untouched], out.real.frames[untouched])
    assert (out.real is pair.real) == step.makes_fakes


@pytest.mark.parametrize(
    ("step", "segment", "message"),
    [
        (TubeFreeze(), (1, 1, 28, 28), "at least 2 frames, got 1"),
        (TubeLag(lag_range=(3, 3)), (1, 3, 28, 28), "at least 4 frames, got 3"),
        (TubeSwap(), (1, 2, 28, 27), "at least 2 x 2 pixels, got 14 x 14 patches in 28 x 27 pixels"),
        (TubeSwap(count_range=(200, 200)), (1, 2, 28, 28), "at least 200 patches"),
    ],
)
def test_invalid_combinations_are_refused(
    step: Augmentation, segment: tuple[int, int, int, int], message: str, generator: torch.Generator
) -> None:
    with pytest.raises(ValueError, match=message):
        step.sample(noisy(*segment), generator)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: CutOut(side_range=(0.1, 1.1)), "side_range"),
        (lambda: CutOut(p_colour=2.0), "p_colour"),
        (lambda: ErasingTubes(count_range=(0, 2)), "count_range"),
        (lambda: ErasingTubes(share_range=(0.5, 0.2)), "share_range"),
        (lambda: TubeSwap(count_range=(1, 2)), "count_range"),
        (lambda: TubeLag(lag_range=(0, 1)), "lag_range"),
        (lambda: TubeFreeze(feather=0.6), "feather"),
        (lambda: PatchPaste(p=-1.0), "p must be in"),
    ],
)
def test_wrong_options_are_refused(wrong: Callable[[], Augmentation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
