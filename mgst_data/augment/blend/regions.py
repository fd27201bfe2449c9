"""Regions of a face: unions of convex hulls of landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.core.polygons import hull_mask

BROWS_68 = tuple(range(17, 27))
_NOSE_BASE_68 = 33
# Height of the forehead, in units of the distance from the brows to the base of the nose. By the rule of facial
# thirds, the hairline is one such distance above the brows; in most pictures, less of it is skin.
_FOREHEAD = 0.75
# Width of the forehead relative to the brows, and how much lower it is at its ends than in the middle.
_NARROWER, _LOWER = 0.85, 0.35
# Directions in which outermost points are searched; more directions would remove few more points.
_DIRECTIONS = 8


@dataclass(frozen=True, slots=True)
class Part:
    """The convex hull of some landmarks.

    Attributes:
        points: Numbers of the landmarks.
        grow: Factor by which the hull is enlarged about its centre. Landmarks lie on the outline of eyes and lips, but
            a forgery replaces a larger area.
    """

    points: tuple[int, ...]
    grow: float = 1.0


@dataclass(frozen=True, slots=True)
class Region:
    """A union of parts.

    Attributes:
        parts: Parts of the region, at least one.
        forehead: Whether the landmarks are first extended over the forehead.
        edge: Factor on the size of the kernels that shrink and soften the mask. Kernels for a whole face would erase
            the mask of a mouth.
    """

    parts: tuple[Part, ...]
    forehead: bool = False
    edge: float = 1.0


# The first two regions are those of self-blended images (CVPR 2022). The others are our own, for forgeries of parts of
# the face.
REGIONS = {
    "hull": Region((Part(tuple(range(68))),)),
    "extended": Region((Part(tuple(range(81))),), forehead=True),
    "inner": Region((Part(tuple(range(17, 68)), grow=1.15),), edge=0.7),
    "parts": Region(
        (
            Part(tuple(range(36, 42)), grow=2.5),
            Part(tuple(range(42, 48)), grow=2.5),
            Part(tuple(range(27, 36)), grow=1.3),
            Part(tuple(range(48, 60)), grow=1.3),
        ),
        edge=0.2,
    ),
    "lower": Region((Part((*range(3, 14), *range(31, 36))),), edge=0.6),
}


def reference_side(landmarks: Float[Tensor, "b t k 2"], seen: Bool[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Computes the side of the reference picture: the strengths of a blend are relative to it.

    Self-blended images (CVPR 2022) are made on a crop of 2 widths by 2.4 heights of the box around 68 landmarks. This
    is the mean of both, in the mean over the frames of a segment. So the strength of a blend depends on the face alone,
    and neither on the margin of the crop nor on its resolution.

    Args:
        landmarks: 68 or 81 landmarks in pixels; finite in the frames that are seen.
        seen: Frames with a face. A segment without any has the side 1.

    Returns:
        Side in pixels, at least 1.
    """
    face = landmarks[:, :, :68].masked_fill(~seen[..., None, None], 0)
    width, height = (face.amax(dim=2) - face.amin(dim=2)).unbind(dim=-1)
    return ((width + 1.2 * height).sum(dim=1) / seen.sum(dim=1).clamp_min(1)).clamp_min(1)


def extend_forehead(landmarks: Float[Tensor, "*n k 2"]) -> Float[Tensor, "*n m 2"]:
    """Adds ten points on the forehead to 68 landmarks, extrapolated upwards from the brows. 81 landmarks have them.

    Each point of the brows is moved along the line from the base of the nose to the middle of the brows. Outer points
    move less, so the forehead is curved. This extrapolation is our own; it replaces the 13 forehead points of 81
    landmarks.
    """
    if landmarks.shape[-2] != 68:
        return landmarks
    brows = landmarks[..., BROWS_68[0] : BROWS_68[-1] + 1, :]
    middle = brows.mean(dim=-2, keepdim=True)
    up = middle - landmarks[..., _NOSE_BASE_68 : _NOSE_BASE_68 + 1, :]
    out = torch.linspace(-1, 1, len(BROWS_68), dtype=landmarks.dtype, device=landmarks.device)[:, None]
    forehead = middle + _NARROWER * (brows - middle) + _FOREHEAD * (1 - _LOWER * out.square()) * up
    return torch.cat((landmarks, forehead), dim=-2)


def region_mask(landmarks: Float[Tensor, "*n k 2"], region: Region, size: tuple[int, int]) -> Float[Tensor, "*n h w"]:
    """Computes the share of every pixel that lies in a region, [0, 1].

    Args:
        landmarks: 68 or 81 landmarks, pixels of the mask.
        region: One of :data:`REGIONS`, or a new one.
        size: Height and width of the mask, pixels.

    Raises:
        ValueError: if there are not 68 or 81 landmarks, or the region has no part.
    """
    return hulls_mask(region_hulls(landmarks, region), size)


def region_hulls(landmarks: Float[Tensor, "*n k 2"], region: Region) -> list[Float[Tensor, "*n _ 2"]]:
    """Returns the points of every part of a region. The region is the union of their convex hulls.

    Args:
        landmarks: 68 or 81 landmarks, pixels.
        region: One of :data:`REGIONS`, or a new one.

    Raises:
        ValueError: if there are not 68 or 81 landmarks, or the region has no part.
    """
    k = landmarks.shape[-2]
    if k not in (68, 81):
        raise ValueError(f"regions are not known for {k} landmarks; known: 68, 81")
    if not region.parts:
        raise ValueError("region must have at least one part, got none")
    points = extend_forehead(landmarks) if region.forehead else landmarks
    hulls = []
    for part in region.parts:
        first, last = part.points[0], part.points[-1] + 1
        # A slice if possible, because an index tensor would first be copied to the device.
        run = part.points == tuple(range(first, last))
        chosen = points[..., first:last, :] if run else torch.cat([points[..., i : i + 1, :] for i in part.points], -2)
        if part.grow != 1:
            middle = (chosen.amax(dim=-2, keepdim=True) + chosen.amin(dim=-2, keepdim=True)) / 2
            chosen = torch.lerp(middle, chosen, part.grow)
        hulls.append(chosen)
    return hulls


def hulls_mask(hulls: list[Float[Tensor, "*n _ 2"]], size: tuple[int, int]) -> Float[Tensor, "*n h w"]:
    """Computes the share of every pixel that lies in any of the convex hulls, [0, 1].

    Args:
        hulls: Points of each hull, pixels of the mask; at least one hull.
        size: Height and width of the mask, pixels.
    """
    mask = hull_mask(hulls[0], size)
    for points in hulls[1:]:
        mask = torch.maximum(mask, hull_mask(points, size))
    return mask


def rim(points: Float[Tensor, "t k 2"]) -> Float[Tensor, "t m 2"]:
    """Removes points that are not corners of the convex hull in any frame. The hulls stay the same.

    The removed points lie in the polygon of the outermost points in some directions [Akl & Toussaint, 1978]. The number
    of remaining points must be known, so this function is for CPUs.
    """
    angle = torch.arange(_DIRECTIONS, dtype=points.dtype) * (2 * math.pi / _DIRECTIONS)
    outermost = (points @ torch.stack((angle.cos(), angle.sin()))).argmax(dim=1)
    corners = torch.gather(points, 1, outermost[..., None].expand(-1, -1, 2))
    side = corners.roll(-1, dims=1) - corners
    (x, y), (dx, dy) = points[:, None].unbind(dim=-1), side[:, :, None].unbind(dim=-1)
    to_left = dx * (y - corners[..., 1, None]) - dy * (x - corners[..., 0, None])
    # A corner that is outermost in two directions gives a side of length 0, and every point is inside such a side.
    within = (to_left > 0) | ((dx == 0) & (dy == 0))
    inside = within.all(dim=1) & (to_left > 0).any(dim=1)
    return points[:, (~inside).any(dim=0)]
