"""The checks for plug-ins: all built-in augmentations pass, and every violation of the contract is reported."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from broken_augmentations import BROKEN, Darker, Inverts, Mirrors
from torch import Tensor

from mgst_data.augment import (
    AUGMENTATIONS,
    PRESETS,
    RECIPES,
    Apply,
    ColourJitter,
    DropFrames,
    OneOf,
    SegmentSequential,
    SelfBlend,
    train_default,
)
from mgst_data.core import Detections, RealFakePair
from mgst_data.core.labels import patches
from mgst_data.testing import check_augmentation, check_detector, example_pair, example_segment


def coarse_codec(frames: Tensor, crf: int) -> Tensor:
    return frames // 4 * 4 + 2


# Options of augmentations that have no defaults, or whose defaults change too little.
OPTIONS = {
    "horizontal_flip": {"p": 0.7},
    "h264": {"codec": coarse_codec},
    "drop_frames": {"count": 2},
    "stride": {"length": 3},
    "reverse": {"p": 0.7},
    "time_mask": {"p": 1.0, "share_range": (0.3, 0.6)},
}
# Checks that do not apply: the order of sums differs, a codec runs on the CPU, a pair is needed.
EXCEPTIONS = {
    "self_blend": {"exact_batch": False},
    "h264": {"no_wait": False},
    "patch_paste": {"segment": example_pair(example_segment(b=2, t=5, size=42))},
}


@pytest.mark.parametrize("name", tuple(AUGMENTATIONS))
def test_every_registered_augmentation_follows_the_contract(name):
    step = AUGMENTATIONS.get(name)(**OPTIONS.get(name, {}))
    common = {"segment": example_segment(b=2, t=5, size=42), "draws": 1, "no_wait": True}
    check_augmentation(step, **(common | EXCEPTIONS.get(name, {})))


@pytest.mark.parametrize("name", tuple(PRESETS))
def test_every_preset_follows_the_contract(name):
    small = example_segment(b=2, t=2, size=42)
    check_augmentation(SelfBlend.preset(name), segment=small, draws=1, exact_batch=False, no_wait=True)


@pytest.mark.parametrize("name", tuple(RECIPES))
def test_every_recipe_follows_the_contract(name):
    check_augmentation(RECIPES.get(name)(), segment=example_segment(t=4), draws=1, seed=1)


def test_containers_follow_the_contract():
    jitter = Apply(OneOf(ColourJitter(), ColourJitter(hue_range=(0.1, 0.2))), p=0.8)
    check_augmentation(jitter, segment=example_segment(b=2, t=2), draws=1, no_wait=True)
    whole = SegmentSequential(SelfBlend(), train_default())
    check_augmentation(whole, segment=example_segment(b=2, t=2), draws=1, exact_batch=False, exact_mask=False)


@pytest.mark.parametrize("k", [0, 5, 81])
def test_other_numbers_of_landmarks(k):
    flip = AUGMENTATIONS.get("horizontal_flip")(p=0.7)
    check_augmentation(flip, segment=example_segment(b=2, t=2, k=k), draws=1)


def test_a_blend_of_single_frames():
    check_augmentation(SelfBlend(), segment=example_segment(b=2, t=1, k=81), draws=1, exact_batch=False)


def test_on_an_accelerator(device):
    segment = example_segment(b=2, t=4).to(device)
    check_augmentation(train_default(), segment=segment, draws=1, exact_batch=False, no_wait=True)


@pytest.fixture
def _their_own_random_state():
    """Restores the global generators that the broken augmentations use."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002


@pytest.mark.parametrize("sound", [Darker, Mirrors, Inverts])
def test_correct_augmentations_pass(sound):
    check_augmentation(sound(), segment=example_segment(b=2, t=4, size=42), draws=2, no_wait=True)


@pytest.mark.usefixtures("_their_own_random_state")
@pytest.mark.parametrize("broken", tuple(BROKEN))
def test_every_violation_of_the_contract_is_reported(broken):
    with pytest.raises(AssertionError, match=f"^{broken.__name__}: .*{BROKEN[broken]}"):
        check_augmentation(broken(), segment=example_segment(b=2, t=4, size=42), draws=1, no_wait=True)


def test_a_wrong_number_of_frames_is_reported():
    class KeepsItsLength(DropFrames):
        def shape_after(self, segment):
            return segment

    with pytest.raises(AssertionError, match=r"frames has shape \(2, 3, .*\) .*, but shape_after gives \(2, 4,"):
        check_augmentation(KeepsItsLength(1), segment=example_segment(b=2, t=4, size=42))


def test_a_mask_that_is_too_small_is_reported():
    class MasksLess(SelfBlend):
        def apply(self, segment, params):
            pair = super().apply(segment, params)
            mask = (pair.fake.mask - 0.2).clamp_min(0)
            patch_label = patches(mask, pair.fake.patch_label.shape[-1])
            return RealFakePair(pair.real, pair.fake.replace(mask=mask, patch_label=patch_label))

    with pytest.raises(AssertionError, match="pixels are changed where the mask is 0"):
        check_augmentation(MasksLess(), segment=example_segment(b=2, t=4, size=42), draws=1, exact_batch=False)


def one_face_a_frame(frames: Tensor) -> Detections:
    boxes = torch.tensor((2.0, 2.0, 9.0, 9.0)).expand(len(frames), 4) * (frames.amax(dim=(1, 2, 3)) > 0)[:, None]
    n = torch.arange(len(frames))
    found = Detections(n, boxes, torch.ones(len(n)), torch.full((len(n), 5, 2), 5.0))
    return found[boxes[:, 2] > 0]


def test_a_detector_accepts_an_empty_batch():
    frames = torch.full((2, 3, 12, 12), 9, dtype=torch.uint8)
    check_detector(one_face_a_frame, frames)

    def first_frame_first(frames):
        assert frames[0].ndim == 3
        return one_face_a_frame(frames)

    with pytest.raises(AssertionError, match="an empty batch fails: IndexError"):
        check_detector(first_frame_first, frames)

    def blank_frame_instead(frames):
        return one_face_a_frame(frames if len(frames) else torch.ones(1, 3, 12, 12, dtype=torch.uint8))

    with pytest.raises(AssertionError, match="finds 1 faces in an empty batch"):
        check_detector(blank_frame_instead, frames)


def test_an_unknown_number_of_landmarks_is_an_error():
    with pytest.raises(ValueError, match="k must be a known number of landmarks, got 7; known: 0, 5, 68, 81"):
        example_segment(k=7)


def test_the_checks_import_no_test_libraries():
    code = "import sys; from mgst_data.testing import check_augmentation, check_detector, check_layout; "
    code += "print([m for m in ('av', 'cv2', 'dlib', 'pytest', 'torchvision', 'webdataset') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
