"""Augmentations that change pixels in place: their base class, and changes of colour.

All are label-preserving and draw once per segment. Every frame of a segment, and both segments of a real-fake pair, get
the same change.

This is our own code because the augmentations of kornia draw from torch's global generator. A sequence of colour, blur,
noise and JPEG also takes 5 times as long there on one core (``benchmarks/results/augment.json``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params, rows_of
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import LUMINANCE, luminance
from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class PictureParams(Params):
    """Which segments are changed."""

    active: Bool[Tensor, " b"]


A = TypeVar("A", bound=PictureParams)


class PictureAugmentation(Augmentation[A]):
    """Base class of augmentations that change only the frames of some segments. Label-preserving.

    Subclasses implement :meth:`change`. This class selects the segments, keeps the dtype, and clamps the result to [0,
    1].

    Args:
        p: Probability that a segment is changed.
    """

    def __init__(self, *, p: float) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        options = {name: value for name, value in vars(self).items() if name != "p"} | {"p": self.p}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: A) -> Float[Tensor, "n t 3 h w"]:
        """Computes new frames for the drawn segments. The caller clamps them in place.

        Args:
            frames: Frames of the drawn segments, float32 or float64, [0, 1].
            params: Parameters of these segments, on the CPU.

        Returns:
            New tensor of the same shape and dtype.
        """
        raise NotImplementedError

    def apply(self, segment: Segment, params: A) -> Segment:
        """Changes the drawn segments; the others are copied."""
        rows = rows_of(params.active)
        if len(rows) == 0:
            return segment
        frames = segment.frames
        everyone = len(rows) == len(segment)
        where = rows.to(frames.device, non_blocking=True)
        some = frames if everyone else frames.index_select(0, where)
        wide = some if some.dtype == torch.float64 else some.float()
        changed = self.change(wide, params if everyone else params[rows]).clamp_(0, 1).to(frames.dtype)
        return segment.replace(frames=changed if everyone else frames.index_copy(0, where, changed))


@dataclass(frozen=True)
class ColourJitterParams(PictureParams):
    """Change of colour of each segment."""

    brightness: Float[Tensor, " b"]
    contrast: Float[Tensor, " b"]
    saturation: Float[Tensor, " b"]
    hue: Float[Tensor, " b"]


@AUGMENTATIONS.register("colour_jitter")
class ColourJitter(PictureAugmentation[ColourJitterParams]):
    """Changes brightness, contrast, saturation and hue. Label-preserving; segment grain.

    Brightness and contrast have the ranges of SBI; the ranges of saturation and hue are our own. The computation is our
    own too: all four changes are one affine map of RGB, so that nothing is clamped between them. Contrast is relative
    to mid-grey instead of the mean, because a mean differs from frame to frame. Hue and saturation rotate and scale the
    plane of Cb and Cr at the same luminance [BT.601]; greys stay grey.

    Args:
        brightness_range: Value that is added to every channel.
        contrast_range: Factor of the distance from mid-grey.
        saturation_range: Factor of the distance from grey of the same luminance.
        hue_range: Rotation of the hue, in turns.
        p: Probability that a segment is changed.
    """

    def __init__(
        self,
        *,
        brightness_range: tuple[float, float] = (-0.1, 0.1),
        contrast_range: tuple[float, float] = (0.9, 1.1),
        saturation_range: tuple[float, float] = (0.8, 1.2),
        hue_range: tuple[float, float] = (-0.02, 0.02),
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        draw.check_range("brightness_range", brightness_range, low=-1, high=1)
        draw.check_range("contrast_range", contrast_range, low=0)
        draw.check_range("saturation_range", saturation_range, low=0)
        draw.check_range("hue_range", hue_range, low=-1, high=1)
        self.brightness_range, self.contrast_range = brightness_range, contrast_range
        self.saturation_range, self.hue_range = saturation_range, hue_range

    def sample(self, segment: Segment, generator: torch.Generator) -> ColourJitterParams:
        """Draws which segments are changed, and four values for each."""
        b = (len(segment),)
        return ColourJitterParams(
            draw.chance(b, self.p, generator),
            draw.uniform(b, *self.brightness_range, generator),
            draw.uniform(b, *self.contrast_range, generator),
            draw.uniform(b, *self.saturation_range, generator),
            draw.uniform(b, *self.hue_range, generator),
        )

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: ColourJitterParams) -> Float[Tensor, "n t 3 h w"]:
        """Maps every colour."""
        matrix = _colour_matrix(params).to(frames.device, frames.dtype, non_blocking=True)
        r, g, b = frames.unbind(2)
        channels = [
            (r * row[0]).addcmul_(g, row[1]).addcmul_(b, row[2]).add_(row[3])
            for row in (matrix[:, i, :, None, None, None].unbind(1) for i in range(3))
        ]
        return torch.stack(channels, dim=2)


def _colour_matrix(params: ColourJitterParams) -> Float[Tensor, "n 3 4"]:
    """Returns the affine map of RGB for each segment, on the CPU."""
    turn, stretch = 2 * math.pi * params.hue.double(), params.saturation.double()
    cos, sin = stretch * turn.cos(), stretch * turn.sin()
    red, green, blue = LUMINANCE
    y = torch.tensor((red, green, blue), dtype=torch.float64)
    to_cb = torch.tensor((-red, -green, 1 - blue), dtype=torch.float64) / (2 * (1 - blue))
    to_cr = torch.tensor((1 - red, -green, -blue), dtype=torch.float64) / (2 * (1 - red))
    to_chroma = torch.stack((y, to_cb, to_cr))
    inner = torch.zeros(len(turn), 3, 3, dtype=torch.float64)
    inner[:, 0, 0] = 1
    inner[:, 1, 1], inner[:, 1, 2], inner[:, 2, 1], inner[:, 2, 2] = cos, -sin, sin, cos
    contrast = params.contrast.double()[:, None, None]
    linear = contrast * (torch.linalg.inv(to_chroma) @ inner @ to_chroma)
    offset = params.brightness.double()[:, None, None] + (1 - contrast) / 2
    return torch.cat((linear, offset.expand(-1, 3, 1)), dim=2)


@dataclass(frozen=True)
class RgbShiftParams(PictureParams):
    """Value that is added to each channel of a segment."""

    shift: Float[Tensor, "b 3"]


@AUGMENTATIONS.register("rgb_shift")
class RgbShift(PictureAugmentation[RgbShiftParams]):
    """Adds another value to each channel, as in self-blended images (CVPR 2022). Label-preserving; segment grain.

    Args:
        shift_range: Value that is added, drawn for each channel.
        p: Probability that a segment is changed.
    """

    def __init__(self, *, shift_range: tuple[float, float] = (-20 / 255, 20 / 255), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("shift_range", shift_range, low=-1, high=1)
        self.shift_range = shift_range

    def sample(self, segment: Segment, generator: torch.Generator) -> RgbShiftParams:
        """Draws which segments are changed, and three values for each."""
        b = len(segment)
        active = draw.chance((b,), self.p, generator)
        return RgbShiftParams(active, draw.uniform((b, 3), *self.shift_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: RgbShiftParams) -> Float[Tensor, "n t 3 h w"]:
        """Adds the values."""
        return frames + params.shift.to(frames.device, frames.dtype, non_blocking=True)[:, None, :, None, None]


@AUGMENTATIONS.register("greyscale")
class Greyscale(PictureAugmentation[PictureParams]):
    """Removes the colour: all channels become the luminance [BT.601]. Label-preserving; segment grain.

    Args:
        p: Probability that a segment becomes grey.
    """

    def __init__(self, *, p: float = 1.0) -> None:
        super().__init__(p=p)

    def sample(self, segment: Segment, generator: torch.Generator) -> PictureParams:
        """Draws which segments become grey."""
        return PictureParams(draw.chance((len(segment),), self.p, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: PictureParams) -> Float[Tensor, "n t 3 h w"]:  # noqa: ARG002
        """Returns the luminance in all three channels."""
        return luminance(frames).repeat(1, 1, 3, 1, 1)
