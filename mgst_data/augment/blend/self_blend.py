"""Self-blending of whole segments: pseudo-fakes with all their labels, made from real faces alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Step
from mgst_data.augment.blend.donor import Donor
from mgst_data.augment.blend.drift import GATE_MODES, autoregressive, sample_gate
from mgst_data.augment.blend.mask import BlendMask
from mgst_data.augment.blend.pixels import BlendPixels, BlendPlan, SelfBlendParams, blend_at_once
from mgst_data.augment.blend.recolour import Recolour
from mgst_data.augment.blend.source_warp import SourceWarp
from mgst_data.augment.blend.tiles import blend_in_tiles, suits_tiles
from mgst_data.augment.functional import draw
from mgst_data.core import labels
from mgst_data.core.segment import RealFakePair, Segment


@AUGMENTATIONS.register("self_blend")
@dataclass(frozen=True, kw_only=True, repr=False)
class SelfBlend(Step[SelfBlendParams]):
    """Frame-random consistent self-blending: blends every segment with a moved and recoloured copy of itself.

    Label-making; segment, frame and patch grain. One set of parameters holds for a segment, so that the fake is a
    coherent video; on top, noise that is correlated over time lets landmarks, position, colour, edge and weight drift,
    and a gate leaves some frames real. Numbers are those of self-blended images [Shiohara & Yamasaki, CVPR 2022] where
    it has them; noise, gate, and all regions but the hulls are ours.

    Calling it takes a :class:`Segment` of real faces with 68 or 81 landmarks and gives a :class:`RealFakePair`::

        pair = SelfBlend()(Segment.of(frames, landmarks), generator=generator)

    Its options are a frozen dataclass of typed parts. ``dataclasses.replace`` changes some of them::

        sbi = SelfBlend.preset("sbi")
        strong = replace(sbi, mask=replace(sbi.mask, ratios=(1.0,)), donor=Donor(p=0.5))

    Outside ``fake.mask`` the twins are bit-identical. Where no mask can be made - no face, landmarks that are not
    finite, a donor without a face, a region wiped out by its own soft edge - the fake equals its twin and
    ``fake.frame_label`` is 0; if the frame was to be blended, ``fake.valid`` is False there. A segment without a
    blended frame keeps label 0.

    Where this differs from OpenCV on purpose: from a side of 192 pixels on, the mask is made at half resolution; the
    elastic field moves with the face; the source is moved about the middle of the face, and goes on beyond the picture
    as at its border; kernels may be of a fraction of a pixel; colours are never rounded to 8 bits.

    Attributes:
        mask: Which pixels come from the source.
        warp: How the source is moved.
        recolour: How one side is recoloured.
        recolour_source: How likely the source is recoloured; the target, and with it the real twin, is otherwise.
        gate: How likely each of :data:`mgst_data.augment.GATE_MODES` is.
        rho_range: Correlation of the noise of neighbouring frames: 0 flickers, near 1 drifts.
        steady_p: How likely the noise is left out.
        drift: Factor on all that drifts over time; 0 switches it off and changes no other draw. Jumps of the source are
            not drift: the options of the warp have them.
        colour_drift: Standard deviation of the channels of the source, [0, 1]; a real twin must not flicker.
        match_colour: How likely the source gets the mean and deviation of the target's colours within the mask.
        pyramid: How likely the blend is made in a Laplacian pyramid.
        donor: How likely the source is not the segment itself, but another one of the batch, as in face X-ray
            [Li et al., CVPR 2020], and how it is chosen and fitted. Still only real faces are needed.

    Raises:
        TypeError: for a part that is none.
        ValueError: for a range or probability that makes no sense, or a name that is not known.
    """

    makes_fakes = True

    mask: BlendMask = field(default_factory=BlendMask)
    warp: SourceWarp = field(default_factory=SourceWarp)
    recolour: Recolour = field(default_factory=Recolour)
    recolour_source: float = 0.5
    gate: Mapping[str, float] = field(
        default_factory=lambda: {"all": 0.5, "run": 0.25, "scatter": 0.15, "single": 0.1},
    )
    rho_range: tuple[float, float] = (0.0, 0.9)
    steady_p: float = 0.3
    drift: float = 1.0
    colour_drift: float = 2 / 255
    match_colour: float = 0.0
    pyramid: float = 0.0
    donor: Donor = field(default_factory=Donor)

    def __post_init__(self) -> None:
        for name, kind in (("mask", BlendMask), ("warp", SourceWarp), ("recolour", Recolour), ("donor", Donor)):
            part: object = getattr(self, name)
            if not isinstance(part, kind):
                raise TypeError(f"{name} is a {kind.__name__}(...), not a {type(part).__name__}")
        draw.check_chances("gate mode", self.gate, GATE_MODES)
        for name in ("recolour_source", "steady_p", "match_colour", "pyramid"):
            draw.check_share(name, getattr(self, name))
        draw.check_range("rho_range", self.rho_range, low=0, high=0.999)

    def __repr__(self) -> str:
        default = SelfBlend()
        values = {option.name: getattr(self, option.name) for option in fields(SelfBlend)}
        changed = [f"{name}={value!r}" for name, value in values.items() if value != getattr(default, name)]
        return f"{type(self).__name__}({', '.join(changed)})"

    @staticmethod
    def preset(name: str) -> SelfBlend:
        """One of :data:`mgst_data.augment.PRESETS`.

        Raises:
            ValueError: if there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; known: {', '.join(PRESETS)}")
        return PRESETS[name]

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
        pixels = BlendPixels(self.recolour, self.donor, self.match_colour > 0, self.pyramid > 0)
        work_off = blend_in_tiles if suits_tiles(frames) else blend_at_once
        target, fake, mask = work_off(pixels, frames, plan, params)
        return _pair(segment, target, fake, mask, wanted)

    def apply_any(self, data: Segment | RealFakePair, params: SelfBlendParams) -> RealFakePair:
        """Blends as was drawn; twins cannot be blended once more."""
        if isinstance(data, RealFakePair):
            raise TypeError("these are twins already: self-blending comes first, and once")
        return self.apply(data, params)

    def __call__(self, segment: Segment, *, generator: torch.Generator) -> RealFakePair:
        """Draws and blends."""
        return self.apply(segment, self.sample(segment, generator))


# What is not named is as in the default.
PRESETS: Mapping[str, SelfBlend] = {
    # Self-blended images (CVPR 2022): whole faces, nothing varies from frame to frame.
    "sbi": SelfBlend(mask=BlendMask(regions={"hull": 0.25, "extended": 0.75}), gate={"all": 1.0}, drift=0.0),
    # A coherent video: all regions, one set of parameters for all frames.
    "consistent": SelfBlend(gate={"all": 1.0}, drift=0.0),
    # The same with frames that stay real, and noise over time.
    "frame_random": SelfBlend(),
    # Parts of the face that jump from frame to frame, as in video-level blending [StA, CVPR 2025].
    "strong_drift": SelfBlend(
        mask=BlendMask(regions={"inner": 0.3, "parts": 0.7}),
        warp=SourceWarp(
            jump_translation_range=(0.5, 2.5), jump_scale_range=(0.01, 0.05), jump_rotation_range=(1.0, 5.0)
        ),
        gate={"all": 1.0},
    ),
}


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
