"""Containers of augmentations, and their parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.augment import Apply, Augmentation, OneOf, Params, SegmentSequential, SelfBlend
from mgst_data.augment.patch import PatchPaste
from mgst_data.core import RealFakePair, Segment, generator_for


@dataclass(frozen=True)
class LightParams(Params):
    offset: Float[Tensor, " b"]


class Light(Augmentation[LightParams]):
    """Adds an offset between ``low`` and ``low + 0.1``."""

    def __init__(self, low: float = 0.0) -> None:
        self.low = low

    def sample(self, segment: Segment, generator: torch.Generator) -> LightParams:
        return LightParams(torch.rand(len(segment), generator=generator) * 0.1 + self.low)

    def apply(self, segment: Segment, params: LightParams) -> Segment:
        offset = params.offset.to(segment.frames)[:, None, None, None, None]
        return segment.replace(frames=segment.frames + offset)

    def __repr__(self) -> str:
        return f"Light({self.low})"


class Mark(Light):
    """A light that makes fakes."""

    makes_fakes = True

    def apply(self, segment: Segment, params: LightParams) -> Segment:
        return super().apply(segment, params).replace(label=torch.ones_like(segment.label))


class Halve(Light):
    """Keeps every other frame."""

    def shape_after(self, segment: Segment) -> Segment:
        return self._kept(segment)

    def apply(self, segment: Segment, params: LightParams) -> Segment:
        return self._kept(segment)

    @staticmethod
    def _kept(segment: Segment) -> Segment:
        fields = ("frames", "landmarks", "valid", "mask", "frame_label", "patch_label")
        return segment.replace(**{name: getattr(segment, name)[:, ::2] for name in fields})


def offset_of(segment, before):
    return (segment.frames - before.frames).mean(dim=(1, 2, 3, 4))


def test_a_sequence_equals_its_steps(make_segment, generator):
    segment = make_segment(3)
    both = SegmentSequential(Light(), Light(0.5))
    params = both.sample(segment, generator)
    expected = Light().apply(Light().apply(segment, params.steps[0]), params.steps[1])
    assert torch.equal(both.apply_any(segment, params).frames, expected.frames)


def test_steps_after_a_blend_change_both_segments_alike(make_segment, generator):
    segment = make_segment(3, size=96)
    pair = SegmentSequential(SelfBlend(frame_mask={"all": 1.0}), Light())(segment, generator=generator)
    assert isinstance(pair, RealFakePair)
    outside = (pair.fake.mask == 0).expand_as(pair.fake.frames)
    assert torch.equal(pair.fake.frames[outside], pair.real.frames[outside])


def test_label_making_steps_change_the_fake_only(make_segment, generator):
    segment = make_segment(3)
    pair = RealFakePair(segment, segment)
    after = Mark(0.2)(pair, generator=generator)
    assert torch.equal(after.real.frames, segment.frames)
    assert (after.fake.label == 1).all()
    assert (after.real.label == 0).all()
    assert (offset_of(after.fake, segment) > 0.19).all()


def test_a_step_is_drawn_for_the_shape_that_it_gets(make_segment, generator):
    seen = []

    class Spy(Light):
        def sample(self, segment, generator):
            seen.append(segment.frames.shape[1])
            return super().sample(segment, generator)

    after = SegmentSequential(Halve(), Spy())(make_segment(2, 8), generator=generator)
    assert seen == [4]
    assert after.frames.shape[1] == 4


def test_apply_leaves_the_others_as_they_are(make_segment, device):
    segment = make_segment(64, 1, 16).to(device)
    some = Apply(Light(0.5), p=0.3)
    params = some.sample(segment, generator_for(0))
    moved = offset_of(some.apply(segment, params), segment) > 0.4
    assert torch.equal(moved.cpu(), params.active)
    assert 0.1 < params.active.float().mean() < 0.5
    for p, expected in ((0.0, False), (1.0, True)):
        after = Apply(Light(0.5), p=p)(segment, generator=generator_for(1))
        assert ((offset_of(after, segment) > 0.4) == expected).all()


def test_apply_selects_both_segments_of_a_pair(make_segment):
    segment = make_segment(40, 2, 32)
    pair = RealFakePair(segment, segment)
    for step in (Apply(Mark(0.5), p=0.5), OneOf(Mark(0.5), Mark(0.5))):
        after = step(pair, generator=generator_for(0))
        assert torch.equal(after.real.frames, segment.frames)
        assert torch.equal(after.fake.label > 0, offset_of(after.fake, segment) > 0.4)
    after = Apply(Light(0.5), p=0.5)(pair, generator=generator_for(0))
    assert torch.equal(after.real.frames, after.fake.frames)
    paste = Apply(PatchPaste(p=1.0), p=0.5)
    assert isinstance(paste(pair, generator=generator_for(0)), RealFakePair)


def test_one_of_applies_the_chosen_option(make_segment, device):
    segment = make_segment(90, 1, 16).to(device)
    one = OneOf(Light(0.0), Light(0.3), Light(0.6), weights=(1, 1, 2))
    params = one.sample(segment, generator_for(0))
    moved = offset_of(one.apply(segment, params), segment)
    assert torch.equal((moved / 0.3).floor().long().cpu(), params.choice)
    shares = torch.bincount(params.choice, minlength=3) / 90
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.25, 0.5]), rtol=0, atol=0.15)


def test_a_part_of_a_batch_gives_a_part_of_the_result(make_segment, generator):
    segment = make_segment(6)
    chain = SegmentSequential(Apply(Light(), p=0.5), OneOf(Light(0.3), Apply(Light(0.6), p=0.5)))
    params = chain.sample(segment, generator)
    whole = chain.apply_any(segment, params)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(chain.apply_any(segment[rows], params[rows]).frames, whole.frames[rows])
    assert len(params) == 6
    json.dumps(params.as_dict())


def test_invalid_combinations_are_refused(make_segment, generator):
    with pytest.raises(ValueError, match="at least one step"):
        SegmentSequential()
    with pytest.raises(ValueError, match="at least one option"):
        OneOf()
    with pytest.raises(ValueError, match=r"one value per option \(1\), got 2"):
        OneOf(Light(), weights=(1, 2))
    with pytest.raises(ValueError, match="all label-making or all label-preserving"):
        OneOf(Light(), Mark())
    with pytest.raises(ValueError, match="p must be in"):
        Apply(Light(), p=2.0)
    with pytest.raises(ValueError, match="to the whole batch"):
        Apply(Halve(), p=1.0)(make_segment(2, 4), generator=generator)


def test_repr_shows_the_options():
    chain = SegmentSequential(Apply(Light(), p=0.5), OneOf(Light(0.3), Light(0.6)))
    assert (
        repr(chain) == "SegmentSequential(Apply(Light(0.0), p=0.5), OneOf(Light(0.3), Light(0.6), weights=(1.0, 1.0)))"
    )
