"""Recipes consist of registered augmentations, work on real-fake pairs, and repeat with the same seed."""

from __future__ import annotations

import re

import pytest
import torch

from mgst_data import augment
from mgst_data.augment import (
    AUGMENTATIONS,
    RECIPES,
    Greyscale,
    SegmentSequential,
    SelfBlend,
    label_preserving,
    temporal_fakes,
)
from mgst_data.augment.base import Augmentation, Step
from mgst_data.core import RealFakePair, UsageError, generator_for


@pytest.mark.parametrize("name", tuple(RECIPES))
@pytest.mark.parametrize("t", [5, 8])
def test_pairs_stay_pairs(name, t, make_segment, device):
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


@pytest.mark.parametrize("name", ["train_default", "sbi", "robust"])
def test_equal_segments_of_a_pair_stay_equal(name, make_segment):
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


def test_a_name_may_be_a_recipe_or_a_single_augmentation():
    assert repr(label_preserving("robust")) == repr(RECIPES.get("robust")())
    (step,) = label_preserving("greyscale").steps
    assert repr(step) == repr(Greyscale())


@pytest.mark.parametrize("step", [SegmentSequential(SelfBlend()), SelfBlend(), temporal_fakes(), Greyscale()])
def test_a_sequence_makes_fakes_if_one_of_its_steps_does(step):
    assert step.makes_fakes == (type(step) is not Greyscale)
    assert SegmentSequential(Greyscale(), step).makes_fakes == step.makes_fakes


CONTENT = {
    "train_default": (
        "HorizontalFlip(p=0.5)",
        "CropMargin(side_range=(0.85, 1.0))",
        "ColourJitter(brightness_range=(-0.1, 0.1), contrast_range=(0.9, 1.1), saturation_range=(0.8, 1.2),"
        " hue_range=(-0.02, 0.02), p=0.5)",
        "Apply(OneOf(GaussianBlur(sigma_range=(0.2, 1.5), p=1.0), GaussianNoise(sigma_range=(0.0, 0.03), p=1.0),"
        " Downscale(factors=(2, 3, 4), p=1.0), weights=(1.0, 1.0, 1.0)), p=0.3)",
        "Jpeg(quality_range=(40, 100), subsample=True, p=0.5)",
    ),
    "sbi": (
        "HorizontalFlip(p=0.5)",
        f"RgbShift(shift_range=({-20 / 255}, {20 / 255}), p=0.3)",
        "ColourJitter(brightness_range=(-0.3, 0.3), contrast_range=(0.7, 1.3), saturation_range=(1.0, 1.0),"
        " hue_range=(0.0, 0.0), p=0.3)",
        "Jpeg(quality_range=(40, 100), subsample=True, p=0.5)",
    ),
    "robust": (
        "HorizontalFlip(p=0.5)",
        "CropMargin(side_range=(0.8, 1.0))",
        "Apply(Affine(degrees_range=(-5.0, 5.0), scale_range=(0.95, 1.05), x_range=(-0.03, 0.03),"
        " y_range=(-0.015, 0.015)), p=0.3)",
        "ColourJitter(brightness_range=(-0.2, 0.2), contrast_range=(0.7, 1.3), saturation_range=(0.5, 1.5),"
        " hue_range=(-0.02, 0.02), p=0.7)",
        "Greyscale(p=0.05)",
        "Apply(Reverse(p=1), p=0.2)",
        "TimeMask(p=0.3, share_range=(0.0, 0.48))",
        "Apply(OneOf(CutOut(side_range=(0.1, 0.4), p_colour=0.5), ErasingTubes(count_range=(1, 4),"
        " share_range=(0.2, 1.0), side_range=(0.05, 0.25), p_colour=0.5), weights=(1.0, 1.0)), p=0.3)",
        "Apply(OneOf(GaussianBlur(sigma_range=(0.5, 3.0), p=1.0), GaussianNoise(sigma_range=(0.0, 0.08), p=1.0),"
        " Downscale(factors=(2, 3, 4), p=1.0), weights=(1.0, 1.0, 1.0)), p=0.5)",
        "OneOf(Jpeg(quality_range=(30, 100), subsample=True, p=1.0),"
        " BlockCodec(qp_range=(23, 42), key_every=8, p=1.0), weights=(0.6, 0.4))",
    ),
    "temporal_fakes": (
        "Apply(OneOf("
        "OneOf(ShuffleWindow(window_range=(3, 5)), SpliceLag(length_range=(2, 6), lag_range=(1, 3)),"
        " BoundaryJitter(length_range=(2, 8), weight_range=(0.4, 1.0)), weights=(1.0, 1.0, 1.0)), "
        "OneOf(TubeSwap(count_range=(2, 20), share_range=(0.25, 1.0), feather=0.25),"
        " TubeFreeze(count_range=(2, 20), share_range=(0.25, 1.0), feather=0.25),"
        " TubeLag(count_range=(2, 20), share_range=(0.25, 1.0), feather=0.25, lag_range=(1, 3)),"
        " weights=(1.0, 1.0, 1.0)), weights=(0.4, 0.6)), p=0.5)",
    ),
}


@pytest.mark.parametrize("name", CONTENT)
def test_a_recipe_has_exactly_these_steps_options_and_probabilities(name):
    assert tuple(map(repr, RECIPES.get(name)().steps)) == CONTENT[name]


def test_temporal_fakes_take_their_probability():
    assert repr(temporal_fakes(p=0.25)) == repr(temporal_fakes()).replace("p=0.5", "p=0.25")


@pytest.mark.parametrize("name", ["train_defaults", "temporal_fakes", "self_blend", "tube_swap", "h264"])
def test_a_name_that_is_unknown_or_makes_fakes_or_needs_an_option_is_refused(name):
    with pytest.raises(UsageError, match=name) as caught:
        label_preserving(name, where="augment.recipe")
    assert caught.value.where == "augment.recipe"


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "temporal_fakes"])
def test_label_preserving_returns_the_recipe(name):
    assert repr(label_preserving(name)) == repr(RECIPES.get(name)())


def test_every_public_augmentation_is_registered_under_its_name_in_snake_case():
    public = [getattr(augment, name) for name in augment.__all__]
    steps = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Step)}
    steps -= {Step, Augmentation, augment.Apply, augment.OneOf, SegmentSequential}
    names = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in steps}
    assert names
    assert {name: AUGMENTATIONS.get(name) for name in names if name in AUGMENTATIONS} == names
