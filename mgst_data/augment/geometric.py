"""Geometric augmentations of whole segments: mirror images, crops, and small rotations, scalings and shifts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params, merge_rows, rows_of
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.warp import warp_segment
from mgst_data.core.geometry import FLIPS, flip_landmarks
from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class HorizontalFlipParams(Params):
    """Which segments are mirrored."""

    flip: Bool[Tensor, " b"]


@AUGMENTATIONS.register("horizontal_flip")
class HorizontalFlip(Augmentation[HorizontalFlipParams]):
    """Mirrors left and right. Label-preserving, segment grain; exact: two flips cancel.

    Args:
        p: Probability that a segment is mirrored.
    """

    def __init__(self, *, p: float = 0.5) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        return f"HorizontalFlip(p={self.p:g})"

    def sample(self, segment: Segment, generator: torch.Generator) -> HorizontalFlipParams:
        """Draws which segments are mirrored.

        Raises:
            ValueError: if there is no flip table for the number of landmarks. Tables exist for 5, 68 and 81; 0 works
                too.
        """
        k = segment.landmarks.shape[2]
        if k not in (0, *FLIPS):
            raise ValueError(f"no flip table for {k} landmarks; known: 0, {', '.join(map(str, FLIPS))}")
        return HorizontalFlipParams(draw.chance((len(segment),), self.p, generator))

    def apply(self, segment: Segment, params: HorizontalFlipParams) -> Segment:
        """Mirrors the drawn segments."""
        rows = rows_of(params.flip)
        if len(rows) == 0:
            return segment
        if len(rows) == len(segment):
            return _mirrored(segment)
        some = segment[rows.to(segment.frames.device, non_blocking=True)]
        return merge_rows(segment, rows, _mirrored(some))


def _mirrored(segment: Segment) -> Segment:
    points = segment.landmarks
    return segment.replace(
        frames=segment.frames.flip(-1),
        mask=segment.mask.flip(-1),
        patch_label=segment.patch_label.flip(-1),
        landmarks=flip_landmarks(points, segment.frames.shape[-1]) if points.shape[2] else points,
    )


@dataclass(frozen=True)
class CropMarginParams(Params):
    """Side of the box that is kept, relative to the picture, and its position: 0 left or top, 1 right or bottom.

    The position is column x, then row y.
    """

    side: Float[Tensor, " b"]
    place: Float[Tensor, "b 2"]


@AUGMENTATIONS.register("crop_margin")
class CropMargin(Augmentation[CropMarginParams]):
    """Crops a margin and enlarges the rest to the same size. Label-preserving, segment grain.

    There is one box per segment, so a still face stays still. The box has the aspect ratio of the picture. The default
    range is our own, not taken from a paper.

    Args:
        side_range: Side of the box relative to the side of the picture, [0.05, 1].
    """

    def __init__(self, *, side_range: tuple[float, float] = (0.8, 1.0)) -> None:
        draw.check_range("side_range", side_range, low=0.05, high=1.0)
        self.side_range = side_range

    def __repr__(self) -> str:
        return f"CropMargin(side_range={self.side_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> CropMarginParams:
        """Draws a box for each segment."""
        b = len(segment)
        side = draw.uniform((b,), *self.side_range, generator)
        return CropMarginParams(side, draw.uniform((b, 2), 0.0, 1.0, generator))

    def apply(self, segment: Segment, params: CropMarginParams) -> Segment:
        """Crops and enlarges."""
        h, w = segment.frames.shape[-2:]
        side = params.side[:, None]
        # The edges of the picture are at -0.5 and w - 0.5. The edge of the box becomes the edge of the picture.
        corner = params.place * (1 - side) * torch.tensor((float(w), float(h))) - 0.5
        linear = side[:, :, None] * torch.eye(2)
        return warp_segment(segment, torch.cat((linear, (corner + side / 2)[:, :, None]), dim=2))


@dataclass(frozen=True)
class AffineParams(Params):
    """Rotation in degrees, clockwise; scale factor; shift relative to width and height."""

    degrees: Float[Tensor, " b"]
    scale: Float[Tensor, " b"]
    shift: Float[Tensor, "b 2"]


@AUGMENTATIONS.register("affine")
class Affine(Augmentation[AffineParams]):
    """Rotates and scales about the centre of the picture, and shifts. Label-preserving, segment grain.

    All frames of a segment move alike. Outside the picture, the outermost pixels are repeated. The shift is that of the
    source in self-blended images, and so is the scale, approximately [SBI, CVPR 2022]. The rotation is our own; SBI
    does not rotate.

    Args:
        degrees_range: Clockwise rotation, degrees.
        scale_range: Factor of the size.
        x_range: Shift to the right, relative to the width.
        y_range: Shift downwards, relative to the height.
    """

    def __init__(
        self,
        *,
        degrees_range: tuple[float, float] = (-5.0, 5.0),
        scale_range: tuple[float, float] = (0.95, 1.05),
        x_range: tuple[float, float] = (-0.03, 0.03),
        y_range: tuple[float, float] = (-0.015, 0.015),
    ) -> None:
        draw.check_range("degrees_range", degrees_range, low=-180.0, high=180.0)
        draw.check_range("scale_range", scale_range, low=0.1, high=10.0)
        draw.check_range("x_range", x_range, low=-1.0, high=1.0)
        draw.check_range("y_range", y_range, low=-1.0, high=1.0)
        self.degrees_range, self.scale_range, self.x_range, self.y_range = degrees_range, scale_range, x_range, y_range

    def __repr__(self) -> str:
        return (
            f"Affine(degrees_range={self.degrees_range}, scale_range={self.scale_range}, "
            f"x_range={self.x_range}, y_range={self.y_range})"
        )

    def sample(self, segment: Segment, generator: torch.Generator) -> AffineParams:
        """Draws a motion for each segment."""
        b = len(segment)
        return AffineParams(
            degrees=draw.uniform((b,), *self.degrees_range, generator),
            scale=draw.uniform((b,), *self.scale_range, generator),
            shift=torch.stack([draw.uniform((b,), *r, generator) for r in (self.x_range, self.y_range)], dim=1),
        )

    def apply(self, segment: Segment, params: AffineParams) -> Segment:
        """Rotates, scales and shifts."""
        h, w = segment.frames.shape[-2:]
        centre = torch.tensor(((w - 1) / 2, (h - 1) / 2))
        shift = params.shift * torch.tensor((float(w), float(h)))
        # The matrix maps output pixels to input pixels, so every motion is inverted.
        angle = torch.deg2rad(params.degrees)
        cos, sin = torch.cos(angle) / params.scale, torch.sin(angle) / params.scale
        linear = torch.stack((torch.stack((cos, sin), dim=1), torch.stack((-sin, cos), dim=1)), dim=1)
        offset = centre - (linear * (centre + shift)[:, None]).sum(dim=2)
        return warp_segment(segment, torch.cat((linear, offset[:, :, None]), dim=2))
