"""Augmentations of quality: sharpness, resolution and noise, as cameras, editors and networks change them.

All are label-preserving and draw once per segment. Every frame of a segment, and both segments of a real-fake pair, get
the same change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.base import AUGMENTATIONS, REFERENCE, rows_of
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.filters import gaussian, guided, hash_noise
from mgst_data.augment.functional.scale import coarsen, sharpen
from mgst_data.augment.photometric import PictureAugmentation, PictureParams
from mgst_data.core.segment import Segment


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
        """Filters rows, then columns."""
        return gaussian(frames, params.sigma * frames.shape[-2] / REFERENCE)


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
class UnsharpMaskParams(PictureParams):
    """Standard deviation of the blur in pixels at 256 px, and weight of the difference to it, for each segment."""

    sigma: Float[Tensor, " b"]
    amount: Float[Tensor, " b"]


@AUGMENTATIONS.register("unsharp_mask")
class UnsharpMask(PictureAugmentation[UnsharpMaskParams]):
    """Adds the difference to a blurred copy, as editors and face enhancers do. Label-preserving; segment grain.

    With a wide blur it makes halos around edges; :class:`Sharpen` changes only the finest details. The default ranges
    are our own, not taken from a paper.

    Args:
        sigma_range: Standard deviation of the blur, in pixels of frames of height 256. It scales with the height.
        amount_range: Weight of the difference; 0 changes nothing.
        p: Probability that a segment is sharpened.
    """

    def __init__(
        self,
        *,
        sigma_range: tuple[float, float] = (0.5, 3.0),
        amount_range: tuple[float, float] = (0.2, 1.0),
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        draw.check_range("amount_range", amount_range, low=0)
        self.sigma_range, self.amount_range = sigma_range, amount_range

    def sample(self, segment: Segment, generator: torch.Generator) -> UnsharpMaskParams:
        """Draws which segments are sharpened, and how."""
        b = len(segment)
        return UnsharpMaskParams(
            draw.chance((b,), self.p, generator),
            draw.uniform((b,), *self.sigma_range, generator),
            draw.uniform((b,), *self.amount_range, generator),
        )

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: UnsharpMaskParams) -> Float[Tensor, "n t 3 h w"]:
        """Computes frames + amount (frames - blurred frames)."""
        amount = params.amount.to(frames.device, frames.dtype, non_blocking=True)[:, None, None, None, None]
        return torch.lerp(frames, gaussian(frames, params.sigma * frames.shape[-2] / REFERENCE), -amount)


@dataclass(frozen=True)
class SmoothSkinParams(PictureParams):
    """Standard deviation of what is smoothed in each segment, relative to the range of a channel."""

    sigma: Float[Tensor, " b"]


@AUGMENTATIONS.register("smooth_skin")
class SmoothSkin(PictureAugmentation[SmoothSkinParams]):
    """Smooths surfaces and keeps edges, as beauty filters and generators do. Label-preserving; segment grain.

    It is the guided filter with the picture as its own guide [He et al., ECCV 2010]. The default ranges are our own.

    Args:
        sigma_range: Standard deviation below which a window is smoothed, relative to the range of a channel.
        radius: Radius of the windows, in pixels of frames of height 256. It scales with the height.
        p: Probability that a segment is smoothed.

    Raises:
        ValueError: if the radius is less than 1, or a range or probability is invalid.
    """

    def __init__(self, *, sigma_range: tuple[float, float] = (0.01, 0.06), radius: float = 4.0, p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("sigma_range", sigma_range, low=0)
        if radius < 1:
            raise ValueError(f"radius must be at least 1, got {radius}")
        self.sigma_range, self.radius = sigma_range, radius

    def sample(self, segment: Segment, generator: torch.Generator) -> SmoothSkinParams:
        """Draws which segments are smoothed, and how much."""
        active = draw.chance((len(segment),), self.p, generator)
        return SmoothSkinParams(active, draw.uniform((len(segment),), *self.sigma_range, generator))

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: SmoothSkinParams) -> Float[Tensor, "n t 3 h w"]:
        """Filters every channel."""
        radius = max(1, round(self.radius * frames.shape[-2] / REFERENCE))
        # A tiny variance keeps flat windows defined when nothing is smoothed.
        return guided(frames, radius, params.sigma.square() + 1e-8)


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


# Ways to scale down and up: mode of torch.nn.functional.interpolate, and whether it averages when scaling down.
_DOWN = (("area", False), ("bilinear", False), ("bicubic", True), ("nearest-exact", False))
_UP = (("bilinear", False), ("bicubic", False))


@dataclass(frozen=True)
class RescaleParams(PictureParams):
    """Factor by which each segment is scaled down, and the numbers of the interpolations down and up."""

    factor: Float[Tensor, " b"]
    down: Int[Tensor, " b"]
    up: Int[Tensor, " b"]


@AUGMENTATIONS.register("rescale")
class Rescale(PictureAugmentation[RescaleParams]):
    """Scales frames down and up again by any factor and with varied interpolation. Label-preserving; segment grain.

    Faces of networks have few sizes and are scaled to that of the video, by any factor. The design is our own;
    :class:`Downscale` has the factors and the interpolation of self-blended images.

    Args:
        factor_range: Factor, at least 1. Its logarithm is drawn uniformly.
        p: Probability that a segment is scaled.

    Raises:
        ValueError: if the range or probability is invalid.
    """

    def __init__(self, *, factor_range: tuple[float, float] = (1.2, 4.0), p: float = 1.0) -> None:
        super().__init__(p=p)
        draw.check_range("factor_range", factor_range, low=1)
        self.factor_range = factor_range

    def sample(self, segment: Segment, generator: torch.Generator) -> RescaleParams:
        """Draws which segments are scaled, the factor, and the interpolations."""
        b = len(segment)
        low, high = (math.log(value) for value in self.factor_range)
        return RescaleParams(
            draw.chance((b,), self.p, generator),
            draw.uniform((b,), low, high, generator).exp(),
            draw.integers((b,), 0, len(_DOWN) - 1, generator),
            draw.integers((b,), 0, len(_UP) - 1, generator),
        )

    def change(self, frames: Float[Tensor, "n t 3 h w"], params: RescaleParams) -> Float[Tensor, "n t 3 h w"]:
        """Scales segment by segment, because every one has another size in between."""
        changed = torch.empty_like(frames)
        size = frames.shape[3], frames.shape[4]
        ways = zip(params.factor.tolist(), params.down.tolist(), params.up.tolist(), strict=True)
        for i, (factor, down, up) in enumerate(ways):
            smaller = tuple(max(1, round(side / factor)) for side in size)
            if smaller == size:
                changed[i] = frames[i]
                continue
            (mode, averages), (back, _) = _DOWN[down], _UP[up]
            small = functional.interpolate(frames[i], smaller, mode=mode, antialias=averages)
            changed[i] = functional.interpolate(small, size, mode=back)
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
