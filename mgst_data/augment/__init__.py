"""Augmentations of whole segments, on the device of the frames. Needs torch only.

Someone with another detector needs three names::

    from mgst_data.augment import SelfBlend
    from mgst_data.core import Segment

    pair = SelfBlend()(Segment.of(frames, landmarks), generator=torch.Generator().manual_seed(0))
"""

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params, Step
from mgst_data.augment.blend_mask import BlendMask
from mgst_data.augment.containers import Apply, OneOf, SegmentSequential
from mgst_data.augment.drift import GATE_MODES
from mgst_data.augment.presets import PRESETS
from mgst_data.augment.recolour import Recolour
from mgst_data.augment.regions import REGIONS, Part, Region
from mgst_data.augment.self_blend import SelfBlend, SelfBlendParams
from mgst_data.augment.source_warp import SourceWarp

__all__ = [
    "AUGMENTATIONS",
    "GATE_MODES",
    "PRESETS",
    "REGIONS",
    "Apply",
    "Augmentation",
    "BlendMask",
    "OneOf",
    "Params",
    "Part",
    "Recolour",
    "Region",
    "SegmentSequential",
    "SelfBlend",
    "SelfBlendParams",
    "SourceWarp",
    "Step",
]
