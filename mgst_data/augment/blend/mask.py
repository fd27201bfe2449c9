"""Masks: which pixels of a frame come from the source of a blend, and with which weight."""

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

# Pictures of at least this side have masks of half their resolution, because an edge is several pixels wide anyway.
_HALVED = 192
# Added by half resolution to the square of the kernel radius, pixels of the mask; fitted to masks of full resolution.
_ENLARGED = 0.75
# Weights below this would not change an 8-bit pixel.
_FAINT = 1 / 512
# Largest displacement of the elastic field, in standard deviations.
_DEVIATIONS = 5


@dataclass(frozen=True)
class MaskParams(Params):
    """Parameters of masks.

    Attributes:
        region: Number of the region in the table of regions.
        elastic: White noise of the elastic field.
        size: Side of the reference picture that the kernels refer to, pixels.
        shrink: Kernel size of the first blur, pixels.
        soften: Kernel size of the second blur, pixels.
        sigma: Standard deviation of the second blur, pixels.
        ratio: Largest weight of the source.
        landmark_noise: Displacement of the landmarks, in eye distances.
        edge_noise: Factor on all kernels, minus 1.
        ratio_noise: Factor on the ratio, minus 1.
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
    """Inputs for the masks of a batch.

    Attributes:
        points: Landmarks, pixels of the mask.
        centre: Centre of the face, pixels of the mask.
        side: Side of the reference picture, pixels of the mask.
        scale: Size of the face, relative to its mean over the segment.
        elastic: White noise of the elastic field.
        kernels: Radius of the erosion, radius and standard deviation of the blur, pixels of the mask.
        weight: Weight of the source where the mask is 1.
    """

    points: Float[Tensor, "b t k 2"]
    centre: Float[Tensor, "b t 2"]
    side: Float[Tensor, " b"]
    scale: Float[Tensor, "b t"]
    elastic: Float[Tensor, "b 2 g g"]
    kernels: tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Float[Tensor, "b s"]]
    weight: Float[Tensor, "b t"]

    def frames(self, i: int, numbers: Int[Tensor, " n"]) -> _MaskPlan:
        """Returns the plan of some frames of segment ``i``."""
        own = slice(i, i + 1)
        shrink, reach, sigma = (value[own, numbers] for value in self.kernels)
        return _MaskPlan(
            self.points[own, numbers],
            self.centre[own, numbers],
            self.side[own],
            self.scale[own, numbers],
            self.elastic[own],
            (shrink, reach, sigma),
            self.weight[own, numbers],
        )

    def steady(self) -> _MaskPlan:
        """Returns the plan with the kernels of the first frame for all frames of a segment."""
        shrink, reach, sigma = (value[:, :1] for value in self.kernels)
        return replace(self, kernels=(shrink, reach, sigma))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendMask:
    """Draws a region of the face, warps it elastically, shrinks it, softens its edge and scales it.

    Kernels, elastic field and ratios are those of self-blended images (CVPR 2022). The drift over time is our own,
    because that method blends single pictures.

    Attributes:
        regions: Relative probability of each of :data:`mgst_data.augment.blend.regions.REGIONS`.
        elastic: Strength and width of the elastic field, in pixels of a reference picture
            (:func:`mgst_data.augment.blend.regions.reference_side`) of 256: alpha and sigma of Simard et
            al. (2003), as in albumentations and imgaug. Strength 0 switches the field off.
        size_range: Side of the reference picture that the kernels refer to, pixels. A smaller side makes the kernels
            larger.
        shrink_range: Size of the kernel of the first blur; odd, pixels. After it, only pixels that are still 1 are
            kept.
        soften_range: Size of the kernel of the second blur, which softens the edge; odd, pixels.
        sigma_range: Standard deviation of the Gaussian in the second kernel, pixels.
        ratios: Largest weights of the source; all have the same probability.
        landmark_drift_range: Standard deviation of the landmark noise, in eye distances.
        edge_drift: Standard deviation of the factor on the kernels.
        ratio_drift: Standard deviation of the factor on the weight.

    Raises:
        ValueError: if a range is invalid or a region is unknown.
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
            raise ValueError(f"elastic must be (alpha, sigma) of at least (0, 1), got {self.elastic}")
        for name in ("size_range", "shrink_range", "soften_range"):
            draw.check_counts(name, getattr(self, name), low=1)
        draw.check_range("sigma_range", self.sigma_range, low=0.1)
        draw.check_range("landmark_drift_range", self.landmark_drift_range, low=0)
        for name in ("edge_drift", "ratio_drift"):
            draw.check_strength(name, getattr(self, name))
        if not self.ratios or not 0 < min(self.ratios) <= max(self.ratios) <= 1:
            raise ValueError(f"ratios must have at least one value, all in (0, 1], got {self.ratios}")

    def sample(self, b: int, k: int, noise: Noise, generator: torch.Generator) -> MaskParams:
        """Draws parameters.

        Args:
            b: Number of segments.
            k: Number of landmarks.
            noise: Function of a shape that draws noise over time, see :class:`mgst_data.augment.SelfBlend`.
            generator: Random generator on the CPU.
        """
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
        side: Float[Tensor, " b"],
        size: tuple[int, int],
        params: MaskParams,
        shown: Bool[Tensor, "b t"],
    ) -> Float[Tensor, "b t h w"]:
        """Computes weights of the source, [0, 1]. They are all 0 where a mask is empty or not shown.

        If both sides of the pictures are at least 192, masks have half their resolution; see :func:`enlarge_mask`.

        Args:
            landmarks: 68 or 81 landmarks in pixels of the picture; finite.
            side: Side of the reference picture (:func:`mgst_data.augment.blend.regions.reference_side`), pixels.
            size: Height and width of the picture, pixels.
            params: Parameters of :meth:`sample`, on the CPU.
            shown: Frames whose mask is needed.
        """
        here = params.to(landmarks.device)
        step = _step(size)
        small = (-(-size[0] // step), -(-size[1] // step))
        eyes = eye_distance(landmarks)
        moved = (landmarks + here.landmark_noise * eyes[..., None, None] + 0.5) / step - 0.5
        side = side / step
        edge = torch.tensor([REGIONS[name].edge for name in self.regions])[params.region] / params.size
        kernel = (edge.to(side.device, non_blocking=True) * side)[:, None] * (1 + here.edge_noise).clamp_min(0.1)
        shrink = kernel * ((here.shrink - 1) / 2)[:, None]
        reach = kernel * (here.soften / 2)[:, None]
        if step > 1:
            # Enlarging the mask later softens its edge too.
            reach = (reach.square() - _ENLARGED).clamp_min(0.25).sqrt()
        plan = _MaskPlan(
            moved,
            centre=(landmarks.mean(dim=2) + 0.5) / step - 0.5,
            side=side,
            scale=(eyes / eyes.mean(dim=1, keepdim=True).clamp_min(1e-6)).clamp(0.25, 4),
            elastic=here.elastic,
            kernels=(shrink, reach, kernel * here.sigma[:, None]),
            weight=(here.ratio[:, None] * (1 + here.ratio_noise)).clamp(0, 1) * shown / (1 - _FAINT),
        )
        if torch.compiler.is_compiling() or landmarks.device.type != "cpu":
            return self._all(plan, small, params)
        return self._one_by_one(plan, small, params, shown)

    def _all(self, plan: _MaskPlan, size: tuple[int, int], params: MaskParams) -> Float[Tensor, "b t h w"]:
        """Makes the masks of a batch, all at once."""
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
        """Makes the masks on a CPU one segment at a time, so that data stays in the cache, and only where a mask is."""
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
            window = self._window(hulls, size, mine)
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
            noise = plan.elastic * (self._deviation() * plan.side)[:, None, None, None]
            side = plan.scale * plan.side[:, None]
            mask = warp_mask(mask, elastic_field(noise, plan.centre, side, sigma, window))
        mask = soften(mask, *plan.kernels, size=size, window=window)
        return ((mask - _FAINT) * plan.weight[..., None, None]).clamp_(0, 1)

    def _window(
        self, hulls: list[Float[Tensor, "1 t _ 2"]], size: tuple[int, int], plan: _MaskPlan
    ) -> tuple[slice, slice] | None:
        """Returns rows and columns outside which the masks of a segment are 0; None if they are 0 everywhere."""
        points = torch.cat([points.detach().flatten(0, 2) for points in hulls])
        grown = float((plan.kernels[1] - plan.kernels[0]).max())
        # The elastic field moves pixels by a few deviations at most; two more pixels allow for rounding.
        margin = max(grown, 0) + _DEVIATIONS * self._deviation() * float(plan.side) + 2
        low, high = (points.amin(dim=0) - margin).tolist(), (points.amax(dim=0) + margin).tolist()
        rows, columns = (slice(max(int(low[i]), 0), min(int(high[i]) + 2, size[1 - i])) for i in (1, 0))
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def _deviation(self) -> float:
        """Returns the standard deviation of the elastic field, relative to the reference picture.

        Uniform noise in [-1, 1] under a normalised Gaussian of width sigma has the standard deviation 1 / (sqrt(3) * 2
        * sqrt(pi) * sigma), sigma in pixels; alpha is a factor on it.
        """
        alpha, sigma = self.elastic
        return alpha / (math.sqrt(3) * 2 * math.sqrt(math.pi) * sigma) / REFERENCE


def enlarge_mask(
    mask: Float[Tensor, "b t h w"], size: tuple[int, int], part: tuple[slice, slice] | None = None
) -> Float[Tensor, "b t 1 h2 w2"]:
    """Returns a mask of :class:`BlendMask` at the resolution of its picture.

    Args:
        mask: Mask of the whole picture.
        size: Height and width of the picture, pixels.
        part: Rows and columns of the mask to return; all by default. Outside them the mask must be 0 or end.
    """
    step = _step(size)
    rows, columns = part or (slice(0, mask.shape[2]), slice(0, mask.shape[3]))
    inner = mask[:, :, rows, columns]
    if step > 1:
        height = min(rows.stop * step, size[0]) - rows.start * step
        width = min(columns.stop * step, size[1]) - columns.start * step
        inner = enlarge(inner, step, (height, width))
    return inner[:, :, None]


def _step(size: tuple[int, int]) -> int:
    """Returns the number of picture pixels per mask pixel, in each direction."""
    return 2 if min(size) >= _HALVED else 1
