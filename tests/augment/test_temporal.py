"""Temporal augmentations: all fields of a frame move with it, and frames that show another frame are marked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from step_checks import Make, assert_same, check, drawn, fields, forged, some_valid, twins
from torch import Tensor

from mgst_data.augment.base import Augmentation
from mgst_data.augment.temporal import (
    BoundaryJitter,
    BoundaryJitterParams,
    DropFrames,
    FrameIndex,
    FrameIndexParams,
    Freeze,
    Reverse,
    ShuffleWindow,
    SpliceLag,
    Stride,
    TimeMask,
    TimeMaskParams,
)
from mgst_data.core import Segment, generator_for

KEEPING = [Freeze(), DropFrames(2), Stride(3), Reverse(p=0.5), TimeMask(p=1.0)]
MAKING = [ShuffleWindow(), SpliceLag(), BoundaryJitter(), BoundaryJitter(weight_range=(1.0, 1.0))]


def counted(b: int, t: int, *, valid: Tensor | None = None) -> Segment:
    """Segments whose fields encode the frame number: frames, mask and labels are number / 100."""
    number = torch.arange(t).float()
    share = (number / 100).expand(b, t)
    return Segment(
        frames=share[:, :, None, None, None].expand(b, t, 3, 8, 8).clone(),
        landmarks=number[None, :, None, None].expand(b, t, 5, 2).clone(),
        valid=torch.ones(b, t, dtype=torch.bool) if valid is None else valid,
        mask=share[:, :, None, None, None].expand(b, t, 1, 8, 8).clone(),
        label=share.amax(dim=1),
        frame_label=share.clone(),
        patch_label=share[:, :, None, None].expand(b, t, 4, 4).clone(),
    )


def shown(segment: Segment) -> Tensor:
    """Numbers of the frames that a segment made by :func:`counted` shows now, by its landmarks."""
    return segment.landmarks[:, :, 0, 0].round().long()


@pytest.mark.parametrize("step", KEEPING + MAKING, ids=repr)
@pytest.mark.parametrize("k", [0, 68])
def test_steps_keep_the_contract(make_segment: Make, device: torch.device, step: Augmentation, k: int) -> None:
    segment = make_segment(3, 8, 32)
    segment = segment if k else segment.replace(landmarks=torch.zeros(3, 8, 0, 2))
    check(step, forged(segment).to(device))


@pytest.mark.parametrize("step", KEEPING[:4], ids=repr)
@given(seed=st.integers(0, 10**6), t=st.integers(5, 12))
@drawn
def test_all_fields_of_a_frame_move_with_it(step: FrameIndex, seed: int, t: int) -> None:
    segment = counted(3, t, valid=some_valid(3, t, seed))
    params = step.sample(segment, generator_for(seed))
    out = step.apply(segment, params)
    assert torch.equal(shown(out), params.index)
    share = params.index / 100
    for name in ("frames", "mask", "patch_label", "frame_label"):
        value = fields(out)[name].flatten(2) if name != "frame_label" else out.frame_label[:, :, None]
        torch.testing.assert_close(value, share[:, :, None].expand_as(value), rtol=0, atol=1e-6)
    assert torch.equal(out.valid, segment.valid.gather(1, params.index))
    torch.testing.assert_close(out.label, out.frame_label.amax(dim=1))


@given(seed=st.integers(0, 10**6), t=st.integers(2, 12))
@drawn
def test_a_frozen_run_shows_its_first_frame(seed: int, t: int) -> None:
    index = Freeze(length_range=(2, 5)).sample(counted(4, t), generator_for(seed)).index
    moved = (index != torch.arange(t)).sum(dim=1)
    assert moved.min() >= 1
    assert moved.max() <= min(4, t - 1)
    for row in index.tolist():
        first = next(i for i in range(t) if row.count(i) > 1)
        count = row.count(first)
        assert row == [*range(first), *[first] * count, *range(first + count, t)]


@given(seed=st.integers(0, 10**6), t=st.integers(3, 12))
@drawn
def test_dropped_frames_leave_the_others_in_order(seed: int, t: int) -> None:
    out = DropFrames(2)(counted(3, t), generator=generator_for(seed))
    assert out.frames.shape[1] == t - 2
    assert t == 3 or (shown(out).diff(dim=1) > 0).all()


@given(seed=st.integers(0, 10**6), t=st.integers(3, 16))
@drawn
def test_strides_are_even_and_as_long_as_they_may_be(seed: int, t: int) -> None:
    numbers = shown(Stride(3, stride_range=(1, 3))(counted(4, t), generator=generator_for(seed)))
    steps = numbers.diff(dim=1)
    assert numbers.shape == (4, 3)
    assert (steps == steps[:, :1]).all()
    assert steps.min() >= 1
    assert steps.max() <= min(3, (t - 1) // 2)


def test_a_stride_takes_one_frame_of_segments_of_one(generator: torch.Generator) -> None:
    assert shown(Stride(1)(counted(2, 1), generator=generator)).tolist() == [[0], [0]]


def test_reversing_twice_changes_nothing(make_segment: Make, generator: torch.Generator) -> None:
    segment = forged(make_segment(2, 5, 16))
    step = Reverse(p=1.0)
    once = step(segment, generator=generator)
    assert torch.equal(once.frames, segment.frames.flip(1))
    assert_same(step(once, generator=generator), segment)


@given(seed=st.integers(0, 10**6), t=st.integers(3, 12))
@drawn
def test_a_shuffled_window_is_another_order_of_itself(seed: int, t: int) -> None:
    index = ShuffleWindow().sample(counted(8, t), generator_for(seed)).index
    order = torch.arange(t)
    assert torch.equal(index.sort(dim=1).values, order.expand_as(index))
    for row in index:
        moved = (row != order).nonzero()[:, 0]
        assert len(moved) >= 2
        assert moved[-1] - moved[0] < 5


@given(seed=st.integers(0, 10**6), t=st.integers(3, 14))
@drawn
def test_a_spliced_run_comes_from_nearby(seed: int, t: int) -> None:
    index = SpliceLag().sample(counted(8, t), generator_for(seed)).index
    assert index.min() >= 0
    assert index.max() < t
    for row in index - torch.arange(t):
        moved = row.nonzero()[:, 0]
        assert 2 <= len(moved) <= 6
        assert len(moved) == moved[-1] - moved[0] + 1, "one run"
        assert (row[moved] == row[moved[0]]).all()
        assert 1 <= row[moved[0]].abs() <= 3


@given(seed=st.integers(0, 10**6), t=st.integers(3, 12))
@drawn
def test_jitter_mixes_the_neighbours_across_a_cut(seed: int, t: int) -> None:
    step, segment = BoundaryJitter(), counted(8, t)
    params = step.sample(segment, generator_for(seed))
    offset = params.index - torch.arange(t)
    assert ((offset == 0) == (params.weight == 0)).all()
    for row in offset.tolist():
        assert row.count(-1) == 1
        assert row.count(1) <= 1
        if 1 in row:
            assert row.index(1) > row.index(-1)
    out = step.apply(segment, params)
    expected = torch.arange(t) + offset * params.weight
    torch.testing.assert_close(out.landmarks[:, :, 0, 0], expected)
    torch.testing.assert_close(out.frames[:, :, 0, 0, 0], expected / 100)


def test_every_position_can_be_drawn() -> None:
    segment = counted(400, 8)
    for step, reached in ((Freeze(), range(1, 8)), (ShuffleWindow(), range(8)), (SpliceLag(), range(8))):
        index = step.sample(segment, generator_for(1)).index
        assert (index != torch.arange(8)).any(dim=0).nonzero()[:, 0].tolist() == list(reached), step
    kept = DropFrames(1).sample(segment, generator_for(1)).index
    assert sorted({28 - sum(row) for row in kept.tolist()}) == [*range(8)]
    weight = BoundaryJitter().sample(segment, generator_for(1)).weight
    assert (weight > 0).any(dim=0).nonzero()[:, 0].tolist() == [*range(1, 7)]


@pytest.mark.parametrize("step", MAKING, ids=repr)
@given(seed=st.integers(0, 10**6))
@drawn
def test_frames_that_show_another_one_are_marked(step: Augmentation, seed: int) -> None:
    segment = counted(4, 9, valid=some_valid(4, 9, seed))
    out = step(segment, generator=generator_for(seed))
    changed = (out.landmarks != segment.landmarks).flatten(2).any(dim=2)
    assert torch.equal((out.frames != segment.frames).flatten(2).any(dim=2), changed)
    for name in ("mask", "patch_label", "frame_label"):
        before, after = fields(segment)[name], fields(out)[name]
        assert (after[changed] == 1).all()
        assert torch.equal(after[~changed], before[~changed])
    assert torch.equal(out.label, torch.where(changed.any(dim=1), 1.0, segment.label))


@pytest.mark.parametrize("step", MAKING[:2], ids=repr)
@given(seed=st.integers(0, 10**6))
@drawn
def test_frames_without_a_face_neither_change_nor_are_shown_elsewhere(step: FrameIndex, seed: int) -> None:
    valid = some_valid(4, 9, seed, share=0.6)
    segment = counted(4, 9, valid=valid)
    params = step.sample(segment, generator_for(seed))
    numbers = shown(step.apply(segment, params))
    order = torch.arange(9).expand(4, 9)
    usable = valid & valid.gather(1, params.index)
    assert torch.equal(numbers, torch.where(usable, params.index, order))


@pytest.mark.parametrize("step", MAKING, ids=repr)
def test_segments_without_faces_stay_as_they_are(step: Augmentation, generator: torch.Generator) -> None:
    segment = counted(2, 8, valid=torch.zeros(2, 8, dtype=torch.bool))
    segment = segment.replace(landmarks=torch.full_like(segment.landmarks, float("nan")))
    assert_same(step(segment, generator=generator), segment)


def test_jitter_leaves_unusable_frames(make_segment: Make) -> None:
    segment = make_segment(1, 4, 16)
    valid = torch.tensor([[True, False, True, True]])
    params = BoundaryJitterParams(torch.tensor([[0, 0, 3, 3]]), torch.tensor([[0, 0.5, 0.5, 0]]))
    out = BoundaryJitter().apply(segment.replace(valid=valid), params)
    assert out.frame_label.tolist() == [[0, 0, 1, 0]]
    assert torch.equal(out.frames[:, :2], segment.frames[:, :2])
    torch.testing.assert_close(out.frames[:, 2], segment.frames[:, 2:].mean(dim=1))


def test_masked_frames_are_black_and_not_valid(make_segment: Make) -> None:
    segment = forged(make_segment(2, 5, 16))
    masked = torch.zeros(2, 5, dtype=torch.bool)
    masked[0, 1:3] = True
    out = TimeMask().apply(segment, TimeMaskParams(masked))
    assert torch.equal(out.valid, ~masked)
    assert torch.equal(out.landmarks, segment.landmarks)
    for name in ("frames", "mask", "patch_label", "frame_label"):
        before, after = fields(segment)[name], fields(out)[name]
        assert (after[masked] == 0).all()
        assert torch.equal(after[~masked], before[~masked])
    assert out.label.tolist() == [1, 1]
    assert TimeMask().apply(segment, TimeMaskParams(torch.zeros(2, 5, dtype=torch.bool))) is segment


@pytest.mark.parametrize(("t", "most"), [(25, 12), (16, 7), (2, 0), (1, 0)])
def test_time_masks_are_runs_of_at_most_12_of_25_frames(t: int, most: int) -> None:
    masked = TimeMask(p=1.0).sample(counted(500, t), generator_for(0)).masked
    assert masked.sum(dim=1).max() == most
    assert (masked.diff(dim=1).sum(dim=1) <= 2).all(), "one run"
    half = TimeMask(share_range=(0.5, 0.5)).sample(counted(500, 4), generator_for(0)).masked.any(dim=1)
    assert 0.4 < half.float().mean() < 0.6


@pytest.mark.parametrize(
    ("step", "index", "frame_label", "label"),
    [
        (DropFrames(1), [[0, 1, 3]], [0, 0, 0], 0.0),
        (DropFrames(1), [[0, 1, 2]], [0, 0, 1], 1.0),
        (Freeze(), [[0, 1, 1, 1]], [0, 0, 0, 0], 0.0),
        (Freeze(), [[0, 1, 2, 2]], [0, 0, 1, 1], 1.0),
    ],
)
def test_labels_become_0_with_the_last_forged_frame(
    make_segment: Make, step: FrameIndex, index: list[list[int]], frame_label: list[int], label: float
) -> None:
    only = torch.tensor([[0.0, 0, 1, 0]])
    fake = make_segment(1, 4, 16).replace(frame_label=only, label=torch.ones(1))
    out = step.apply(fake, FrameIndexParams(torch.tensor(index)))
    assert out.frame_label.tolist() == [frame_label]
    assert out.label.tolist() == [label]


def test_labels_become_0_if_the_last_forged_frame_is_masked(make_segment: Make) -> None:
    fake = make_segment(1, 4, 16).replace(frame_label=torch.tensor([[0.0, 0, 1, 0]]), label=torch.ones(1))
    assert TimeMask().apply(fake, TimeMaskParams(torch.tensor([[False, False, True, True]]))).label.tolist() == [0]
    assert TimeMask().apply(fake, TimeMaskParams(torch.tensor([[True, True, False, True]]))).label.tolist() == [1]


@pytest.mark.parametrize("step", KEEPING + MAKING, ids=repr)
def test_pairs_stay_pairs(make_segment: Make, generator: torch.Generator, step: Augmentation) -> None:
    pair = twins(make_segment(2, 8, 32))
    out = step(pair, generator=generator)
    if step.makes_fakes:
        assert out.real is pair.real
    untouched = (out.fake.mask == 0).expand_as(out.fake.frames)
    assert untouched.any()
    assert torch.equal(out.fake.frames[untouched], out.real.frames[untouched])
    assert out.real.label.max() == out.real.mask.max() == 0


@pytest.mark.parametrize("step", [Reverse(p=1.0), TimeMask(p=1.0), Stride(1)], ids=repr)
def test_single_pictures_work(make_segment: Make, generator: torch.Generator, step: Augmentation) -> None:
    segment = make_segment(2, 1, 16)
    assert_same(step(segment, generator=generator), segment)


@pytest.mark.parametrize(
    ("step", "needed"),
    [
        (Freeze(), 2),
        (DropFrames(3), 4),
        (Stride(4, stride_range=(2, 3)), 7),
        (ShuffleWindow(), 3),
        (SpliceLag(length_range=(3, 4), lag_range=(2, 3)), 5),
        (BoundaryJitter(), 3),
    ],
)
def test_segments_that_are_too_short_are_refused(generator: torch.Generator, step: Augmentation, needed: int) -> None:
    step.sample(counted(2, needed), generator)
    with pytest.raises(ValueError, match=f"at least {needed} frames, got {needed - 1}"):
        step.sample(counted(2, needed - 1), generator)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Freeze(length_range=(1, 3)), "length_range"),
        (lambda: DropFrames(0), "count must be at least 1"),
        (lambda: Stride(0), "length must be at least 1"),
        (lambda: Stride(4, stride_range=(3, 1)), "stride_range"),
        (lambda: Reverse(p=-0.1), "p must be in"),
        (lambda: TimeMask(share_range=(0.0, 1.1)), "share_range"),
        (lambda: ShuffleWindow(window_range=(1, 5)), "window_range"),
        (lambda: SpliceLag(lag_range=(0, 3)), "lag_range"),
        (lambda: BoundaryJitter(weight_range=(0.0, 1.0)), "weight_range"),
    ],
)
def test_wrong_options_are_refused(wrong: Callable[[], Augmentation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
