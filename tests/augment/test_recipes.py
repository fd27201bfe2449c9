"""Recipes: made of what exists, fit for twins, the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from mgst_data.augment import RECIPES, Greyscale, SegmentSequential, SelfBlend, label_preserving, temporal_fakes
from mgst_data.core import RealFakePair, generator_for


@pytest.mark.parametrize("name", tuple(RECIPES))
@pytest.mark.parametrize("t", [5, 8])
def test_twins_stay_twins(name, t, make_segment, device):
    segment = make_segment(6, t, 64).to(device)
    chain = SegmentSequential(SelfBlend(), RECIPES.get(name)())
    first, second = (chain(segment, generator=generator_for(7)) for _ in range(2))
    assert isinstance(first, RealFakePair)
    assert torch.equal(first.fake.frames, second.fake.frames)
    for twin in (first.real, first.fake):
        assert twin.frames.shape == segment.frames.shape
        assert twin.frames.isfinite().all()
        assert twin.frames.min() >= 0
        assert twin.frames.max() <= 1
    assert (first.real.label == 0).all()
    assert (first.real.mask == 0).all()


@pytest.mark.parametrize("name", ["train_default", "robust"])
def test_identical_twins_stay_identical(name, make_segment):
    segment = make_segment(6, 6, 64)
    pair = RECIPES.get(name)()(RealFakePair(segment, segment), generator=generator_for(1))
    assert isinstance(pair, RealFakePair)
    assert torch.equal(pair.real.frames, pair.fake.frames)
    assert (pair.real.frames != segment.frames).any()


def test_temporal_fakes_are_labelled(make_segment):
    segment = make_segment(20, 8, 64)
    pair = temporal_fakes()(RealFakePair(segment, segment), generator=generator_for(1))
    assert isinstance(pair, RealFakePair)
    changed = (pair.fake.frames != pair.real.frames).flatten(2).any(dim=2)
    assert torch.equal(pair.fake.label > 0, pair.fake.frame_label.amax(dim=1) > 0)
    assert ((pair.fake.frame_label > 0) | ~changed).all()
    assert 0.2 < float(pair.fake.label.mean()) < 0.8


def test_a_name_is_that_of_a_recipe_or_of_a_single_augmentation():
    assert repr(label_preserving("robust")) == repr(RECIPES.get("robust")())
    (step,) = label_preserving("greyscale").steps
    assert repr(step) == repr(Greyscale())


@pytest.mark.parametrize("step", [SegmentSequential(SelfBlend()), SelfBlend(), temporal_fakes(), Greyscale()])
def test_a_sequence_makes_fakes_if_one_of_its_steps_does(step):
    assert step.makes_fakes == (type(step) is not Greyscale)
    assert SegmentSequential(Greyscale(), step).makes_fakes == step.makes_fakes
