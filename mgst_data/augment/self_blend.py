"""Self-blending of whole segments: pseudo-fakes with all their labels, made from real faces alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment import draw
from mgst_data.augment.base import AUGMENTATIONS, Params, Step
from mgst_data.augment.blend_mask import BlendMask, MaskParams
from mgst_data.augment.colour import match_colour
from mgst_data.augment.drift import GATE_MODES, autoregressive, sample_gate
from mgst_data.augment.presets import PRESETS
from mgst_data.augment.pyramid import pyramid_blend
from mgst_data.augment.recolour import Recolour, RecolourParams, on_rows
from mgst_data.augment.source_warp import SourceWarp, WarpParams
from mgst_data.augment.warp import affine_grid, resample
from mgst_data.core import labels
from mgst_data.core.segment import RealFakePair, Segment

# Bands of a Laplacian pyramid: at 256 pixels the coarsest has 16.
_BANDS = 5
# Weight of a mask from which on a pyramid's blend is shown unmixed.
_UNMIXED = 0.25
# Bytes of frames that are worked off at once on a CPU: with what is made of them they should stay in its cache.
_TILE = 2**20


@dataclass(frozen=True)
class SelfBlendParams(Params):
    """Everything that was drawn for a batch.

    Attributes:
        recolour_source: Whether the source is recoloured; the target is otherwise.
        recolour: How.
        colour_noise: Added to the channels of the recoloured side, frame by frame.
        warp: How the source is moved.
        mask: How the mask is made.
        gate_mode: Number in :data:`mgst_data.augment.drift.GATE_MODES`.
        gate: Frames that are blended.
        rho: Correlation of the noise of neighbouring frames.
        drift: Scale of that noise; 0 is perfectly steady.
        match_colour: Whether the source gets the colours of the target.
        pyramid: Whether the blend is made in a Laplacian pyramid.
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
    finite, a region wiped out by its own soft edge - the fake equals its twin and ``fake.frame_label`` is 0; if the
    frame was to be blended, ``fake.valid`` is False there. A segment without a blended frame keeps label 0.

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
        drift: Factor on all that drifts over time; 0 switches it off and changes no other draw.
        colour_drift: Standard deviation of the recoloured side's channels, [0, 1].
        match_colour: How likely the source gets the mean and deviation of the target's colours within the mask.
        pyramid: How likely the blend is made in a Laplacian pyramid.

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
    ) -> None:
        default = PRESETS["frame_random"]
        self.mask = BlendMask(**{**default["mask"], **(mask or {})})
        self.warp = SourceWarp(**(warp or {}))
        self.recolour = Recolour(**(recolour or {}))
        self.gate = dict(gate or default["gate"])
        unknown = [name for name in self.gate if name not in GATE_MODES]
        if unknown:
            raise ValueError(f"no gate mode is called {unknown[0]!r}; known: {', '.join(GATE_MODES)}")
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

    @staticmethod
    def preset(name: str, **changes: Any) -> SelfBlend:
        """One of :data:`mgst_data.augment.PRESETS`, with some options changed.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; known: {', '.join(PRESETS)}")
        return SelfBlend(**{**PRESETS[name], **changes})

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
        )

    def apply(self, segment: Segment, params: SelfBlendParams) -> RealFakePair:
        """Blends as was drawn."""
        frames = segment.frames
        size = (frames.shape[3], frames.shape[4])
        here = params.to(frames.device)
        usable = segment.valid & segment.landmarks.isfinite().flatten(2).all(dim=2)
        # Whatever a frame without a face holds, it must not spoil others by being no number.
        landmarks = segment.landmarks.masked_fill(~usable[..., None, None], 0)
        opened = here.gate & usable
        mask = self.mask.apply(landmarks, size, params.mask) * opened[:, :, None, None]
        plan = _Plan(
            mask=mask.to(frames.dtype),
            matrix=self.warp.matrix(landmarks.mean(dim=2), size, here.warp),
            colour=here.colour_noise,
            recoloured=usable.to(frames.dtype),
            from_source=here.recolour_source.to(frames.dtype),
            opened=opened,
        )
        worked_off = _in_tiles if _fits_cache(frames) else SelfBlend._compose
        target, fake, mask = worked_off(self, frames, plan, params)
        return _pair(segment, target, fake, mask, opened)

    def apply_any(self, data: Segment | RealFakePair, params: SelfBlendParams) -> RealFakePair:
        """Blends as was drawn; twins cannot be blended once more."""
        if isinstance(data, RealFakePair):
            raise TypeError("these are twins already: self-blending comes first, and once")
        return self.apply(data, params)

    def __call__(self, segment: Segment, *, generator: torch.Generator) -> RealFakePair:
        """Draws and blends."""
        return self.apply(segment, self.sample(segment, generator))

    def _target(
        self, frames: Float[Tensor, "b t 3 h w"], plan: _Plan, params: SelfBlendParams
    ) -> tuple[Float[Tensor, "b t 3 h w"], Float[Tensor, "b t 3 h w"]]:
        """Recoloured frames, and the real twins: these, or the frames as they are."""
        recoloured = self.recolour.apply(frames, params.recolour, plan.colour)
        # Choices by weights of 0 and 1 are exact, and on a CPU ten times as fast as torch.where.
        chosen = (1 - plan.from_source[:, None]) * plan.recoloured
        return recoloured, torch.lerp(frames, recoloured, chosen[:, :, None, None, None])

    def _compose(
        self, frames: Float[Tensor, "b t 3 h w"], plan: _Plan, params: SelfBlendParams
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Recolours, moves and blends; gives the real twins, the fakes and the masks."""
        b, t, c, h, w = frames.shape
        recoloured, target = self._target(frames, plan, params)
        source = torch.lerp(frames, recoloured, plan.from_source[:, None, None, None, None])
        grid = affine_grid(plan.matrix.flatten(0, 1), (h, w))
        source = resample(source.reshape(b * t, c, h, w), grid).reshape(frames.shape)
        mask = self.mask.enlarge(plan.mask, (h, w))
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
        return target, fake, mask


@dataclass(frozen=True)
class _Plan:
    """What the pixels of a batch need to be blended, on their device."""

    mask: Float[Tensor, "b t h2 w2"]
    matrix: Float[Tensor, "b t 2 3"]
    colour: Float[Tensor, "b t 3"]
    recoloured: Float[Tensor, "b t"]
    from_source: Float[Tensor, " b"]
    opened: Bool[Tensor, "b t"]

    def tile(self, i: int, run: slice) -> _Plan:
        """Some frames of segment ``i``."""
        own = slice(i, i + 1)
        return _Plan(
            self.mask[own, run],
            self.matrix[own, run],
            self.colour[own, run],
            self.recoloured[own, run],
            self.from_source[own],
            self.opened[own, run],
        )


def _fits_cache(frames: Tensor) -> bool:
    """Whether to work a batch off in pieces that fit the cache: on a CPU, where nothing is differentiated.

    A batch of segments is tens of megabytes, so that each of some twenty passes over it would go to memory and back.
    """
    eager = not torch.compiler.is_compiling()
    return eager and frames.device.type == "cpu" and not (torch.is_grad_enabled() and frames.requires_grad)


def _in_tiles(
    blend: SelfBlend, frames: Float[Tensor, "b t 3 h w"], plan: _Plan, params: SelfBlendParams
) -> tuple[Tensor, Tensor, Tensor]:
    """What :meth:`SelfBlend._compose` gives, a few frames at a time."""
    b, t = frames.shape[:2]
    step = max(1, _TILE // (frames[0, 0].numel() * frames.element_size()))
    target, fake, mask = torch.empty_like(frames), torch.empty_like(frames), torch.empty_like(frames[:, :, :1])
    for i in range(b):
        mine = params[i : i + 1]
        for start in range(0, t, step):
            run = slice(start, min(start + step, t))
            here, tile = (slice(i, i + 1), run), plan.tile(i, run)
            if bool(plan.opened[here].any()):
                target[here], fake[here], mask[here] = blend._compose(frames[here], tile, mine)
            else:
                target[here] = fake[here] = blend._target(frames[here], tile, mine)[1]
                mask[here] = 0
    return target, fake, mask


def _pair(
    segment: Segment,
    target: Float[Tensor, "b t 3 h w"],
    fake: Float[Tensor, "b t 3 h w"],
    mask: Float[Tensor, "b t 1 h w"],
    opened: Bool[Tensor, "b t"],
) -> RealFakePair:
    frame_label = labels.frame_label_of(mask)
    wiped_out = opened & (frame_label == 0)
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
