"""Which pixels of a frame come from the source of a blend, and how much of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import REFERENCE, Params, rows_of
from mgst_data.augment.blend.mask_edge import elastic_field, field_nodes, soften, warp_mask
from mgst_data.augment.blend.regions import REGIONS, hulls_mask, region_hulls, region_mask, rim
from mgst_data.augment.blend.source_warp import Noise
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.pages import new_zeros
from mgst_data.augment.functional.scale import enlarge
from mgst_data.core.geometry import eye_distance

# Pictures from this side on have masks of half their resolution: an edge is soft over several pixels anyway.
_HALVED = 192
# What that adds to the square of a kernel's reach, pixels of the mask; fitted to masks made at full resolution.
_ENLARGED = 0.75
# Weights below this would not change a pixel of 8 bits.
_FAINT = 1 / 512
# How far the elastic field moves anything, in its standard deviations.
_DEVIATIONS = 5


@dataclass(frozen=True)
class MaskParams(Params):
    """What was drawn.

    Attributes:
        region: Number in the table of regions.
        elastic: White noise under the elastic field.
        size: Side of the picture that kernels are meant for, pixels.
        shrink: Kernel of the first blur, pixels.
        soften: Kernel of the second blur, pixels.
        sigma: Of the second blur, pixels.
        ratio: Largest weight of the source.
        landmark_noise: In units of the distance between the eyes.
        edge_noise: Factor on all kernels, less 1.
        ratio_noise: Factor on the ratio, less 1.
    """

    region: Int[Tensor, " b"]
    elastic: Float[Tensor, "b 2 g g"]
    size: Int[Tensor, " b"]
    shrink: Int[Tensor, " b"]
    soften: Int[Tensor, " b"]
    sigma: Float[Tensor, " b"]
    ratio: Float[Tensor, " b"]
    landmark_noise: Float[Tensor, "b t k 2"]
    edge_noise: Float[Tensor, "b t"]
    ratio_noise: Float[Tensor, "b t"]


@dataclass(frozen=True)
class _MaskPlan:
    """What masks are made of.

    Attributes:
        points: Landmarks, pixels of the mask.
        centre: Of the face, in pictures.
        scale: Size of the face, relative to its mean over the segment.
        elastic: White noise under the elastic field.
        kernels: Radius of the erosion, reach and width of the blur, pixels of the mask, on the CPU.
        weight: Of the source, where the mask is 1.
    """

    points: Float[Tensor, "b t k 2"]
    centre: Float[Tensor, "b t 2"]
    scale: Float[Tensor, "b t"]
    elastic: Float[Tensor, "b 2 g g"]
    kernels: tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Float[Tensor, "b s"]]
    weight: Float[Tensor, "b t"]

    def frames(self, i: int, numbers: Int[Tensor, " n"]) -> _MaskPlan:
        """Some frames of segment ``i``."""
        own = slice(i, i + 1)
        shrink, reach, sigma = (value[own, numbers] for value in self.kernels)
        return _MaskPlan(
            self.points[own, numbers],
            self.centre[own, numbers],
            self.scale[own, numbers],
            self.elastic[own],
            (shrink, reach, sigma),
            self.weight[own, numbers],
        )

    def steady(self) -> _MaskPlan:
        """The same, with the kernels of the first frame for all frames of a segment."""
        shrink, reach, sigma = (value[:, :1] for value in self.kernels)
        return replace(self, kernels=(shrink, reach, sigma))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendMask:
    """Draws a region of the face, warps it elastically, shrinks it, softens its edge and scales it.

    Kernels, elastic field and ratios are those of self-blended images (CVPR 2022); what drifts over time is ours.

    Attributes:
        regions: How likely each of :data:`mgst_data.augment.blend.regions.REGIONS` is.
        elastic: Strength and width of the elastic field, in pixels of a picture of 256: alpha and sigma of Simard et
            al. (2003), as albumentations and imgaug count them. Strength 0 leaves it out.
        size_range: Sides of the picture that the kernels are meant for, pixels: the smaller, the larger they are.
        shrink_range: Kernels of the blur after which all but its ones go; odd, pixels.
        soften_range: Kernels of the blur that makes the edge soft; odd, pixels.
        sigma_range: Widths of the Gaussian in that kernel, pixels.
        ratios: Largest weights of the source, each as likely.
        landmark_drift_range: Standard deviation of the landmarks, in units of the distance between the eyes.
        edge_drift: Standard deviation of the factor on the kernels.
        ratio_drift: Of the factor on the weight.

    Raises:
        ValueError: for a range that makes no sense, or a region that is not known.
    """

    regions: Mapping[str, float] = field(
        default_factory=lambda: {"hull": 0.25, "extended": 0.25, "inner": 0.2, "parts": 0.15, "lower": 0.15}
    )
    elastic: tuple[float, float] = (50.0, 7.0)
    size_range: tuple[int, int] = (192, 256)
    shrink_range: tuple[int, int] = (5, 25)
    soften_range: tuple[int, int] = (5, 25)
    sigma_range: tuple[float, float] = (5.0, 45.0)
    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    landmark_drift_range: tuple[float, float] = (0.003, 0.015)
    edge_drift: float = 0.1
    ratio_drift: float = 0.05

    def __post_init__(self) -> None:
        draw.check_chances("region", self.regions, REGIONS)
        if self.elastic[0] < 0 or self.elastic[1] < 1:
            raise ValueError(f"elastic is (alpha, sigma), at least (0, 1), not {self.elastic}")
        for name in ("size_range", "shrink_range", "soften_range"):
            draw.check_range(name, getattr(self, name), low=1)
        draw.check_range("sigma_range", self.sigma_range, low=0.1)
        draw.check_range("landmark_drift_range", self.landmark_drift_range, low=0)
        if not self.ratios or not 0 < min(self.ratios) <= max(self.ratios) <= 1:
            raise ValueError(f"ratios are in (0, 1], not {self.ratios}")

    def sample(self, b: int, k: int, noise: Noise, generator: torch.Generator) -> MaskParams:
        """Draws for ``b`` segments with ``k`` landmarks; ``noise`` gives what drifts over time, see SelfBlend."""
        nodes = field_nodes(self.elastic[1] / REFERENCE)
        spread = draw.uniform((b,), *self.landmark_drift_range, generator)[:, None, None, None]
        return MaskParams(
            region=draw.choose((b,), [*self.regions.values()], generator),
            elastic=torch.randn(b, 2, nodes, nodes, generator=generator),
            size=draw.integers((b,), *self.size_range, generator),
            shrink=draw.odd((b,), *self.shrink_range, generator),
            soften=draw.odd((b,), *self.soften_range, generator),
            sigma=draw.uniform((b,), *self.sigma_range, generator),
            ratio=draw.pick((b,), self.ratios, generator),
            landmark_noise=spread * noise((k, 2)),
            edge_noise=self.edge_drift * noise(()),
            ratio_noise=self.ratio_drift * noise(()),
        )

    def apply(
        self,
        landmarks: Float[Tensor, "b t k 2"],
        size: tuple[int, int],
        params: MaskParams,
        shown: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t h w"]:
        """Weights of the source, [0, 1]; 0 all over where a mask came to nothing, or is not shown.

        Of pictures with a side of at least 192 the mask comes at half their resolution: :func:`enlarge_mask`.

        Args:
            landmarks: 68 or 81, finite, pixels of the picture.
            size: Of the picture, height and width.
            params: On the CPU.
            shown: Frames whose mask is wanted.
        """
        here = params.to(landmarks.device)
        step = _step(size)
        small = (-(-size[0] // step), -(-size[1] // step))
        eyes = eye_distance(landmarks)
        moved = (landmarks + here.landmark_noise * eyes[..., None, None] + 0.5) / step - 0.5
        edge = torch.tensor([REGIONS[name].edge for name in self.regions])[params.region] * (small[0] / params.size)
        kernel = edge[:, None] * (1 + params.edge_noise).clamp_min(0.1)
        shrink = kernel * ((params.shrink - 1) / 2)[:, None]
        reach = kernel * (params.soften / 2)[:, None]
        if step > 1:
            # Making the mask larger again softens its edge too.
            reach = (reach.square() - _ENLARGED).clamp_min(0.25).sqrt()
        picture = torch.stack((landmarks.new_full((), size[1]), landmarks.new_full((), size[0])))
        plan = _MaskPlan(
            moved,
            centre=(landmarks.mean(dim=2) + 0.5) / picture,
            scale=(eyes / eyes.mean(dim=1, keepdim=True).clamp_min(1e-6)).clamp(0.25, 4),
            elastic=here.elastic,
            kernels=(shrink, reach, kernel * params.sigma[:, None]),
            weight=(here.ratio[:, None] * (1 + here.ratio_noise)).clamp(0, 1) * shown / (1 - _FAINT),
        )
        if torch.compiler.is_compiling() or landmarks.device.type != "cpu":
            return self._all(plan, small, params)
        return self._one_by_one(plan, small, params, shown)

    def _all(self, plan: _MaskPlan, size: tuple[int, int], params: MaskParams) -> Float[Tensor, "b t h w"]:
        """Masks of a batch, all at once."""
        b, t = plan.weight.shape
        window = slice(0, size[0]), slice(0, size[1])
        mask = plan.points.new_zeros(b, t, *size)
        for number, name in enumerate(self.regions):
            if self.regions[name] == 0:
                continue
            if torch.compiler.is_compiling():
                mine = (params.region == number).to(mask.device)[:, None, None, None]
                mask = torch.where(mine, region_mask(plan.points, REGIONS[name], size), mask)
                continue
            rows = rows_of(params.region == number).to(mask.device, non_blocking=True)
            if len(rows):
                mask = mask.index_copy(0, rows, region_mask(plan.points[rows], REGIONS[name], size))
        steady = not torch.compiler.is_compiling() and bool((params.edge_noise == 0).all())
        return self._finished(mask, plan.steady() if steady else plan, size, window)

    def _one_by_one(
        self, plan: _MaskPlan, size: tuple[int, int], params: MaskParams, shown: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t h w"]:
        """The same on a CPU: segment by segment, in the cache, and only where there is a mask."""
        mask = new_zeros((*shown.shape, *size), plan.points.dtype)
        names = [*self.regions]
        for i in range(len(shown)):
            frames = rows_of(shown[i])
            if len(frames) == 0:
                continue
            mine = plan.frames(i, frames)
            if bool((params.edge_noise[i] == 0).all()):
                mine = mine.steady()
            hulls = [
                rim(points[0])[None] for points in region_hulls(mine.points, REGIONS[names[int(params.region[i])]])
            ]
            window = self._window(hulls, size, mine.kernels)
            if window is None:
                continue
            corner = plan.points.new_tensor((window[1].start, window[0].start))
            inner = hulls_mask(
                [points - corner for points in hulls],
                (window[0].stop - window[0].start, window[1].stop - window[1].start),
            )
            mask[i, frames, window[0], window[1]] = self._finished(inner, mine, size, window)[0]
        return mask

    def _finished(
        self, mask: Float[Tensor, "b t h w"], plan: _MaskPlan, size: tuple[int, int], window: tuple[slice, slice]
    ) -> Float[Tensor, "b t h w"]:
        """Warps a window of the mask elastically, shrinks it, softens its edge and scales it."""
        if self.elastic[0] > 0:
            sigma = self.elastic[1] / REFERENCE
            noise = plan.elastic * self._deviation()
            mask = warp_mask(mask, elastic_field(noise, plan.centre, plan.scale, size, sigma, window), size)
        mask = soften(mask, *(_there(value, mask) for value in plan.kernels), size=size, window=window)
        return ((mask - _FAINT) * plan.weight[..., None, None]).clamp_(0, 1)

    def _window(
        self, hulls: list[Float[Tensor, "1 t _ 2"]], size: tuple[int, int], kernels: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[slice, slice] | None:
        """Rows and columns beyond which the masks of a segment are 0; None if that is everywhere."""
        points = torch.cat([points.detach().flatten(0, 2) for points in hulls])
        grown = float((kernels[1] - kernels[0]).max())
        # What the elastic field moves is a few deviations at most, and two pixels see to all that is rounded.
        margin = max(grown, 0) + _DEVIATIONS * self._deviation() * max(size) + 2
        low, high = (points.amin(dim=0) - margin).tolist(), (points.amax(dim=0) + margin).tolist()
        rows, columns = (slice(max(int(low[i]), 0), min(int(high[i]) + 2, size[1 - i])) for i in (1, 0))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def _deviation(self) -> float:
        """Standard deviation of the elastic field, in pictures.

        A uniform noise of +-1 under a normalised Gaussian of width sigma has the standard deviation
        1 / (sqrt(3) * 2 * sqrt(pi) * sigma), sigma in pixels; alpha is the factor on it.
        """
        alpha, sigma = self.elastic
        return alpha / (math.sqrt(3) * 2 * math.sqrt(math.pi) * sigma) / REFERENCE


def enlarge_mask(
    mask: Float[Tensor, "b t h w"], size: tuple[int, int], part: tuple[slice, slice] | None = None
) -> Float[Tensor, "b t 1 h2 w2"]:
    """A mask that :class:`BlendMask` made, at the resolution of its picture.

    Args:
        mask: Of the whole picture.
        size: Of the picture, height and width.
        part: Rows and columns of the mask that are wanted, around which it is 0 or has its border; all by default.
    """
    step = _step(size)
    rows, columns = part or (slice(0, mask.shape[2]), slice(0, mask.shape[3]))
    inner = mask[:, :, rows, columns]
    if step > 1:
        height = min(rows.stop * step, size[0]) - rows.start * step
        width = min(columns.stop * step, size[1]) - columns.start * step
        inner = enlarge(inner, step, (height, width))
    return inner[:, :, None]


def _there(value: Tensor, like: Tensor) -> Tensor:
    return value.to(like.device, non_blocking=True)


def _step(size: tuple[int, int]) -> int:
    """Pixels of the picture to one of the mask."""
    return 2 if min(size) >= _HALVED else 1
