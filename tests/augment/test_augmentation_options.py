"""Impossible options are refused when an augmentation is made, not at the first draw."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from mgst_data.augment import (
    H264,
    Affine,
    BlendMask,
    BlockCodec,
    BoundaryJitter,
    ColourJitter,
    CropMargin,
    CutOut,
    Donor,
    ErasingTubes,
    Freeze,
    GaussianBlur,
    GaussianNoise,
    Jpeg,
    OneOf,
    Recolour,
    SelfBlend,
    Sharpen,
    SourceWarp,
    TimeMask,
    TubeSwap,
)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Jpeg, {"quality_range": (0, 90)}),
        (BlockCodec, {"qp_range": (23, 52)}),
        (BlendMask, {"size_range": (0, 256)}),
        (BlendMask, {"edge_drift": -0.1}),
        (SourceWarp, {"translation": (0.03, -0.015)}),
        (SourceWarp, {"scale_drift": -1.0}),
        (Recolour, {"rgb_shift": -0.1}),
        (Recolour, {"hsv_shift": (0.1, 0.1, -0.1)}),
        (Recolour, {"contrast": float("nan")}),
        (SelfBlend, {"drift": -1.0}),
        (SelfBlend, {"colour_drift": -0.01}),
    ],
)
def test_impossible_options_are_refused_by_name(make: Any, options: dict[str, Any]):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        make(**options)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.0, -0.5)])
def test_impossible_weights_are_refused(weights: tuple[float, float]):
    with pytest.raises(ValueError, match="weights must be at least 0 and not all 0"):
        OneOf(CutOut(), Freeze(), weights=weights)


# Option, lowest and highest value that a range may have; None for no limit.
LIMITS = [
    (CropMargin, "side_range", 0.05, 1.0),
    (Affine, "degrees_range", -180.0, 180.0),
    (Affine, "scale_range", 0.1, 10.0),
    (Affine, "x_range", -1.0, 1.0),
    (Affine, "y_range", -1.0, 1.0),
    (CutOut, "side_range", 0.0, 1.0),
    (ErasingTubes, "share_range", 0.0, 1.0),
    (TubeSwap, "share_range", 0.0, 1.0),
    (ColourJitter, "brightness_range", -1.0, 1.0),
    (ColourJitter, "contrast_range", 0.0, None),
    (ColourJitter, "saturation_range", 0.0, None),
    (ColourJitter, "hue_range", -1.0, 1.0),
    (GaussianBlur, "sigma_range", 0.0, None),
    (GaussianNoise, "sigma_range", 0.0, None),
    (Sharpen, "alpha_range", 0.0, None),
    (TimeMask, "share_range", 0.0, 1.0),
    (BoundaryJitter, "weight_range", 0.05, 1.0),
    (Jpeg, "quality_range", 1, 100),
    (BlockCodec, "qp_range", 0, 51),
    (partial(H264, lambda frames, crf: frames), "crf_range", 0, 51),
    (Donor, "fit_range", 0.0, 1.0),
    (Donor, "match_range", 0.0, 1.0),
    (BlendMask, "size_range", 1, None),
    (BlendMask, "shrink_range", 1, None),
    (BlendMask, "soften_range", 1, None),
    (BlendMask, "sigma_range", 0.1, None),
    (BlendMask, "landmark_drift_range", 0.0, None),
    (Recolour, "sharpen_range", 0.0, 1.0),
    (SelfBlend, "rho_range", 0.0, 0.999),
    (SourceWarp, "scale_range", 0.1, 10.0),
    (SourceWarp, "jump_scale_range", 0.0, 0.9),
    (SourceWarp, "rotation_range", 0.0, 180.0),
    (SourceWarp, "jump_rotation_range", 0.0, 180.0),
    (SourceWarp, "jump_translation_range", 0.0, None),
]


@pytest.mark.parametrize(("make", "name", "low", "high"), LIMITS)
def test_ranges_reach_their_limits_and_no_further(make: Any, name: str, low: float, high: float | None):
    most, step = (low + 2 if high is None else high), 1 if isinstance(low, int) else 1e-4
    made = make(**{name: (low, most)})
    assert getattr(made, name) == (low, most)
    beyond = [(low - step, most), (most, low)] + ([] if high is None else [(low, high + step)])
    for wrong in beyond:
        with pytest.raises(ValueError, match=name):
            make(**{name: wrong})
