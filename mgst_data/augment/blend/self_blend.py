"""Self-blending of whole segments: makes pseudo-fakes with all labels from real faces only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Step
from mgst_data.augment.blend.donor import Donor
from mgst_data.augment.blend.drift import FRAME_MASKS, autoregressive, sample_frame_mask
from mgst_data.augment.blend.mask import BlendMask
from mgst_data.augment.blend.pixels import BlendPixels, BlendPlan, SelfBlendParams, blend_at_once
from mgst_data.augment.blend.recolour import Recolour
from mgst_data.augment.blend.regions import reference_side
from mgst_data.augment.blend.source_warp import SourceWarp
from mgst_data.augment.blend.tiles import blend_in_tiles
from mgst_data.augment.compression import Jpeg
from mgst_data.augment.containers import Apply, OneOf
from mgst_data.augment.functional import draw, opencv
from mgst_data.augment.quality import GaussianBlur, GaussianNoise, Rescale, SmoothSkin, UnsharpMask
from mgst_data.core import labels
from mgst_data.core.segment import RealFakePair, Segment


@AUGMENTATIONS.register("self_blend")
@dataclass(frozen=True, kw_only=True, repr=False)
class SelfBlend(Step[SelfBlendParams]):
    """Frame-random consistent self-blending: blends every segment with a moved and recoloured copy of itself.

    Label-making; segment, frame and patch grain. One set of parameters is used for a whole segment, so that the fake is
    a coherent video. In addition, noise that is correlated over time changes landmarks, position, colour, edge and
    weight, and a frame mask leaves some frames real. The numbers are those of self-blended images [Shiohara & Yamasaki,
    CVPR 2022] where that method has them. Noise, frame mask, and all regions except the hulls are our own, because that
    method blends single pictures.

    Calling it takes a :class:`Segment` of real faces with 68 or 81 landmarks and returns a :class:`RealFakePair`::

        pair = SelfBlend()(Segment.of(frames, landmarks), generator=generator)

    Its options are frozen dataclasses. ``dataclasses.replace`` changes some of them::

        sbi = SelfBlend.preset("sbi")
        strong = replace(sbi, mask=replace(sbi.mask, ratios=(1.0,)), donor=Donor(p=0.5))

    Outside ``fake.mask``, the real and the fake segment are bit-identical. No mask can be made if a frame has no face,
    landmarks are not finite, the donor has no face, or the soft edge leaves nothing of the region. Then the fake frame
    equals the real frame and ``fake.frame_label`` is 0. If the frame was selected for blending, ``fake.valid`` is False
    too. A segment without a blended frame keeps the label 0.

    It differs from the OpenCV implementation on purpose: if both sides are at least 192 pixels, the mask is made at
    half resolution; the elastic field and all lengths are relative to the face, not to the picture; the source moves
    about the centre of the face, and its border pixels are repeated outside the picture; kernels may have a fractional
    size; blends are not rounded to 8 bits.

    Attributes:
        mask: Options of the mask: which pixels come from the source.
        warp: Options of the motion of the source.
        recolour: Options of recolouring.
        recolour_source: Probability that the source is recoloured; otherwise the target is, and with it the real
            segment.
        frame_mask: Relative probability of each of :data:`mgst_data.augment.FRAME_MASKS`, the kinds of frame mask.
        rho_range: Correlation of the noise of neighbouring frames: 0 gives temporal jitter, near 1 drift.
        steady_p: Probability that there is no noise.
        drift: Factor on all noise over time. 0 switches it off and changes no other draw. Jumps of the source are not
            included; they are options of the warp.
        colour_drift: Standard deviation of the noise on the channels of the source, [0, 1]. The real segment gets no
            such noise, because it must not flicker.
        match_colour: Probability that the source gets the mean and deviation of the colours of the target in the mask.
        pyramid: Probability that the blend uses a Laplacian pyramid.
        quality: Label-preserving augmentation of one side of the blend, before it is recoloured: the source, or the
            target and with it the real segment, as ``recolour_source`` decides. It must not move pixels. Our own: so
            that blends differ in quality in more ways than recolouring makes.
        donor: Probability that the source is another segment of the batch, as in face X-ray [Li et al., CVPR 2020], and
            options of its choice and alignment. This too needs only real faces.

    Raises:
        TypeError: if an option has the wrong type.
        ValueError: if a range or probability is invalid, or a name is unknown.
    """

    makes_fakes = True

    mask: BlendMask = field(default_factory=BlendMask)
    warp: SourceWarp = field(default_factory=SourceWarp)
    recolour: Recolour = field(default_factory=Recolour)
    recolour_source: float = 0.5
    frame_mask: Mapping[str, float] = field(
        default_factory=lambda: {"all": 0.5, "run": 0.25, "scatter": 0.15, "single": 0.1},
    )
    rho_range: tuple[float, float] = (0.0, 0.9)
    steady_p: float = 0.3
    drift: float = 1.0
    colour_drift: float = 2 / 255
    match_colour: float = 0.0
    pyramid: float = 0.0
    quality: Step[Any] | None = None
    donor: Donor = field(default_factory=Donor)

    def __post_init__(self) -> None:
        for name, kind in (("mask", BlendMask), ("warp", SourceWarp), ("recolour", Recolour), ("donor", Donor)):
            part: object = getattr(self, name)
            if not isinstance(part, kind):
                raise TypeError(f"{name} must be a {kind.__name__}(...), got a {type(part).__name__}")
        draw.check_chances("frame mask", self.frame_mask, FRAME_MASKS)
        if self.quality is not None and (not isinstance(self.quality, Step) or self.quality.makes_fakes):
            raise TypeError(f"quality must be a label-preserving augmentation, got {self.quality!r}")
        for name in ("recolour_source", "steady_p", "match_colour", "pyramid"):
            draw.check_share(name, getattr(self, name))
        for name in ("drift", "colour_drift"):
            draw.check_strength(name, getattr(self, name))
        draw.check_range("rho_range", self.rho_range, low=0, high=0.999)

    def __repr__(self) -> str:
        default = SelfBlend()
        values = {option.name: getattr(self, option.name) for option in fields(SelfBlend)}
        changed = [f"{name}={value!r}" for name, value in values.items() if value != getattr(default, name)]
        return f"{type(self).__name__}({', '.join(changed)})"

    @staticmethod
    def preset(name: str) -> SelfBlend:
        """Returns one of :data:`mgst_data.augment.PRESETS`.

        Raises:
            ValueError: if the name is unknown.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
        return PRESETS[name]

    def sample(self, segment: Segment, generator: torch.Generator) -> SelfBlendParams:
        """Draws parameters for every segment of a batch.

        Raises:
            ValueError: if there are not 68 or 81 landmarks.
        """
        b, t, k = segment.landmarks.shape[:3]
        if k not in (68, 81):
            raise ValueError(f"segment must have 68 or 81 landmarks for self-blending, got {k}")
        rho = draw.uniform((b,), *self.rho_range, generator)
        steady = draw.chance((b,), self.steady_p, generator)
        drift = torch.where(steady, 0, draw.uniform((b,), 0.25, 1, generator)) * self.drift

        def noise(shape: Sequence[int]) -> Tensor:
            values = autoregressive(rho, (t, *shape), generator)
            return values * drift.reshape(b, *[1] * (values.ndim - 1))

        frame_mask_kind, frame_mask = sample_frame_mask(b, t, self.frame_mask, generator)
        return SelfBlendParams(
            recolour_source=draw.chance((b,), self.recolour_source, generator),
            recolour=self.recolour.sample(b, generator),
            colour_noise=self.colour_drift * noise((3,)),
            warp=self.warp.sample(b, t, noise, generator),
            mask=self.mask.sample(b, k, noise, generator),
            frame_mask_kind=frame_mask_kind,
            frame_mask=frame_mask,
            rho=rho,
            drift=drift,
            match_colour=draw.chance((b,), self.match_colour, generator),
            pyramid=draw.chance((b,), self.pyramid, generator),
            donor=self.donor.sample(b, generator),
            quality=() if self.quality is None else (self.quality.sample(segment, generator),),
        )

    def apply(self, segment: Segment, params: SelfBlendParams) -> RealFakePair:
        """Blends segments with drawn parameters.

        Args:
            segment: Real segments with 68 or 81 landmarks.
            params: Parameters that :meth:`sample` drew for this batch.
        """
        frames = segment.frames
        size = (frames.shape[3], frames.shape[4])
        here = params.to(frames.device)
        usable = segment.valid & segment.landmarks.isfinite().flatten(2).all(dim=2)
        # Landmarks of frames without a face may be NaN, which must not spread to other frames.
        landmarks = segment.landmarks.masked_fill(~usable[..., None, None], 0)
        chosen = self.donor.choose(landmarks, usable, here.donor)
        wanted = here.frame_mask & usable
        opened = wanted & usable[chosen]
        side = reference_side(landmarks, usable)
        mask = self.mask.apply(landmarks, side, size, params.mask, opened)
        plan = BlendPlan(
            mask=mask.to(frames.dtype),
            matrix=self.warp.matrix(landmarks.mean(dim=2), side, here.warp),
            colour=here.colour_noise,
            usable=usable.to(frames.dtype),
            from_source=here.recolour_source.to(frames.dtype),
            opened=opened,
            donor=chosen,
            landmarks=landmarks,
        )
        pixels = BlendPixels(self.recolour, self.donor, self.match_colour > 0, self.pyramid > 0)
        work_off = blend_in_tiles if opencv.on_cpu(frames) else blend_at_once
        targets, sources = self._qualities(segment, plan, params)
        target, fake, mask = work_off(pixels, targets, sources, plan, params)
        return _pair(segment, target, fake, mask, wanted)

    def _qualities(
        self, segment: Segment, plan: BlendPlan, params: SelfBlendParams
    ) -> tuple[Float[Tensor, "b t 3 h w"], Float[Tensor, "b t 3 h w"]]:
        """Returns the frames of targets and sources; one of both has changed quality."""
        frames = segment.frames
        if self.quality is None:
            return frames, frames
        changed = cast("Segment", self.quality.apply_any(segment, params.quality[0])).frames
        of_source = (plan.from_source[:, None] * plan.usable)[:, :, None, None, None]
        of_target = plan.usable[:, :, None, None, None] - of_source
        return torch.lerp(frames, changed, of_target), torch.lerp(frames, changed, of_source)

    def apply_any(self, data: Segment | RealFakePair, params: SelfBlendParams) -> RealFakePair:
        """Blends segments with drawn parameters.

        Raises:
            TypeError: if the data is a RealFakePair, which cannot be blended again.
        """
        if isinstance(data, RealFakePair):
            raise TypeError("data must be a Segment, got a RealFakePair; use self-blending once, as the first step")
        return self.apply(data, params)

    def __call__(self, segment: Segment, *, generator: torch.Generator) -> RealFakePair:
        """Draws parameters and blends.

        Args:
            segment: Real segments with 68 or 81 landmarks.
            generator: Random generator on the CPU.
        """
        return self.apply(segment, self.sample(segment, generator))


# Options that are not named have their default values.
PRESETS: Mapping[str, SelfBlend] = {
    # Self-blended images (CVPR 2022): whole faces, nothing varies from frame to frame.
    "sbi": SelfBlend(mask=BlendMask(regions={"hull": 0.25, "extended": 0.75}), frame_mask={"all": 1.0}, drift=0.0),
    # Our own: whole faces and their parts, some with the face of another person, and sides that differ in sharpness,
    # compression or noise as much as in colour. Nothing varies from frame to frame.
    "varied": SelfBlend(
        mask=BlendMask(regions={"hull": 0.3, "extended": 0.35, "inner": 0.15, "parts": 0.1, "lower": 0.1}),
        recolour=Recolour(degrade_p=0.3),
        frame_mask={"all": 1.0},
        drift=0.0,
        quality=Apply(
            OneOf(
                Rescale(factor_range=(1.2, 4.0)),
                GaussianBlur(sigma_range=(0.3, 1.8)),
                Jpeg(quality_range=(25, 85)),
                UnsharpMask(),
                SmoothSkin(),
                GaussianNoise(sigma_range=(0.004, 0.027)),
                weights=(0.35, 0.1, 0.15, 0.15, 0.1, 0.15),
            ),
            p=0.75,
        ),
        donor=Donor(p=0.15, candidates=15),
    ),
    # A coherent video: all regions, one set of parameters and no noise for all frames.
    "consistent": SelfBlend(frame_mask={"all": 1.0}, drift=0.0),
    # The preset "consistent" with a frame mask and noise over time.
    "frame_random": SelfBlend(),
    # Parts of the face that jump from frame to frame, as in video-level blending [StA, CVPR 2025].
    "strong_drift": SelfBlend(
        mask=BlendMask(regions={"inner": 0.3, "parts": 0.7}),
        warp=SourceWarp(
            jump_translation_range=(0.5, 2.5), jump_scale_range=(0.01, 0.05), jump_rotation_range=(1.0, 5.0)
        ),
        frame_mask={"all": 1.0},
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
