"""Geometric augmentations of whole segments: mirror images, crops, and small rotations, scalings and shifts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params, merge_rows, rows_of
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.warp import warp_segment
from mgst_data.core.devices import constant
from mgst_data.core.geometry import FLIPS, face_box, flip_landmarks
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


# Margins of a face crop, relative to the face box: less would cut off the mouth, and more is no crop of a face.
MARGIN_LIMITS = (-0.4, 10.0)


@dataclass(frozen=True)
class FaceCropParams(Params):
    """Margins on the left, top, right and bottom of the face box, relative to its width or height."""

    margin: Float[Tensor, "b 4"]


@AUGMENTATIONS.register("face_crop")
class FaceCrop(Augmentation[FaceCropParams]):
    """Crops to the face, with a random margin on each side, and scales the crop to a square. Label-preserving.

    Segment grain: the box is the mean over the frames of a segment, so a still face stays still. The margins are those
    of self-blended images [Shiohara & Yamasaki, CVPR 2022]: 0.05 to 0.2 in training, each side by itself, and 0.125
    (``margin_range=(0.125, 0.125)``) in testing. As there, the crop is stretched to a square and scaled without
    antialiasing. That the box comes from the landmarks is our own: see :func:`mgst_data.core.geometry.face_box`.

    A segment without a face keeps the whole picture. Outside the picture, the outermost pixels are repeated.

    Args:
        size: Side of the result, pixels; None for the size of the picture.
        margin_range: Margin on each side, relative to the width or height of the face box; may be negative.
    """

    def __init__(self, *, size: int | None = None, margin_range: tuple[float, float] = (0.05, 0.2)) -> None:
        draw.check_range("margin_range", margin_range, low=MARGIN_LIMITS[0], high=MARGIN_LIMITS[1])
        if size is not None and size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size, self.margin_range = size, margin_range

    def __repr__(self) -> str:
        return f"FaceCrop(size={self.size}, margin_range={self.margin_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FaceCropParams:
        """Draws four margins for each segment."""
        return FaceCropParams(draw.uniform((len(segment), 4), *self.margin_range, generator))

    def edges(self, segment: Segment, params: FaceCropParams) -> Float[Tensor, "b 4"]:
        """Returns the crop of each segment: left, top, right and bottom edge in pixels, on the device of the segment.

        The edges of the whole picture are at -0.5, -0.5, w - 0.5 and h - 0.5, because pixel centres are whole numbers.

        Args:
            segment: Segments to crop.
            params: Parameters that :meth:`sample` drew for this batch.
        """
        return crop_edges(segment.landmarks, segment.valid, params.margin, segment.frames.shape[-2:])

    def apply(self, segment: Segment, params: FaceCropParams) -> Segment:
        """Crops and scales."""
        h, w = segment.frames.shape[-2:]
        height, width = (h, w) if self.size is None else (self.size, self.size)
        matrix = crop_matrix(self.edges(segment, params), (height, width))
        return warp_segment(segment, matrix, (height, width))

    def shape_after(self, segment: Segment) -> Segment:
        """Returns a segment of the size that comes out."""
        if self.size is None:
            return segment
        b, t = segment.frames.shape[:2]
        return segment.replace(
            frames=segment.frames.new_zeros(b, t, 3, self.size, self.size),
            mask=segment.mask.new_zeros(b, t, 1, self.size, self.size),
        )


def crop_edges(
    points: Float[Tensor, "b t k 2"], valid: Bool[Tensor, "b t"], margin: Float[Tensor, "b 4"], size: tuple[int, ...]
) -> Float[Tensor, "b 4"]:
    """Returns the edges of crops around the faces of segments, see :meth:`FaceCrop.edges`.

    Args:
        points: Landmarks in pixels. Without landmarks, the crop is the whole picture.
        valid: Frames with a usable face.
        margin: Margin on each side, relative to the size of the face box.
        size: Height and width of the pictures.
    """
    h, w = size
    whole = constant((-0.5, -0.5, w - 0.5, h - 0.5), points)
    if points.shape[2] == 0:
        return whole.expand(len(points), 4)
    seen = valid & points.isfinite().flatten(2).all(dim=2)
    box = face_box(points, seen)
    outwards = margin * torch.tensor((-1.0, -1.0, 1.0, 1.0))
    edges = box + outwards.to(box.device, non_blocking=True) * (box[:, 2:] - box[:, :2]).repeat(1, 2)
    return torch.where(seen.any(dim=1, keepdim=True), edges, whole)


def crop_matrix(edges: Float[Tensor, "b 4"], size: tuple[int, int]) -> Float[Tensor, "b 2 3"]:
    """Returns the affine maps from pixels of scaled crops to pixels of the pictures.

    Args:
        edges: Edges of the crops, see :meth:`FaceCrop.edges`.
        size: Height and width of the scaled crops.
    """
    low, high = edges[:, :2], edges[:, 2:]
    step = torch.stack(((high - low)[:, 0] / size[1], (high - low)[:, 1] / size[0]), dim=1)
    return torch.cat((torch.diag_embed(step), (low + step / 2)[:, :, None]), dim=2)


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
