"""The pixels of a blend: inputs and steps, for a batch or a part of it."""

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

# Bands of a Laplacian pyramid: for 256 pixels the coarsest band has 16.
_BANDS = 5
# From this mask weight on, the result of the pyramid is shown alone.
_UNMIXED = 0.25


@dataclass(frozen=True)
class SelfBlendParams(Params):
    """All parameters of a self-blend for a batch.

    Attributes:
        recolour_source: Whether the source is recoloured; otherwise the target is.
        recolour: Parameters of recolouring.
        colour_noise: Added to the channels of the source in each frame.
        warp: Parameters of the motion of the source.
        mask: Parameters of the mask.
        frame_mask_kind: Number of the mode in :data:`mgst_data.augment.FRAME_MASKS`.
        frame_mask: Frame mask: the frames that are blended.
        rho: Correlation of the noise of neighbouring frames.
        drift: Scale of that noise; 0 switches it off.
        match_colour: Whether the source gets the colours of the target.
        pyramid: Whether a Laplacian pyramid is used.
        donor: Parameters of the donor.
        quality: Parameters of the step that changes the quality of one side; empty if there is none.
    """

    recolour_source: Bool[Tensor, " b"]
    recolour: RecolourParams
    colour_noise: Float[Tensor, "b t 3"]
    warp: WarpParams
    mask: MaskParams
    frame_mask_kind: Int[Tensor, " b"]
    frame_mask: Bool[Tensor, "b t"]
    rho: Float[Tensor, " b"]
    drift: Float[Tensor, " b"]
    match_colour: Bool[Tensor, " b"]
    pyramid: Bool[Tensor, " b"]
    donor: DonorParams
    quality: tuple[Params, ...] = ()


@dataclass(frozen=True)
class BlendPlan:
    """Inputs for the pixels of a batch, on their device.

    Attributes:
        mask: Weights of the source, as returned by :class:`mgst_data.augment.BlendMask`.
        matrix: Affine maps from pixels of the fake to pixels of the source.
        colour: Added to the channels of the source.
        usable: 1 for frames with a face, 0 for others.
        from_source: 1 if the source is recoloured, 0 if the target is.
        opened: Frames that are blended.
        donor: Number of the segment that the source comes from.
        landmarks: Landmarks of every segment; finite.
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
        """Returns the plan of some segments and frames.

        Args:
            own: Segments to take.
            run: Frames to take.
        """
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
        recolour: Recolours source or target.
        donor: Fits the faces of donors.
        match_colour: Whether colours are ever matched. If False, the drawn parameter is ignored.
        pyramid: Whether a Laplacian pyramid is ever used. If False, the drawn parameter is ignored.
    """

    recolour: Recolour
    donor: Donor
    match_colour: bool
    pyramid: bool

    def recoloured(
        self, frames: Float[Tensor, "b t 3 h w"], plan: BlendPlan, params: SelfBlendParams
    ) -> tuple[Float[Tensor, "b t 3 h w"], Float[Tensor, "b t 3 h w"]]:
        """Computes recoloured frames and the real segments of the pairs.

        Args:
            frames: Frames in [0, 1].
            plan: Inputs for these frames.
            params: Parameters of these segments, on the CPU.

        Returns:
            Recoloured frames, and the real segments: recoloured frames if the target is recoloured, otherwise the
            frames.
        """
        recoloured = self.recolour.apply(frames, params.recolour)
        # Selection by weights of 0 and 1 is exact, and on a CPU ten times as fast as torch.where.
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
        """Moves the source and blends it into the target.

        Args:
            target: Frames of the target.
            source: Frames of the source, before the motion.
            matrix: Affine maps from pixels of the target to pixels of the source.
            mask: Weights of the source at the resolution of the target.
            params: Parameters of these segments, on the CPU.

        Returns:
            Frames of the pseudo-fakes.
        """
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
                # The pyramid also changes pixels outside the mask, so its result is faded out inside.
                return torch.lerp(target[rows], banded, (mask[rows] / _UNMIXED).clamp_max(1))

            fake = on_rows(fake, params.pyramid, blend_bands)
        return fake


def blend_at_once(
    pixels: BlendPixels,
    frames: Float[Tensor, "b t 3 h w"],
    sources: Float[Tensor, "b t 3 h w"],
    plan: BlendPlan,
    params: SelfBlendParams,
) -> tuple[Tensor, Tensor, Tensor]:
    """Blends a whole batch at once.

    Args:
        pixels: Steps of the blend.
        frames: Frames of the targets in [0, 1].
        sources: Frames of the sources; ``frames`` itself if they are the same.
        plan: Inputs for these frames.
        params: Parameters of these segments, on the CPU.

    Returns:
        Frames of the real segments, frames of the pseudo-fakes, and masks.
    """
    recoloured, target = pixels.recoloured(frames, plan, params)
    mask = enlarge_mask(plan.mask, (frames.shape[3], frames.shape[4]))
    source = sources
    if pixels.donor.p > 0:
        donor, fitting = plan.donor, params.donor.to(frames.device)

        def fitted(some: Tensor, rows: Tensor | slice) -> Tensor:
            points = plan.landmarks[donor[rows]], plan.landmarks[rows]
            return pixels.donor.fitted(sources[donor[rows]], some, points, mask[rows], fitting[rows])

        source = on_rows(sources, params.donor.given, fitted)
    if source is not frames:
        recoloured = pixels.recolour.apply(source, params.recolour)
    source = torch.lerp(source, recoloured, plan.from_source[:, None, None, None, None])
    source = add_colour(source, plan.colour)
    return target, pixels.mixed(target, source, plan.matrix, mask, params), mask
