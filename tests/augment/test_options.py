"""Impossible options are refused when an augmentation is made, not at the first draw."""

from __future__ import annotations

from typing import Any

import pytest

from mgst_data.augment import BlendMask, BlockCodec, CutOut, Freeze, Jpeg, OneOf, Recolour, SelfBlend, SourceWarp


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
