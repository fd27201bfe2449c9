"""Self-blending, and the dataclasses that hold its options."""

from mgst_data.augment.blend.donor import Donor
from mgst_data.augment.blend.drift import FRAME_MASKS
from mgst_data.augment.blend.mask import BlendMask
from mgst_data.augment.blend.pixels import SelfBlendParams
from mgst_data.augment.blend.recolour import Recolour
from mgst_data.augment.blend.regions import REGIONS, Part, Region
from mgst_data.augment.blend.self_blend import PRESETS, SelfBlend
from mgst_data.augment.blend.source_warp import SourceWarp

__all__ = [
    "FRAME_MASKS",
    "PRESETS",
    "REGIONS",
    "BlendMask",
    "Donor",
    "Part",
    "Recolour",
    "Region",
    "SelfBlend",
    "SelfBlendParams",
    "SourceWarp",
]
