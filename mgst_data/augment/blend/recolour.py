"""The colours and sharpness that tell one side of a blend from the other, as in self-blended images (CVPR 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import Params, on_rows
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import shift_hsv
from mgst_data.augment.functional.scale import coarsen, sharpen

# What shifts of 8-bit HSV in OpenCV's units are as shares: hue counts 180 to the circle.
_HUE_UNITS, _UNITS = 180.0, 255.0
NONE, DOWNSCALE, SHARPEN = 0, 1, 2


@dataclass(frozen=True)
class RecolourParams(Params):
    """What was drawn.

    Attributes:
        rgb_shift: Added to each channel; 0 where it is left out.
        hsv: Whether hue, saturation and value are shifted.
        hsv_shift: By how much: hue in turns, saturation and value in [0, 1].
        contrast: Factor.
        brightness: Added after it.
        degrade: 0 nothing, 1 down-scaling, 2 sharpening.
        factor: Of the down-scaling.
        alpha: Strength of the sharpening.
    """

    rgb_shift: Float[Tensor, "b 3"]
    hsv: Bool[Tensor, " b"]
    hsv_shift: Float[Tensor, "b 3"]
    contrast: Float[Tensor, " b"]
    brightness: Float[Tensor, " b"]
    degrade: Int[Tensor, " b"]
    factor: Int[Tensor, " b"]
    alpha: Float[Tensor, " b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolour:
    """Shifts colours, then makes the picture coarser or sharper; one draw per segment.

    All numbers are those of self-blended images, whose hue, saturation and value shifts of 0.3 are in units of 8-bit
    HSV. Here nothing is rounded to 8 bits, so they do what they say: next to nothing. There, rounding to 8-bit HSV and
    back adds noise of one or two levels.

    Attributes:
        rgb_shift: Largest shift of each channel, [0, 1].
        rgb_p: How likely channels are shifted.
        hsv_shift: Largest shifts of hue, saturation and value, in units of 8-bit HSV (hue: 180 to the circle).
        hsv_p: How likely they are.
        brightness: Largest addition, [0, 1].
        contrast: Largest deviation of the factor from 1.
        contrast_p: How likely brightness and contrast are changed.
        degrade_p: How likely the picture is made coarser or sharper.
        sharpen_p: How likely it is sharper then, and not coarser.
        factors: By which it is made smaller, and larger again, if coarser.
        sharpen_range: Strength of sharpening, [0, 1].
    """

    rgb_shift: float = 20 / 255
    rgb_p: float = 0.3
    hsv_shift: tuple[float, float, float] = (0.3, 0.3, 0.3)
    hsv_p: float = 0.3
    brightness: float = 0.1
    contrast: float = 0.1
    contrast_p: float = 0.3
    degrade_p: float = 1.0
    sharpen_p: float = 0.5
    factors: tuple[int, ...] = (2, 4)
    sharpen_range: tuple[float, float] = (0.2, 0.5)

    def __post_init__(self) -> None:
        for name in ("rgb_p", "hsv_p", "contrast_p", "degrade_p", "sharpen_p"):
            draw.check_share(name, getattr(self, name))
        draw.check_range("sharpen_range", self.sharpen_range, low=0, high=1)
        if not self.factors or min(self.factors) < 1:
            raise ValueError(f"factors are at least 1, not {self.factors}")

    @property
    def period(self) -> int:
        """Side of the blocks that a picture may be worked off in without a difference, pixels."""
        return math.lcm(*self.factors)

    def sample(self, b: int, generator: torch.Generator) -> RecolourParams:
        """Draws for ``b`` segments."""
        units = torch.tensor(self.hsv_shift) / torch.tensor((_HUE_UNITS, _UNITS, _UNITS))
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
        )

    def apply(self, frames: Float[Tensor, "b t 3 h w"], params: RecolourParams) -> Float[Tensor, "b t 3 h w"]:
        """Recoloured frames, [0, 1].

        Args:
            frames: [0, 1].
            params: On the CPU.
        """
        here = params.to(frames.device)
        if _any(params.rgb_shift != 0):
            frames = add_colour(frames, here.rgb_shift[:, None])

        def change_hsv(some: Tensor, rows: Tensor | slice) -> Tensor:
            hue, saturation, value = here.hsv_shift[rows].to(some.dtype)[:, :, None].unbind(dim=1)
            return shift_hsv(some, hue, saturation, value)

        frames = on_rows(frames, params.hsv, change_hsv)
        if _any((params.contrast != 1) | (params.brightness != 0)):
            factor, offset = (_per_segment(value, frames) for value in (here.contrast, here.brightness))
            frames = (frames * factor).add_(offset).clamp_(0, 1)
        for step in sorted({*self.factors}):
            coarser = (params.degrade == DOWNSCALE) & (params.factor == step)
            frames = on_rows(frames, coarser, partial(_coarsen_rows, factor=step))
        alpha = _per_segment(here.alpha, frames)
        return on_rows(frames, params.degrade == SHARPEN, lambda some, rows: sharpen(some, alpha[rows]))


def add_colour(frames: Float[Tensor, "b t 3 h w"], colour: Float[Tensor, "b s 3"]) -> Float[Tensor, "b t 3 h w"]:
    """Adds to the channels of every frame (s = t) or segment (s = 1); [0, 1]."""
    return (frames + colour.to(frames.dtype)[..., None, None]).clamp_(0, 1)


def _coarsen_rows(frames: Tensor, rows: Tensor | slice, *, factor: int) -> Tensor:  # noqa: ARG001
    return coarsen(frames, factor)


def _any(condition: Bool[Tensor, "..."]) -> bool:
    """Whether it holds anywhere; a compiler is told that it does. On the CPU, so that no device is waited for."""
    return torch.compiler.is_compiling() or bool(condition.any())


def _per_segment(value: Float[Tensor, " b"], frames: Tensor) -> Float[Tensor, "b 1 1 1 1"]:
    return value.to(frames.dtype)[:, None, None, None, None]
