"""What cameras, editors and networks do to pictures as a whole: colour, blur, noise, lost size.

All are label-preserving and draw once per segment: every frame of it, and both twins of a pair, get the same.

This is own code because kornia's augmentations draw from torch's global generator, and because a sequence of colour,
blur, noise and JPEG takes 5 times as long there on one core (``benchmarks/results/augment.json``; noise alone is 4
times as fast there, but not the same on every device).
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
    """Changes the pictures of some segments, and nothing else of them. Label-preserving.

    Subclasses say how in :meth:`change`; who is changed, the row economy, precision and range are settled here.

    Args:
        p: How likely a segment is changed.
    """

    def __init__(self, *, p: float) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        options = {name: value for name, value in vars(self).items() if name != "p"} | {"p": self.p}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: A) -> Float[Tensor, "n t 3 h w"]:
        """Fresh pictures for segments that are all changed; float32 (or 64). Clamped afterwards, in place.

        ``params`` is on the CPU.
        """
        raise NotImplementedError

    def apply(self, segment: Segment, params: A) -> Segment:
        """Changes the segments that were drawn; the others are copied."""
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
    """The change of colour of each segment."""

    brightness: Float[Tensor, " b"]
    contrast: Float[Tensor, " b"]
    saturation: Float[Tensor, " b"]
    hue: Float[Tensor, " b"]


@AUGMENTATIONS.register("colour_jitter")
class ColourJitter(PictureAugmentation[ColourJitterParams]):
    """Changes brightness, contrast, saturation and hue. Label-preserving; segment grain.

    Brightness and contrast as in SBI, the other ranges ours. Ours too: all four together are one affine map of RGB, so
    that nothing is clamped in between, and its pivot is mid-grey rather than a mean, which would differ from frame to
    frame. Hue and saturation turn and stretch the plane of Cb and Cr at the same luminance [BT.601]; greys stay grey.

    Args:
        brightness_range: Added to every channel.
        contrast_range: Factor of the distance from mid-grey.
        saturation_range: Factor of the distance from grey of the same luminance.
        hue_range: Turn of the hue, as share of the circle.
        p: How likely a segment is changed.
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
        """Draws who is changed, and four numbers for each."""
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
    """The affine map of RGB for each segment, on the CPU."""
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


@AUGMENTATIONS.register("greyscale")
class Greyscale(PictureAugmentation[PictureParams]):
    """Takes the colour away: all channels become the luminance [BT.601]. Label-preserving; segment grain.

    Args:
        p: How likely a segment turns grey.
    """

    def __init__(self, *, p: float = 1.0) -> None:
        super().__init__(p=p)

    def sample(self, segment: Segment, generator: torch.Generator) -> PictureParams:
        """Draws who turns grey."""
        return PictureParams(draw.chance((len(segment),), self.p, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: PictureParams) -> Float[Tensor, "n t 3 h w"]:  # noqa: ARG002
        """The luminance, three times."""
        return luminance(frames).repeat(1, 1, 3, 1, 1)


@dataclass(frozen=True)
class GaussianBlurParams(PictureParams):
    """Deviation of each segment's blur, in pixels at 256 px."""

    sigma: Float[Tensor, " b"]


@AUGMENTATIONS.register("gaussian_blur")
class GaussianBlur(PictureAugmentation[GaussianBlurParams]):
    """Blurs, as a lens out of focus does roughly. Label-preserving; segment grain; range ours.

    The kernel ends at three deviations; beyond its edge the picture goes on as it ends.

    Args:
        sigma_range: Standard deviation in pixels of frames that are 256 high; it grows with the frames.
        p: How likely a segment is blurred.
    """

    def __init__(self, *, sigma_range: tuple[float, float] = (0.2, 2.0), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        self.sigma_range = sigma_range

    def sample(self, segment: Segment, generator: torch.Generator) -> GaussianBlurParams:
        """Draws who is blurred, and how much."""
        active = draw.chance((len(segment),), self.p, generator)
        return GaussianBlurParams(active, draw.uniform((len(segment),), *self.sigma_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: GaussianBlurParams) -> Float[Tensor, "n t 3 h w"]:
        """Filters rows, then columns; the kernel is as long as the widest of the batch needs, 0 beyond three sigma."""
        sigma = (params.sigma.double() * frames.shape[-2] / REFERENCE).clamp_min(1e-3)[:, None]
        radius = int((3 * sigma.max()).ceil())
        offset = torch.arange(-radius, radius + 1)
        kernel = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= (3 * sigma).ceil())
        kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(frames.device, frames.dtype, non_blocking=True)
        return _filter(_filter(frames, kernel[:, None, :]), kernel[:, :, None])


def _filter(frames: Float[Tensor, "n t 3 h w"], kernel: Float[Tensor, "n y x"]) -> Float[Tensor, "n t 3 h w"]:
    """Correlates each segment with its own kernel of odd sides; edges go on as they end."""
    n, t, c, h, w = frames.shape
    y, x = kernel.shape[1] // 2, kernel.shape[2] // 2
    padded = functional.pad(frames.reshape(n * t, c, h, w), (x, x, y, y), mode="replicate")
    # Padded beforehand, and every channel a group of one batch: the case that CPUs have a fast path for.
    weight = kernel[:, None].expand(n, t * c, *kernel.shape[1:]).reshape(n * t * c, 1, *kernel.shape[1:])
    filtered = functional.conv2d(padded.reshape(1, n * t * c, *padded.shape[2:]), weight, groups=n * t * c)
    return filtered.reshape(frames.shape)


@dataclass(frozen=True)
class SharpenParams(PictureParams):
    """Strength for each segment."""

    alpha: Float[Tensor, " b"]


@AUGMENTATIONS.register("sharpen")
class Sharpen(PictureAugmentation[SharpenParams]):
    """Sharpens: adds alpha times the 3 x 3 Laplacian. Label-preserving; segment grain; values of SBI.

    Ours: the brightness of even areas stays, where the usual one may lower it.

    Args:
        alpha_range: Strength; 0 changes nothing.
        p: How likely a segment is sharpened.
    """

    def __init__(self, *, alpha_range: tuple[float, float] = (0.2, 0.5), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("alpha_range", alpha_range, low=0)
        self.alpha_range = alpha_range

    def sample(self, segment: Segment, generator: torch.Generator) -> SharpenParams:
        """Draws who is sharpened, and how much."""
        active = draw.chance((len(segment),), self.p, generator)
        return SharpenParams(active, draw.uniform((len(segment),), *self.alpha_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: SharpenParams) -> Float[Tensor, "n t 3 h w"]:
        """Filters with 1 + 8 alpha in the middle and -alpha around it."""
        alpha = params.alpha.to(frames.device, frames.dtype, non_blocking=True)
        return sharpen(frames, alpha[:, None, None, None, None])


@dataclass(frozen=True)
class DownscaleParams(PictureParams):
    """How many times smaller each segment gets."""

    factor: Int[Tensor, " b"]


@AUGMENTATIONS.register("downscale")
class Downscale(PictureAugmentation[DownscaleParams]):
    """Makes pictures smaller and large again: means over areas, then bilinear. Label-preserving; segment grain.

    Factors of 2 and 4 as in SBI; 3 is ours. A few whole factors, so that the segments of each go together.

    Args:
        factors: How many times smaller; one is drawn.
        p: How likely a segment is scaled.

    Raises:
        ValueError: if there is no factor or one is below 1.
    """

    def __init__(self, *, factors: tuple[int, ...] = (2, 3, 4), p: float = 1.0) -> None:
        super().__init__(p=p)
        if not factors or min(factors) < 1:
            raise ValueError(f"factors are at least 1, and one of them at least, not {factors}")
        self.factors = factors

    def sample(self, segment: Segment, generator: torch.Generator) -> DownscaleParams:
        """Draws who is scaled, and by which factor."""
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
    """Deviation of each segment's noise, and two numbers of 31 bits that the noise is made from."""

    sigma: Float[Tensor, " b"]
    seed: Int[Tensor, "b 2"]


@AUGMENTATIONS.register("gaussian_noise")
class GaussianNoise(PictureAugmentation[GaussianNoiseParams]):
    """Adds noise, another for each frame, pixel and channel. Label-preserving; segment grain; range ours.

    Ours: the noise is no draw but a function of a drawn seed and of the place in the segment (:func:`hash_noise`), so
    that twins get the same, it needs no room in the parameters and comes back the same on any device.

    Args:
        sigma_range: Standard deviation, as share of the range of a channel.
        p: How likely a segment gets noise.
    """

    def __init__(self, *, sigma_range: tuple[float, float] = (0.0, 0.05), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        self.sigma_range = sigma_range

    def sample(self, segment: Segment, generator: torch.Generator) -> GaussianNoiseParams:
        """Draws who gets noise, how much, and its seed."""
        b = len(segment)
        return GaussianNoiseParams(
            draw.chance((b,), self.p, generator),
            draw.uniform((b,), *self.sigma_range, generator),
            draw.integers((b, 2), 0, 2**31 - 1, generator),
        )

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: GaussianNoiseParams) -> Float[Tensor, "n t 3 h w"]:
        """Adds each segment's noise."""
        noise = hash_noise(params.seed.to(frames.device, non_blocking=True), frames[0].numel())
        sigma = params.sigma.to(frames.device, non_blocking=True)[:, None]
        return noise.mul_(sigma).reshape(frames.shape).to(frames.dtype).add_(frames)


def hash_noise(seed: Int[Tensor, "n 2"], count: int) -> Float[Tensor, "n {count}"]:
    """Standard normal numbers that are a function of a seed and of their place: the same on any device.

    The place and the first number of the seed are mixed, with the second in the middle, as MurmurHash3 finishes its
    32 bits; the halves of the result give two normal numbers [Box and Muller, 1958]. None is beyond 4.86.
    """
    half = (count + 1) // 2
    one, two = seed.to(torch.int32)[:, :, None].unbind(1)
    mixed = torch.arange(half, dtype=torch.int32, device=seed.device) ^ one
    # >> keeps the sign: what it shifts in is masked away. Products wrap around.
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF)).mul_(_MIX_ONE).add_(two)
    mixed.bitwise_xor_((mixed >> 13).bitwise_and_(0x7FFFF)).mul_(_MIX_TWO)
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF))
    radius = (mixed >> 16).bitwise_and_(0xFFFF).float().add_(0.5).div_(2**16).log_().mul_(-2).sqrt_()
    angle = mixed.bitwise_and_(0xFFFF).float().mul_(2 * math.pi / 2**16)
    noise = torch.empty(len(seed), 2 * half, device=seed.device)
    torch.mul(radius, angle.cos(), out=noise[:, :half])
    torch.mul(radius, angle.sin_(), out=noise[:, half:])
    return noise[:, :count]
