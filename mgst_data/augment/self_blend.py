"""Self-blending of whole segments: pseudo-fakes with all their labels, made from real faces alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment import draw
from mgst_data.augment.base import AUGMENTATIONS, Params, Step, on_rows
from mgst_data.augment.blend_mask import BlendMask, MaskParams
from mgst_data.augment.blend_tiles import BlendPlan, blend_in_tiles, suits_tiles
from mgst_data.augment.colour import match_colour
from mgst_data.augment.donor import Donor, DonorParams
from mgst_data.augment.drift import GATE_MODES, autoregressive, sample_gate
from mgst_data.augment.presets import PRESETS
from mgst_data.augment.pyramid import pyramid_blend
from mgst_data.augment.recolour import Recolour, RecolourParams, add_colour
from mgst_data.augment.source_warp import SourceWarp, WarpParams
from mgst_data.augment.warp import affine_grid, resample
from mgst_data.core import labels
from mgst_data.core.segment import RealFakePair, Segment

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
        gate_mode: Number in :data:`mgst_data.augment.drift.GATE_MODES`.
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


@AUGMENTATIONS.register("self_blend")
class SelfBlend(Step[SelfBlendParams]):
    """Frame-random consistent self-blending: blends every segment with a moved and recoloured copy of itself.

    Label-making; segment, frame and patch grain. One set of parameters holds for a segment, so that the fake is a
    coherent video; on top, noise that is correlated over time lets landmarks, position, colour, edge and weight drift,
    and a gate leaves some frames real. Numbers are those of self-blended images [Shiohara & Yamasaki, CVPR 2022] where
    it has them; noise, gate, and all regions but the hulls are ours.

    Calling it takes a :class:`Segment` of real faces with 68 or 81 landmarks and gives a :class:`RealFakePair`::

        pair = SelfBlend()(Segment.of(frames, landmarks), generator=generator)

    Outside ``fake.mask`` the twins are the same to the bit. Where no mask can be made - no face, landmarks that are not
    finite, a donor without a face, a region wiped out by its own soft edge - the fake equals its twin and
    ``fake.frame_label`` is 0; if the frame was to be blended, ``fake.valid`` is False there. A segment without a
    blended frame keeps label 0.

    Where this differs from OpenCV on purpose: from a side of 192 pixels on, the mask is made at half resolution; the
    elastic field moves with the face; the source is moved about the middle of the face, and goes on beyond the picture
    as at its border; kernels may be of a fraction of a pixel; colours are never rounded to 8 bits.

    Args:
        mask: Options of :class:`mgst_data.augment.BlendMask`.
        warp: Options of :class:`mgst_data.augment.SourceWarp`.
        recolour: Options of :class:`mgst_data.augment.Recolour`.
        recolour_source: How likely the source is recoloured; the target, and with it the real twin, is otherwise.
        gate: How likely each of :data:`mgst_data.augment.drift.GATE_MODES` is.
        rho_range: Correlation of the noise of neighbouring frames: 0 flickers, near 1 drifts.
        steady_p: How likely the noise is left out.
        drift: Factor on all that drifts over time; 0 switches it off and changes no other draw. Jumps of the source are
            not drift: the options of the warp have them.
        colour_drift: Standard deviation of the channels of the source, [0, 1]; a real twin must not flicker.
        match_colour: How likely the source gets the mean and deviation of the target's colours within the mask.
        pyramid: How likely the blend is made in a Laplacian pyramid.
        donor: Options of :class:`mgst_data.augment.Donor`: how likely the source is not the segment itself, but another
            one of the batch, as in face X-ray [Li et al., CVPR 2020]. Still only real faces are needed.

    Raises:
        ValueError: for a range or probability that makes no sense, or a name that is not known.
    """

    def __init__(
        self,
        *,
        mask: Mapping[str, Any] | None = None,
        warp: Mapping[str, Any] | None = None,
        recolour: Mapping[str, Any] | None = None,
        recolour_source: float = 0.5,
        gate: Mapping[str, float] | None = None,
        rho_range: tuple[float, float] = (0.0, 0.9),
        steady_p: float = 0.3,
        drift: float = 1.0,
        colour_drift: float = 2 / 255,
        match_colour: float = 0.0,
        pyramid: float = 0.0,
        donor: Mapping[str, Any] | None = None,
    ) -> None:
        default = PRESETS["frame_random"]
        self.mask = BlendMask(**{**default["mask"], **(mask or {})})
        self.warp = SourceWarp(**(warp or {}))
        self.recolour = Recolour(**(recolour or {}))
        self.donor = Donor(**(donor or {}))
        self.gate = dict(default["gate"] if gate is None else gate)
        unknown = [name for name in self.gate if name not in GATE_MODES]
        if unknown:
            raise ValueError(f"no gate mode is called {unknown[0]!r}; known: {', '.join(GATE_MODES)}")
        if sum(self.gate.values()) <= 0 or min(self.gate.values()) < 0:
            raise ValueError(f"chances of gate modes are at least 0, and one of them more, not {self.gate}")
        for name, share in (
            ("recolour_source", recolour_source),
            ("steady_p", steady_p),
            ("match_colour", match_colour),
            ("pyramid", pyramid),
        ):
            draw.check_share(name, share)
        draw.check_range("rho_range", rho_range, low=0, high=0.999)
        self.recolour_source, self.rho_range, self.steady_p = recolour_source, rho_range, steady_p
        self.drift, self.colour_drift = drift, colour_drift
        self.match_colour, self.pyramid = match_colour, pyramid

    def __repr__(self) -> str:
        regions = self.mask.regions
        return f"SelfBlend(regions={regions}, gate={self.gate}, drift={self.drift:g}, donor={self.donor.p:g})"

    @staticmethod
    def preset(name: str, **changes: Any) -> SelfBlend:
        """One of :data:`mgst_data.augment.PRESETS`, with some options changed.

        Args:
            name: Of the preset.
            changes: Options; of ``mask``, ``warp``, ``recolour`` and ``donor``, what is not named stays as it is there.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; known: {', '.join(PRESETS)}")
        options = dict(PRESETS[name])
        for key, value in changes.items():
            parts = key in ("mask", "warp", "recolour", "donor")
            options[key] = {**options.get(key, {}), **value} if parts else value
        return SelfBlend(**options)

    def sample(self, segment: Segment, generator: torch.Generator) -> SelfBlendParams:
        """Draws for every segment of a batch.

        Raises:
            ValueError: if there are neither 68 nor 81 landmarks.
        """
        b, t, k = segment.landmarks.shape[:3]
        if k not in (68, 81):
            raise ValueError(f"self-blending needs 68 or 81 landmarks, not {k}")
        rho = draw.uniform((b,), *self.rho_range, generator)
        steady = draw.chance((b,), self.steady_p, generator)
        drift = torch.where(steady, 0, draw.uniform((b,), 0.25, 1, generator)) * self.drift

        def noise(shape: Sequence[int]) -> Tensor:
            values = autoregressive(rho, (t, *shape), generator)
            return values * drift.reshape(b, *[1] * (values.ndim - 1))

        gate_mode, gate = sample_gate(b, t, self.gate, generator)
        return SelfBlendParams(
            recolour_source=draw.chance((b,), self.recolour_source, generator),
            recolour=self.recolour.sample(b, generator),
            colour_noise=self.colour_drift * noise((3,)),
            warp=self.warp.sample(b, t, noise, generator),
            mask=self.mask.sample(b, k, noise, generator),
            gate_mode=gate_mode,
            gate=gate,
            rho=rho,
            drift=drift,
            match_colour=draw.chance((b,), self.match_colour, generator),
            pyramid=draw.chance((b,), self.pyramid, generator),
            donor=self.donor.sample(b, generator),
        )

    def apply(self, segment: Segment, params: SelfBlendParams) -> RealFakePair:
        """Blends as was drawn."""
        frames = segment.frames
        size = (frames.shape[3], frames.shape[4])
        here = params.to(frames.device)
        usable = segment.valid & segment.landmarks.isfinite().flatten(2).all(dim=2)
        # Whatever a frame without a face holds, it must not spoil others by being no number.
        landmarks = segment.landmarks.masked_fill(~usable[..., None, None], 0)
        chosen = self.donor.choose(landmarks, usable, here.donor)
        wanted = here.gate & usable
        opened = wanted & usable[chosen]
        mask = self.mask.apply(landmarks, size, params.mask, opened)
        plan = BlendPlan(
            mask=mask.to(frames.dtype),
            matrix=self.warp.matrix(landmarks.mean(dim=2), size, here.warp),
            colour=here.colour_noise,
            usable=usable.to(frames.dtype),
            from_source=here.recolour_source.to(frames.dtype),
            opened=opened,
            donor=chosen,
            landmarks=landmarks,
        )
        work_off = partial(blend_in_tiles, self) if suits_tiles(frames) else self._at_once
        target, fake, mask = work_off(frames, plan, params)
        return _pair(segment, target, fake, mask, wanted)

    def apply_any(self, data: Segment | RealFakePair, params: SelfBlendParams) -> RealFakePair:
        """Blends as was drawn; twins cannot be blended once more."""
        if isinstance(data, RealFakePair):
            raise TypeError("these are twins already: self-blending comes first, and once")
        return self.apply(data, params)

    def __call__(self, segment: Segment, *, generator: torch.Generator) -> RealFakePair:
        """Draws and blends."""
        return self.apply(segment, self.sample(segment, generator))

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
        if self.match_colour > 0:
            source = on_rows(
                source, params.match_colour, lambda some, rows: match_colour(some, target[rows], mask[rows])
            )
        fake = torch.lerp(target, source, mask)
        if self.pyramid > 0:

            def blend_bands(some: Tensor, rows: Tensor | slice) -> Tensor:
                flat = [item[rows].flatten(0, 1) for item in (target, source, mask)]
                banded = pyramid_blend(flat[0], flat[1], flat[2], _BANDS).reshape(some.shape)
                # A pyramid's blend reaches beyond the mask; it is faded out within.
                return torch.lerp(target[rows], banded, (mask[rows] / _UNMIXED).clamp_max(1))

            fake = on_rows(fake, params.pyramid, blend_bands)
        return fake

    def _at_once(
        self, frames: Float[Tensor, "b t 3 h w"], plan: BlendPlan, params: SelfBlendParams
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Real twins, fakes and masks of a whole batch."""
        recoloured, target = self.recoloured(frames, plan, params)
        mask = self.mask.enlarge(plan.mask, (frames.shape[3], frames.shape[4]))
        source = frames
        if self.donor.p > 0:
            donor, fitting = plan.donor, params.donor.to(frames.device)

            def fitted(some: Tensor, rows: Tensor | slice) -> Tensor:
                points = plan.landmarks[donor[rows]], plan.landmarks[rows]
                return self.donor.fitted(frames[donor[rows]], some, points, mask[rows], fitting[rows])

            source = on_rows(frames, params.donor.given, fitted)
            recoloured = self.recolour.apply(source, params.recolour)
        source = torch.lerp(source, recoloured, plan.from_source[:, None, None, None, None])
        source = add_colour(source, plan.colour)
        return target, self.mixed(target, source, plan.matrix, mask, params), mask


def _pair(
    segment: Segment,
    target: Float[Tensor, "b t 3 h w"],
    fake: Float[Tensor, "b t 3 h w"],
    mask: Float[Tensor, "b t 1 h w"],
    wanted: Bool[Tensor, "b t"],
) -> RealFakePair:
    frame_label = labels.frame_label_of(mask)
    wiped_out = wanted & (frame_label == 0)
    return RealFakePair(
        real=segment.replace(frames=target),
        fake=segment.replace(
            frames=fake,
            mask=mask,
            valid=segment.valid & ~wiped_out,
            label=frame_label.amax(dim=1),
            frame_label=frame_label,
            patch_label=labels.patches(mask, segment.patch_label.shape[-1]),
        ),
    )
