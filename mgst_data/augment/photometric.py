"""Photometric augmentations: changes of colour, blur, noise and resolution, as cameras, editors and networks make them.

All are label-preserving and draw once per segment. Every frame of a segment, and both segments of a real-fake pair, get
the same change.

This is our own code because the augmentations of kornia draw from torch's global generator. A sequence of colour, blur,
noise and JPEG also takes 5 times as long there on one core (``benchmarks/results/augment.json``). Noise alone is 4
times as fast there, but differs between devices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.base import AUGMENTATIONS, REFERENCE, Augmentation, Params, rows_of
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.colour import LUMINANCE, luminance
from mgst_data.augment.functional.scale import coarsen, sharpen
from mgst_data.core.segment import Segment

# Multipliers of the 32-bit finaliser of MurmurHash3 (Appleby, public domain), as signed numbers.
_MIX_ONE, _MIX_TWO = 0x85EBCA6B - 2**32, 0xC2B2AE35 - 2**32


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


@dataclass(frozen=True)
class GaussianBlurParams(PictureParams):
    """Standard deviation of the blur of each segment, in pixels at 256 px."""

    sigma: Float[Tensor, " b"]


@AUGMENTATIONS.register("gaussian_blur")
class GaussianBlur(PictureAugmentation[GaussianBlurParams]):
    """Blurs with a Gaussian kernel, roughly as a lens out of focus does. Label-preserving; segment grain.

    The kernel ends at three standard deviations. Outside the picture, border pixels are repeated. The default range is
    our own, not taken from a paper.

    Args:
        sigma_range: Standard deviation in pixels of frames of height 256. It scales with the height.
        p: Probability that a segment is blurred.
    """

    def __init__(self, *, sigma_range: tuple[float, float] = (0.2, 2.0), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        self.sigma_range = sigma_range

    def sample(self, segment: Segment, generator: torch.Generator) -> GaussianBlurParams:
        """Draws which segments are blurred, and how much."""
        active = draw.chance((len(segment),), self.p, generator)
        return GaussianBlurParams(active, draw.uniform((len(segment),), *self.sigma_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: GaussianBlurParams) -> Float[Tensor, "n t 3 h w"]:
        """Filters rows, then columns.

        All kernels have the size of the widest kernel of the batch, and are 0 beyond three sigma.
        """
        sigma = (params.sigma.double() * frames.shape[-2] / REFERENCE).clamp_min(1e-3)[:, None]
        radius = int((3 * sigma.max()).ceil())
        offset = torch.arange(-radius, radius + 1)
        kernel = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= (3 * sigma).ceil())
        kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(frames.device, frames.dtype, non_blocking=True)
        return _filter(_filter(frames, kernel[:, None, :]), kernel[:, :, None])


def _filter(frames: Float[Tensor, "n t 3 h w"], kernel: Float[Tensor, "n y x"]) -> Float[Tensor, "n t 3 h w"]:
    """Correlates each segment with its own kernel of odd sides. Border pixels are repeated."""
    n, t, c, h, w = frames.shape
    y, x = kernel.shape[1] // 2, kernel.shape[2] // 2
    padded = functional.pad(frames.reshape(n * t, c, h, w), (x, x, y, y), mode="replicate")
    # With padding done before and every channel as a group of one batch, CPUs use a fast path.
    weight = kernel[:, None].expand(n, t * c, *kernel.shape[1:]).reshape(n * t * c, 1, *kernel.shape[1:])
    filtered = functional.conv2d(padded.reshape(1, n * t * c, *padded.shape[2:]), weight, groups=n * t * c)
    return filtered.reshape(frames.shape)


@dataclass(frozen=True)
class SharpenParams(PictureParams):
    """Strength of sharpening for each segment."""

    alpha: Float[Tensor, " b"]


@AUGMENTATIONS.register("sharpen")
class Sharpen(PictureAugmentation[SharpenParams]):
    """Sharpens: adds alpha times the 3 x 3 Laplacian. Label-preserving; segment grain; values of SBI.

    The kernel is our own: it keeps the brightness of uniform areas, which the usual kernel may lower.

    Args:
        alpha_range: Strength; 0 changes nothing.
        p: Probability that a segment is sharpened.
    """

    def __init__(self, *, alpha_range: tuple[float, float] = (0.2, 0.5), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("alpha_range", alpha_range, low=0)
        self.alpha_range = alpha_range

    def sample(self, segment: Segment, generator: torch.Generator) -> SharpenParams:
        """Draws which segments are sharpened, and how much."""
        active = draw.chance((len(segment),), self.p, generator)
        return SharpenParams(active, draw.uniform((len(segment),), *self.alpha_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: SharpenParams) -> Float[Tensor, "n t 3 h w"]:
        """Filters with 1 + 8 alpha in the centre and -alpha around it."""
        alpha = params.alpha.to(frames.device, frames.dtype, non_blocking=True)
        return sharpen(frames, alpha[:, None, None, None, None])


@dataclass(frozen=True)
class DownscaleParams(PictureParams):
    """Factor by which each segment is scaled down."""

    factor: Int[Tensor, " b"]


@AUGMENTATIONS.register("downscale")
class Downscale(PictureAugmentation[DownscaleParams]):
    """Scales frames down and up again: means over blocks, then bilinear. Label-preserving; segment grain.

    Factors of 2 and 4 are those of SBI; 3 is our own, a strength between them. The factors are few integers, so that
    segments with the same factor are computed together.

    Args:
        factors: Factors to draw from.
        p: Probability that a segment is scaled.

    Raises:
        ValueError: if there is no factor, or one is below 1.
    """

    def __init__(self, *, factors: tuple[int, ...] = (2, 3, 4), p: float = 1.0) -> None:
        super().__init__(p=p)
        if not factors or min(factors) < 1:
            raise ValueError(f"factors must have at least one value, all at least 1, got {factors}")
        self.factors = factors

    def sample(self, segment: Segment, generator: torch.Generator) -> DownscaleParams:
        """Draws which segments are scaled, and the factor."""
        active = draw.chance((len(segment),), self.p, generator)
        chosen = draw.integers((len(segment),), 0, len(self.factors) - 1, generator)
        return DownscaleParams(active, torch.tensor(self.factors)[chosen])

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: DownscaleParams) -> Float[Tensor, "n t 3 h w"]:
        """Scales the segments of each factor together."""
        changed = torch.empty_like(frames)
        for factor in {int(factor) for factor in params.factor}:
            where = rows_of(params.factor == factor).to(frames.device, non_blocking=True)
            changed.index_copy_(0, where, coarsen(frames.index_select(0, where), factor))
        return changed


@dataclass(frozen=True)
class GaussianNoiseParams(PictureParams):
    """Standard deviation of the noise of each segment, and two 31-bit numbers as the seed of the noise."""

    sigma: Float[Tensor, " b"]
    seed: Int[Tensor, "b 2"]


@AUGMENTATIONS.register("gaussian_noise")
class GaussianNoise(PictureAugmentation[GaussianNoiseParams]):
    """Adds Gaussian noise, independent for each frame, pixel and channel. Label-preserving; segment grain.

    The design is our own: the noise is a function of a drawn seed and of the position in the segment
    (:func:`hash_noise`). So both segments of a real-fake pair get the same noise, the parameters stay small, and every
    device gives the same noise. The default range is our own, not taken from a paper.

    Args:
        sigma_range: Standard deviation, relative to the range of a channel.
        p: Probability that a segment gets noise.
    """

    def __init__(self, *, sigma_range: tuple[float, float] = (0.0, 0.05), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        self.sigma_range = sigma_range

    def sample(self, segment: Segment, generator: torch.Generator) -> GaussianNoiseParams:
        """Draws which segments get noise, how much, and the seed."""
        b = len(segment)
        return GaussianNoiseParams(
            draw.chance((b,), self.p, generator),
            draw.uniform((b,), *self.sigma_range, generator),
            draw.integers((b, 2), 0, 2**31 - 1, generator),
        )

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: GaussianNoiseParams) -> Float[Tensor, "n t 3 h w"]:
        """Adds the noise of each segment."""
        noise = hash_noise(params.seed.to(frames.device, non_blocking=True), frames[0].numel())
        sigma = params.sigma.to(frames.device, non_blocking=True)[:, None]
        return noise.mul_(sigma).reshape(frames.shape).to(frames.dtype).add_(frames)


def hash_noise(seed: Int[Tensor, "n 2"], count: int) -> Float[Tensor, "n {count}"]:
    """Computes standard normal numbers as a function of a seed and of their position. They are the same on any device.

    The position and the first number of the seed are mixed as in the 32-bit finaliser of MurmurHash3, and the second
    number is added in the middle. The halves of the result give two normal numbers [Box and Muller, 1958]. No value is
    beyond 4.86.

    Args:
        seed: Two 31-bit numbers for each row.
        count: Numbers per row.
    """
    half = (count + 1) // 2
    one, two = seed.to(torch.int32)[:, :, None].unbind(1)
    mixed = torch.arange(half, dtype=torch.int32, device=seed.device) ^ one
    # >> keeps the sign, so the bits that it shifts in are masked. Products wrap around.
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF)).mul_(_MIX_ONE).add_(two)
    mixed.bitwise_xor_((mixed >> 13).bitwise_and_(0x7FFFF)).mul_(_MIX_TWO)
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF))
    radius = (mixed >> 16).bitwise_and_(0xFFFF).float().add_(0.5).div_(2**16).log_().mul_(-2).sqrt_()
    angle = mixed.bitwise_and_(0xFFFF).float().mul_(2 * math.pi / 2**16)
    noise = torch.empty(len(seed), 2 * half, device=seed.device)
    torch.mul(radius, angle.cos(), out=noise[:, :half])
    torch.mul(radius, angle.sin_(), out=noise[:, half:])
    return noise[:, :count]
