"""From what was drawn for a blend to its pixels: what they need, and each step to them, for a batch or a part of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import Params, on_rows
from mgst_data.augment.blend.donor import Donor, DonorParams
from mgst_data.augment.blend.mask import MaskParams, enlarge_mask
from mgst_data.augment.blend.recolour import Recolour, RecolourParams, add_colour
from mgst_data.augment.blend.source_warp import WarpParams
from mgst_data.augment.functional.colour import match_colour
from mgst_data.augment.functional.pyramid import pyramid_blend
from mgst_data.augment.functional.warp import affine_grid, resample

# Bands of a Laplacian pyramid: at 256 pixels the coarsest has 16.
_BANDS = 5
# Weight of a mask from which on a pyramid's blend is shown unmixed.
_UNMIXED = 0.25


@dataclass(frozen=True)
class SelfBlendParams(Params):
    """Everything that was drawn for a batch.

    Attributes:
        recolour_source: Whether the source is recoloured; the target is otherwise.
        recolour: How.
        colour_noise: Added to the channels of the source, frame by frame.
        warp: How the source is moved.
        mask: How the mask is made.
        gate_mode: Number in :data:`mgst_data.augment.GATE_MODES`.
        gate: Frames that are blended.
        rho: Correlation of the noise of neighbouring frames.
        drift: Scale of that noise; 0 is perfectly steady.
        match_colour: Whether the source gets the colours of the target.
        pyramid: Whether the blend is made in a Laplacian pyramid.
        donor: Whose face the source is.
    """

    recolour_source: Bool[Tensor, " b"]
    recolour: RecolourParams
    colour_noise: Float[Tensor, "b t 3"]
    warp: WarpParams
    mask: MaskParams
    gate_mode: Int[Tensor, " b"]
    gate: Bool[Tensor, "b t"]
    rho: Float[Tensor, " b"]
    drift: Float[Tensor, " b"]
    match_colour: Bool[Tensor, " b"]
    pyramid: Bool[Tensor, " b"]
    donor: DonorParams


@dataclass(frozen=True)
class BlendPlan:
    """What the pixels of a batch need to be blended, on their device.

    Attributes:
        mask: Weights of the source, as :class:`mgst_data.augment.BlendMask` gives them.
        matrix: From pixels of the fake to pixels of the source.
        colour: Added to the channels of the source.
        usable: 1 where there is a face, 0 elsewhere.
        from_source: 1 if the source is recoloured, 0 if the target is.
        opened: Frames that are blended.
        donor: Number of the segment that the source is of.
        landmarks: Of every segment; finite.
    """

    mask: Float[Tensor, "b t h2 w2"]
    matrix: Float[Tensor, "b t 2 3"]
    colour: Float[Tensor, "b t 3"]
    usable: Float[Tensor, "b t"]
    from_source: Float[Tensor, " b"]
    opened: Bool[Tensor, "b t"]
    donor: Int[Tensor, " b"]
    landmarks: Float[Tensor, "b t k 2"]

    def tile(self, own: slice, run: slice) -> BlendPlan:
        """Some segments and frames."""
        return BlendPlan(
            self.mask[own, run],
            self.matrix[own, run],
            self.colour[own, run],
            self.usable[own, run],
            self.from_source[own],
            self.opened[own, run],
            self.donor[own],
            self.landmarks[own, run],
        )


@dataclass(frozen=True, slots=True)
class BlendPixels:
    """The steps of a blend that change pixels.

    Attributes:
        recolour: Recolours one side.
        donor: Fits the faces of donors.
        match_colour: Whether colours are ever matched; if not, what was drawn of it is left out.
        pyramid: The same of Laplacian pyramids.
    """

    recolour: Recolour
    donor: Donor
    match_colour: bool
    pyramid: bool

    def recoloured(
        self, frames: Float[Tensor, "b t 3 h w"], plan: BlendPlan, params: SelfBlendParams
    ) -> tuple[Float[Tensor, "b t 3 h w"], Float[Tensor, "b t 3 h w"]]:
        """Recoloured frames, and the real twins: these, or the frames as they are."""
        recoloured = self.recolour.apply(frames, params.recolour)
        # Choices by weights of 0 and 1 are exact, and on a CPU ten times as fast as torch.where.
        chosen = (1 - plan.from_source[:, None]) * plan.usable
        return recoloured, torch.lerp(frames, recoloured, chosen[:, :, None, None, None])

    def mixed(
        self,
        target: Float[Tensor, "b t 3 h w"],
        source: Float[Tensor, "b t 3 y x"],
        matrix: Float[Tensor, "b t 2 3"],
        mask: Float[Tensor, "b t 1 h w"],
        params: SelfBlendParams,
    ) -> Float[Tensor, "b t 3 h w"]:
        """The fakes: the source is moved, and blended into the target."""
        (b, t, c, h, w), (y, x) = target.shape, source.shape[3:]
        grid = affine_grid(matrix.flatten(0, 1), (h, w), (y, x))
        source = resample(source.reshape(b * t, c, y, x), grid).reshape(target.shape)
        if self.match_colour:
            source = on_rows(
                source, params.match_colour, lambda some, rows: match_colour(some, target[rows], mask[rows])
            )
        fake = torch.lerp(target, source, mask)
        if self.pyramid:

            def blend_bands(some: Tensor, rows: Tensor | slice) -> Tensor:
                flat = [item[rows].flatten(0, 1) for item in (target, source, mask)]
                banded = pyramid_blend(flat[0], flat[1], flat[2], _BANDS).reshape(some.shape)
                # A pyramid's blend reaches beyond the mask; it is faded out within.
                return torch.lerp(target[rows], banded, (mask[rows] / _UNMIXED).clamp_max(1))

            fake = on_rows(fake, params.pyramid, blend_bands)
        return fake


def blend_at_once(
    pixels: BlendPixels, frames: Float[Tensor, "b t 3 h w"], plan: BlendPlan, params: SelfBlendParams
) -> tuple[Tensor, Tensor, Tensor]:
    """Real twins, fakes and masks of a whole batch."""
    recoloured, target = pixels.recoloured(frames, plan, params)
    mask = enlarge_mask(plan.mask, (frames.shape[3], frames.shape[4]))
    source = frames
    if pixels.donor.p > 0:
        donor, fitting = plan.donor, params.donor.to(frames.device)

        def fitted(some: Tensor, rows: Tensor | slice) -> Tensor:
            points = plan.landmarks[donor[rows]], plan.landmarks[rows]
            return pixels.donor.fitted(frames[donor[rows]], some, points, mask[rows], fitting[rows])

        source = on_rows(frames, params.donor.given, fitted)
        recoloured = pixels.recolour.apply(source, params.recolour)
    source = torch.lerp(source, recoloured, plan.from_source[:, None, None, None, None])
    source = add_colour(source, plan.colour)
    return target, pixels.mixed(target, source, plan.matrix, mask, params), mask
