"""Differences of colour and sharpness between the two sides of a blend, as in self-blended images (CVPR 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import Params, any_of, on_rows
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import shift_hsv
from mgst_data.augment.functional.scale import coarsen, sharpen

# Divisors that convert shifts of 8-bit HSV of OpenCV to [0, 1]: hue has 180 units per turn.
_HUE_UNITS, _UNITS = 180.0, 255.0
_LEVELS = (_HUE_UNITS, _UNITS, _UNITS)
NONE, DOWNSCALE, SHARPEN = 0, 1, 2


@dataclass(frozen=True)
class RecolourParams(Params):
    """Parameters of recolouring.

    Attributes:
        rgb_shift: Added to each channel; 0 if channels are not shifted.
        hsv: Whether hue, saturation and value are shifted and rounded.
        hsv_shift: Shift of hue in turns, of saturation and value in [0, 1].
        contrast: Factor on all channels.
        brightness: Added after the factor.
        degrade: 0 nothing, 1 scaling down, 2 sharpening.
        factor: Factor of scaling down.
        alpha: Strength of sharpening.
        lightness: Lightness of the sharpened picture.
    """

    rgb_shift: Float[Tensor, "b 3"]
    hsv: Bool[Tensor, " b"]
    hsv_shift: Float[Tensor, "b 3"]
    contrast: Float[Tensor, " b"]
    brightness: Float[Tensor, " b"]
    degrade: Int[Tensor, " b"]
    factor: Int[Tensor, " b"]
    alpha: Float[Tensor, " b"]
    lightness: Float[Tensor, " b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolour:
    """Shifts colours, then makes the picture coarser or sharper; one draw per segment.

    All defaults are those of self-blended images. Its shifts of hue, saturation and value by 0.3 are in units of 8-bit
    HSV and are rounded down, so that either nothing is subtracted or one unit. The effect is the noise of one or two
    levels that storing a picture as 8-bit HSV adds to one side of the blend.

    Attributes:
        rgb_shift: Largest shift of each channel, [0, 1].
        rgb_p: Probability that channels are shifted.
        hsv_shift: Largest shifts of hue, saturation and value, in units of 8-bit HSV (hue: 180 units per turn).
        hsv_p: Probability that hue, saturation and value are shifted.
        hsv_8_bits: Whether hue, saturation and value are then rounded to the 8 bits in which OpenCV stores them.
        brightness: Largest value that is added, [0, 1].
        contrast: Largest deviation of the factor from 1.
        contrast_p: Probability that brightness and contrast are changed.
        degrade_p: Probability that the picture is made coarser or sharper.
        sharpen_p: Probability that it is then made sharper and not coarser.
        factors: Factors of scaling down and up again.
        nearest: Whether scaling down takes single pixels; otherwise it averages. Single pixels are aliased, and the
            picture moves by half a pixel (factor 2) or by one and a half (factor 4).
        sharpen_range: Strength of sharpening, [0, 1].
        lightness_range: Lightness of the sharpened picture: with less than 1, sharpening also darkens.

    Raises:
        ValueError: if a range, probability or factor is invalid.
    """

    rgb_shift: float = 20 / 255
    rgb_p: float = 0.3
    hsv_shift: tuple[float, float, float] = (0.3, 0.3, 0.3)
    hsv_p: float = 1.0
    hsv_8_bits: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    contrast_p: float = 1.0
    degrade_p: float = 1.0
    sharpen_p: float = 0.5
    factors: tuple[int, ...] = (2, 4)
    nearest: bool = True
    sharpen_range: tuple[float, float] = (0.2, 0.5)
    lightness_range: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self) -> None:
        for name in ("rgb_p", "hsv_p", "contrast_p", "degrade_p", "sharpen_p"):
            draw.check_share(name, getattr(self, name))
        for name in ("rgb_shift", "brightness", "contrast"):
            draw.check_strength(name, getattr(self, name))
        draw.check_strength("hsv_shift", *self.hsv_shift)
        draw.check_range("sharpen_range", self.sharpen_range, low=0, high=1)
        draw.check_range("lightness_range", self.lightness_range, low=0, high=2)
        if not self.factors or min(self.factors) < 1:
            raise ValueError(f"factors must have at least one value, all at least 1, got {self.factors}")

    @property
    def period(self) -> int:
        """Side in pixels of blocks that may be processed separately with the same result."""
        return math.lcm(*self.factors)

    def sample(self, b: int, generator: torch.Generator) -> RecolourParams:
        """Draws parameters.

        Args:
            b: Number of segments.
            generator: Random generator on the CPU.
        """
        units = torch.tensor(self.hsv_shift) / torch.tensor(_LEVELS)
        rgb = draw.chance((b, 1), self.rgb_p, generator)
        contrast = draw.chance((b,), self.contrast_p, generator)
        degrade = torch.where(draw.chance((b,), self.sharpen_p, generator), SHARPEN, DOWNSCALE)
        return RecolourParams(
            rgb_shift=draw.uniform((b, 3), -self.rgb_shift, self.rgb_shift, generator) * rgb,
            hsv=draw.chance((b,), self.hsv_p, generator),
            hsv_shift=draw.uniform((b, 3), -1, 1, generator) * units,
            contrast=1 + draw.uniform((b,), -self.contrast, self.contrast, generator) * contrast,
            brightness=draw.uniform((b,), -self.brightness, self.brightness, generator) * contrast,
            degrade=torch.where(draw.chance((b,), self.degrade_p, generator), degrade, NONE),
            factor=draw.pick((b,), self.factors, generator).long(),
            alpha=draw.uniform((b,), *self.sharpen_range, generator),
            lightness=draw.uniform((b,), *self.lightness_range, generator),
        )

    def apply(self, frames: Float[Tensor, "b t 3 h w"], params: RecolourParams) -> Float[Tensor, "b t 3 h w"]:
        """Returns recoloured frames in [0, 1].

        Everything is computed in float32, because rounding to 8-bit hue enlarges the rounding of half precision.

        Args:
            frames: Frames in [0, 1].
            params: Parameters of :meth:`sample`, on the CPU.
        """
        given, dtype = frames, frames.dtype
        frames = frames if dtype == torch.float64 else frames.float()
        here = params.to(frames.device)
        if any_of(params.rgb_shift != 0):
            frames = add_colour(frames, here.rgb_shift[:, None])

        def change_hsv(some: Tensor, rows: Tensor | slice) -> Tensor:
            hue, saturation, value = here.hsv_shift[rows].to(some.dtype)[:, :, None].unbind(dim=1)
            return shift_hsv(some, hue, saturation, value, levels=_LEVELS if self.hsv_8_bits else None)

        # A tensor that is not the given one was made here, and may be changed in place.
        frames = on_rows(frames, params.hsv, change_hsv, owned=frames is not given)
        if any_of((params.contrast != 1) | (params.brightness != 0)):
            factor, offset = (_per_segment(value, frames) for value in (here.contrast, here.brightness))
            frames = (frames * factor).add_(offset).clamp_(0, 1)
        for step in sorted({*self.factors}):
            coarser = (params.degrade == DOWNSCALE) & (params.factor == step)
            change = partial(_coarsen_rows, factor=step, nearest=self.nearest)
            frames = on_rows(frames, coarser, change, owned=frames is not given)
        alpha, lightness = (_per_segment(value, frames) for value in (here.alpha, here.lightness))

        def sharper(some: Tensor, rows: Tensor | slice) -> Tensor:
            return sharpen(some, alpha[rows], lightness[rows])

        return on_rows(frames, params.degrade == SHARPEN, sharper, owned=frames is not given).to(dtype)


def add_colour(frames: Float[Tensor, "b t 3 h w"], colour: Float[Tensor, "b s 3"]) -> Float[Tensor, "b t 3 h w"]:
    """Adds a colour to every frame (s = t) or segment (s = 1), and clamps to [0, 1].

    Args:
        frames: Frames in [0, 1].
        colour: Values to add to the channels.
    """
    return (frames + colour.to(frames.dtype)[..., None, None]).clamp_(0, 1)


def _coarsen_rows(frames: Tensor, rows: Tensor | slice, *, factor: int, nearest: bool) -> Tensor:  # noqa: ARG001
    return coarsen(frames, factor, nearest=nearest)


def _per_segment(value: Float[Tensor, " b"], frames: Tensor) -> Float[Tensor, "b 1 1 1 1"]:
    return value.to(frames.dtype)[:, None, None, None, None]
