"""Sequences of augmentations that go well together; each is made anew, to be changed at will. Ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mgst_data.augment.base import AUGMENTATIONS, Step
from mgst_data.augment.compression import BlockCodec, Jpeg
from mgst_data.augment.containers import Apply, OneOf, SegmentSequential
from mgst_data.augment.geometric import Affine, CropMargin, HorizontalFlip
from mgst_data.augment.patch import CutOut, ErasingTubes, TubeFreeze, TubeLag, TubeSwap
from mgst_data.augment.photometric import ColourJitter, Downscale, GaussianBlur, GaussianNoise, Greyscale
from mgst_data.augment.temporal import BoundaryJitter, Reverse, ShuffleWindow, SpliceLag, TimeMask
from mgst_data.core.errors import UsageError, check_name
from mgst_data.core.registry import Registry

RECIPES: Registry[Callable[[], Step[Any]]] = Registry("mgst_data.recipes")


def train_default() -> SegmentSequential:
    """What training uses after self-blending: all label-preserving, mild, and the same for both twins.

    Frames keep their number and size, and no frame is repeated: a frozen run would look like a forgery.
    """
    return SegmentSequential(
        HorizontalFlip(p=0.5),
        CropMargin(side_range=(0.85, 1.0)),
        ColourJitter(p=0.5),
        Apply(OneOf(GaussianBlur(sigma_range=(0.2, 1.5)), GaussianNoise(sigma_range=(0.0, 0.03)), Downscale()), p=0.3),
        Jpeg(quality_range=(40, 100), p=0.5),
    )


def robust() -> SegmentSequential:
    """The same and more of it, for detectors that have to stand compression, low resolution and hidden parts."""
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
    """Label-making: puts at most one temporal inconsistency, of frames or of patches, on top of a pseudo-fake.

    Args:
        p: How likely.
    """
    frames = OneOf(ShuffleWindow(), SpliceLag(), BoundaryJitter())
    tubes = OneOf(TubeSwap(), TubeFreeze(), TubeLag())
    return SegmentSequential(Apply(OneOf(frames, tubes, weights=(0.4, 0.6)), p=p))


for _recipe in (train_default, robust, temporal_fakes):
    RECIPES.register(_recipe.__name__)(_recipe)


def label_preserving(name: str, *, where: str = "") -> SegmentSequential:
    """Makes a recipe, or a single augmentation with its defaults, by its name; both may be those of other packages.

    Args:
        name: In :data:`RECIPES` or :data:`mgst_data.augment.AUGMENTATIONS`.
        where: The option that the name was given with, for errors.

    Raises:
        UsageError: if there is none of that name, it has an option without a default, or it makes fakes.
    """
    if name not in RECIPES and name not in AUGMENTATIONS:
        check_name(name, (*RECIPES, *AUGMENTATIONS), "recipe or augmentation", where)
    make: Callable[[], Step[Any]] = RECIPES.get(name) if name in RECIPES else AUGMENTATIONS.get(name)
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        hint = "register a recipe that sets it"
        raise UsageError(f"{name!r} has no default for an option: {error}", where=where, hint=hint) from error
    step = make()
    if step.makes_fakes:
        raise UsageError(f"{name!r} makes fakes", where=where, hint="take what preserves labels")
    return step if isinstance(step, SegmentSequential) else SegmentSequential(step)
