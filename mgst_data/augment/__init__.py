"""Augmentations of whole segments, on the device of the frames. Needs torch only.

A detector from another project needs three names::

    from mgst_data.augment import SelfBlend
    from mgst_data.core import Segment

    pair = SelfBlend()(Segment.of(frames, landmarks), generator=torch.Generator().manual_seed(0))
"""

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params, Step
from mgst_data.augment.blend import (
    FRAME_MASKS,
    PRESETS,
    REGIONS,
    BlendMask,
    Donor,
    Part,
    Recolour,
    Region,
    SelfBlend,
    SelfBlendParams,
    SourceWarp,
)
from mgst_data.augment.compression import H264, BlockCodec, FrameCodec, Jpeg
from mgst_data.augment.containers import Apply, OneOf, SegmentSequential
from mgst_data.augment.geometric import Affine, CropMargin, FaceCrop, HorizontalFlip
from mgst_data.augment.patch import CutOut, ErasingTubes, PatchPaste, TubeFreeze, TubeLag, TubeSwap
from mgst_data.augment.photometric import ColourJitter, Greyscale, RgbShift
from mgst_data.augment.quality import (
    Downscale,
    GaussianBlur,
    GaussianNoise,
    Rescale,
    Sharpen,
    SmoothSkin,
    UnsharpMask,
)
from mgst_data.augment.recipes import RECIPES, label_preserving, robust, sbi, temporal_fakes, train_default, varied
from mgst_data.augment.temporal import (
    BoundaryJitter,
    DropFrames,
    Freeze,
    Reverse,
    ShuffleWindow,
    SpliceLag,
    Stride,
    TimeMask,
)

__all__ = [
    "AUGMENTATIONS",
    "FRAME_MASKS",
    "H264",
    "PRESETS",
    "RECIPES",
    "REGIONS",
    "Affine",
    "Apply",
    "Augmentation",
    "BlendMask",
    "BlockCodec",
    "BoundaryJitter",
    "ColourJitter",
    "CropMargin",
    "CutOut",
    "Donor",
    "Downscale",
    "DropFrames",
    "ErasingTubes",
    "FaceCrop",
    "FrameCodec",
    "Freeze",
    "GaussianBlur",
    "GaussianNoise",
    "Greyscale",
    "HorizontalFlip",
    "Jpeg",
    "OneOf",
    "Params",
    "Part",
    "PatchPaste",
    "Recolour",
    "Region",
    "Rescale",
    "Reverse",
    "RgbShift",
    "SegmentSequential",
    "SelfBlend",
    "SelfBlendParams",
    "Sharpen",
    "ShuffleWindow",
    "SmoothSkin",
    "SourceWarp",
    "SpliceLag",
    "Step",
    "Stride",
    "TimeMask",
    "TubeFreeze",
    "TubeLag",
    "TubeSwap",
    "UnsharpMask",
    "label_preserving",
    "robust",
    "sbi",
    "temporal_fakes",
    "train_default",
    "varied",
]
