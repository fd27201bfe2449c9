"""Geometry of whole segments: mirror images, crops, and small rotations, scalings and shifts."""

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
    """Mirrors left and right. Label-preserving, per segment; exact: two flips cancel.

    Args:
        p: How likely a segment is mirrored.

    Raises:
        ValueError: when drawing, if it is not known how so many landmarks are mirrored (0, 5, 68 and 81 are).
    """

    def __init__(self, *, p: float = 0.5) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        return f"HorizontalFlip(p={self.p:g})"

    def sample(self, segment: Segment, generator: torch.Generator) -> HorizontalFlipParams:
        """Draws who is mirrored."""
        k = segment.landmarks.shape[2]
        if k not in (0, *FLIPS):
            raise ValueError(f"no flip table for {k} landmarks; known: {', '.join(map(str, FLIPS))}, or none at all")
        return HorizontalFlipParams(draw.chance((len(segment),), self.p, generator))

    def apply(self, segment: Segment, params: HorizontalFlipParams) -> Segment:
        """Mirrors those that were drawn."""
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
    """The side of the box that is kept, as a share of the picture's; and its place, 0 left or top, 1 right or bottom.

    Place is column x, then row y.
    """

    side: Float[Tensor, " b"]
    place: Float[Tensor, "b 2"]


@AUGMENTATIONS.register("crop_margin")
class CropMargin(Augmentation[CropMarginParams]):
    """Cuts a margin away and enlarges what is left to the same size. Label-preserving, per segment.

    One box per segment, so that a still face stays still; with the aspect of the picture. The range is ours.

    Args:
        side_range: Share of the picture's sides that is kept.
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
        """Cuts and enlarges."""
        h, w = segment.frames.shape[-2:]
        side = params.side[:, None]
        # Edges are at -0.5 and w - 0.5: the edge of the box becomes that of the picture.
        corner = params.place * (1 - side) * torch.tensor((float(w), float(h))) - 0.5
        linear = side[:, :, None] * torch.eye(2)
        return warp_segment(segment, torch.cat((linear, (corner + side / 2)[:, :, None]), dim=2))


@dataclass(frozen=True)
class AffineParams(Params):
    """Degrees, clockwise as seen; factor of size; and shift in shares of width and height."""

    degrees: Float[Tensor, " b"]
    scale: Float[Tensor, " b"]
    shift: Float[Tensor, "b 2"]


@AUGMENTATIONS.register("affine")
class Affine(Augmentation[AffineParams]):
    """Rotates and scales around the middle of the picture, and shifts. Label-preserving, per segment.

    One motion for all frames of a segment. What lies beyond the edge repeats the outermost pixels. The shift is the one
    that self-blended images use for their source, and so is the scale, nearly [SBI, CVPR 2022]; the rotation is ours.

    Args:
        degrees_range: Rotation, clockwise as seen.
        scale_range: Size after by size before.
        x_range: Shift to the right, share of the width.
        y_range: Shift downwards, share of the height.
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
        # From pixels that come out to those looked up, so all of it backwards.
        angle = torch.deg2rad(params.degrees)
        cos, sin = torch.cos(angle) / params.scale, torch.sin(angle) / params.scale
        linear = torch.stack((torch.stack((cos, sin), dim=1), torch.stack((-sin, cos), dim=1)), dim=1)
        offset = centre - (linear * (centre + shift)[:, None]).sum(dim=2)
        return warp_segment(segment, torch.cat((linear, offset[:, :, None]), dim=2))
