"""Self-blending, and the typed parts that its options are made of."""

from mgst_data.augment.blend.donor import Donor
from mgst_data.augment.blend.drift import GATE_MODES
from mgst_data.augment.blend.mask import BlendMask
from mgst_data.augment.blend.pixels import SelfBlendParams
from mgst_data.augment.blend.recolour import Recolour
from mgst_data.augment.blend.regions import REGIONS, Part, Region
from mgst_data.augment.blend.self_blend import PRESETS, SelfBlend
from mgst_data.augment.blend.source_warp import SourceWarp

__all__ = [
    "GATE_MODES",
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
