"""Pure functions on tensors that the augmentations use: colour, warps, pyramids, scaling, random draws, tubes."""

from mgst_data.augment.functional.colour import (
    lab_to_rgb,
    luminance,
    match_colour,
    rgb_to_lab,
    rgb_to_ycbcr,
    shift_hsv,
    ycbcr_to_rgb,
)
from mgst_data.augment.functional.pyramid import pyramid_blend
from mgst_data.augment.functional.warp import affine_grid, resample, warp_segment

__all__ = [
    "affine_grid",
    "lab_to_rgb",
    "luminance",
    "match_colour",
    "pyramid_blend",
    "resample",
    "rgb_to_lab",
    "rgb_to_ycbcr",
    "shift_hsv",
    "warp_segment",
    "ycbcr_to_rgb",
]
