"""Motion of the source of a blend relative to the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.augment.base import REFERENCE, Params
from mgst_data.augment.functional import draw

Noise = Callable[[Sequence[int]], Tensor]


@dataclass(frozen=True)
class WarpParams(Params):
    """Parameters of the motion. The noise fields are added in single frames.

    Attributes:
        translation: Shift to the right and down, relative to the reference picture.
        scale: Scale factor.
        rotation: Clockwise rotation, degrees.
        translation_noise: Added to the translation.
        scale_noise: Factor on the scale, minus 1.
        rotation_noise: Added to the rotation, degrees.
    """

    translation: Float[Tensor, "b 2"]
    scale: Float[Tensor, " b"]
    rotation: Float[Tensor, " b"]
    translation_noise: Float[Tensor, "b t 2"]
    scale_noise: Float[Tensor, "b t"]
    rotation_noise: Float[Tensor, "b t"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWarp:
    """Shifts, scales and rotates the source about the centre of the face.

    Translation and scale are those of self-blended images (CVPR 2022), which uses the centre of the picture. Lengths
    are relative to the reference picture (:func:`mgst_data.augment.blend.regions.reference_side`). Jumps, drawn
    independently for every frame, are those of video-level blending [StA, CVPR 2025]. The constant rotation and the
    drift are our own, not taken from a paper.

    Attributes:
        translation: Largest shift to the right or left, and up or down, relative to the reference picture.
        scale_range: Scale factors.
        rotation_range: Angles in degrees, in either direction.
        translation_drift: Standard deviation of the noise of the shift, relative to the reference picture.
        scale_drift: Standard deviation of the noise of the scale factor.
        jump_translation_range: Length of a jump in each direction, in pixels of a reference picture of 256.
        jump_scale_range: Deviation of the scale factor of a jump from 1, in either direction.
        jump_rotation_range: Angles of a jump in degrees, in either direction.

    Raises:
        ValueError: if a range is invalid.
    """

    translation: tuple[float, float] = (0.03, 0.015)
    scale_range: tuple[float, float] = (0.95, 1 / 0.95)
    rotation_range: tuple[float, float] = (0.0, 0.0)
    translation_drift: float = 0.003
    scale_drift: float = 0.005
    jump_translation_range: tuple[float, float] = (0.0, 0.0)
    jump_scale_range: tuple[float, float] = (0.0, 0.0)
    jump_rotation_range: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        draw.check_strength("translation", *self.translation)
        for name in ("translation_drift", "scale_drift"):
            draw.check_strength(name, getattr(self, name))
        draw.check_range("scale_range", self.scale_range, low=0.1, high=10)
        draw.check_range("jump_scale_range", self.jump_scale_range, low=0, high=0.9)
        for name in ("rotation_range", "jump_rotation_range"):
            draw.check_range(name, getattr(self, name), low=0, high=180)
        draw.check_range("jump_translation_range", self.jump_translation_range, low=0)

    def sample(self, b: int, t: int, noise: Noise, generator: torch.Generator) -> WarpParams:
        """Draws parameters.

        Args:
            b: Number of segments.
            t: Frames of each segment.
            noise: Function of a shape that draws noise over time, see :class:`mgst_data.augment.SelfBlend`.
            generator: Random generator on the CPU.
        """

        def either_way(shape: Sequence[int], size: tuple[float, float]) -> Tensor:
            sign = draw.chance(shape, 0.5, generator) * 2.0 - 1
            return sign * draw.uniform(shape, *size, generator)

        jump = either_way((b, t, 2), self.jump_translation_range) / REFERENCE
        return WarpParams(
            translation=draw.uniform((b, 2), -1, 1, generator) * torch.tensor(self.translation),
            scale=draw.uniform((b,), *self.scale_range, generator),
            rotation=either_way((b,), self.rotation_range),
            translation_noise=self.translation_drift * noise((2,)) + jump,
            scale_noise=self.scale_drift * noise(()) + either_way((b, t), self.jump_scale_range),
            rotation_noise=either_way((b, t), self.jump_rotation_range),
        )

    def matrix(
        self, centre: Float[Tensor, "b t 2"], side: Float[Tensor, " b"], params: WarpParams
    ) -> Float[Tensor, "b t 2 3"]:
        """Computes affine maps from output to input pixels, for :func:`mgst_data.augment.functional.affine_grid`.

        Args:
            centre: Centre of the face, pixels.
            side: Side of the reference picture, pixels.
            params: Parameters of :meth:`sample`, on the device of the centre.
        """
        shift = (params.translation[:, None] + params.translation_noise) * side[:, None, None]
        scale = (params.scale[:, None] * (1 + params.scale_noise)).clamp_min(0.1)
        angle = (params.rotation[:, None] + params.rotation_noise) * (math.pi / 180)
        cos, sin = angle.cos() / scale, angle.sin() / scale
        x, y = (centre + shift).unbind(dim=-1)
        rows = (cos, sin, centre[..., 0] - cos * x - sin * y), (-sin, cos, centre[..., 1] + sin * x - cos * y)
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
