"""Recipes: sequences of augmentations that work well together. Each call makes a new one, which you may change.

The choice of augmentations and their strengths is our own, except in :func:`sbi`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mgst_data.augment.base import AUGMENTATIONS, Step
from mgst_data.augment.compression import BlockCodec, Jpeg
from mgst_data.augment.containers import Apply, OneOf, SegmentSequential
from mgst_data.augment.geometric import Affine, CropMargin, HorizontalFlip
from mgst_data.augment.patch import CutOut, ErasingTubes, TubeFreeze, TubeLag, TubeSwap
from mgst_data.augment.photometric import ColourJitter, Greyscale, RgbShift
from mgst_data.augment.quality import Downscale, GaussianBlur, GaussianNoise, Rescale, SmoothSkin, UnsharpMask
from mgst_data.augment.temporal import BoundaryJitter, Reverse, ShuffleWindow, SpliceLag, TimeMask
from mgst_data.core.errors import UsageError, check_name
from mgst_data.core.registry import Registry

RECIPES: Registry[Callable[[], Step[Any]]] = Registry("mgst_data.recipes")


def train_default() -> SegmentSequential:
    """Makes the recipe that training uses after self-blending: label-preserving, mild, the same for real and fake.

    Frames keep their number and size. No frame is repeated, because a frozen run would look like a forgery.
    """
    return SegmentSequential(
        HorizontalFlip(p=0.5),
        CropMargin(side_range=(0.85, 1.0)),
        ColourJitter(p=0.5),
        Apply(OneOf(GaussianBlur(sigma_range=(0.2, 1.5)), GaussianNoise(sigma_range=(0.0, 0.03)), Downscale()), p=0.3),
        Jpeg(quality_range=(40, 100), p=0.5),
    )


def sbi() -> SegmentSequential:
    """Makes the recipe of self-blended images [Shiohara & Yamasaki, CVPR 2022], for whole segments.

    It has no crop: training adds :class:`mgst_data.augment.FaceCrop` with the size of the network's input. Contrast is
    relative to mid-grey, and the third shift of the original, that of 8-bit HSV, is left out.
    """
    colour = ColourJitter(
        brightness_range=(-0.3, 0.3),
        contrast_range=(0.7, 1.3),
        saturation_range=(1.0, 1.0),
        hue_range=(0.0, 0.0),
        p=0.3,
    )
    return SegmentSequential(HorizontalFlip(p=0.5), RgbShift(p=0.3), colour, Jpeg(quality_range=(40, 100), p=0.5))


def varied() -> SegmentSequential:
    """Makes the recipe :func:`sbi` with changes of sharpness and noise. Our own.

    Real and fake get the same ones, so that neither a soft nor a sharp face tells them apart.
    """
    quality = OneOf(
        Rescale(factor_range=(1.2, 3.0)),
        GaussianBlur(sigma_range=(0.2, 1.6)),
        GaussianNoise(sigma_range=(0.0, 0.03)),
        UnsharpMask(amount_range=(0.2, 0.8)),
        SmoothSkin(sigma_range=(0.01, 0.04)),
    )
    return SegmentSequential(*sbi().steps[:-1], Apply(quality, p=0.5), sbi().steps[-1])


def robust() -> SegmentSequential:
    """Makes a stronger version of :func:`train_default`, against compression, low resolution and hidden parts."""
    return SegmentSequential(
        HorizontalFlip(p=0.5),
        CropMargin(side_range=(0.8, 1.0)),
        Apply(Affine(), p=0.3),
        ColourJitter(brightness_range=(-0.2, 0.2), contrast_range=(0.7, 1.3), saturation_range=(0.5, 1.5), p=0.7),
        Greyscale(p=0.05),
        Apply(Reverse(p=1.0), p=0.2),
        TimeMask(p=0.3),
        Apply(OneOf(CutOut(), ErasingTubes()), p=0.3),
        Apply(OneOf(GaussianBlur(sigma_range=(0.5, 3.0)), GaussianNoise(sigma_range=(0.0, 0.08)), Downscale()), p=0.5),
        OneOf(Jpeg(quality_range=(30, 100)), BlockCodec(qp_range=(23, 42)), weights=(0.6, 0.4)),
    )


def temporal_fakes(*, p: float = 0.5) -> SegmentSequential:
    """Makes a label-making recipe that adds at most one temporal fault, of frames or of patches, to a pseudo-fake.

    Args:
        p: Probability that a segment gets a fault.
    """
    frames = OneOf(ShuffleWindow(), SpliceLag(), BoundaryJitter())
    tubes = OneOf(TubeSwap(), TubeFreeze(), TubeLag())
    return SegmentSequential(Apply(OneOf(frames, tubes, weights=(0.4, 0.6)), p=p))


for _recipe in (train_default, sbi, varied, robust, temporal_fakes):
    RECIPES.register(_recipe.__name__)(_recipe)


def label_preserving(name: str, *, where: str = "") -> SegmentSequential:
    """Makes a recipe, or a single augmentation with default options, from its name.

    Recipes and augmentations of other packages are known too.

    Args:
        name: Name in :data:`RECIPES` or :data:`mgst_data.augment.AUGMENTATIONS`.
        where: Option that the name was given with, for errors.

    Raises:
        UsageError: if the name is unknown, the augmentation has an option without a default, or it makes fakes.
    """
    if name not in RECIPES and name not in AUGMENTATIONS:
        check_name(name, (*RECIPES, *AUGMENTATIONS), "recipe or augmentation", where)
    make: Callable[[], Step[Any]] = RECIPES.get(name) if name in RECIPES else AUGMENTATIONS.get(name)
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        hint = "register a recipe that sets the option"
        raise UsageError(f"{name!r} has an option without a default: {error}", where=where, hint=hint) from error
    step = make()
    if step.makes_fakes:
        hint = "use a label-preserving recipe or augmentation"
        raise UsageError(f"{name!r} is label-making", where=where, hint=hint)
    return step if isinstance(step, SegmentSequential) else SegmentSequential(step)
