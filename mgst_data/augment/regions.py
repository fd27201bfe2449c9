"""Regions of a face: unions of convex hulls of landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.core.polygons import hull_mask

BROWS_68 = tuple(range(17, 27))
_NOSE_BASE_68 = 33
# Height of the forehead, in units of the distance from the brows to the base of the nose. The canon of facial thirds
# has the hairline one such distance above the brows; less of it is skin on most pictures.
_FOREHEAD = 0.75
# How much narrower and lower the forehead is at its ends than along the brows.
_NARROWER, _LOWER = 0.85, 0.35


@dataclass(frozen=True, slots=True)
class Part:
    """The convex hull of some landmarks.

    Attributes:
        points: Their numbers.
        grow: Factor by which the hull is enlarged about its centre: landmarks lie on the rim of eyes and lips, but what
            a forgery exchanges reaches further.
    """

    points: tuple[int, ...]
    grow: float = 1.0


@dataclass(frozen=True, slots=True)
class Region:
    """A union of parts.

    Attributes:
        parts: At least one.
        forehead: Whether the points are first extended over the forehead.
        edge: Factor on the size of the kernels that shrink and soften the mask: what suits a face wipes out a mouth.
    """

    parts: tuple[Part, ...]
    forehead: bool = False
    edge: float = 1.0


# Ours, but for the first two, which are those of self-blended images (CVPR 2022).
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


def extend_forehead(landmarks: Float[Tensor, "*n k 2"]) -> Float[Tensor, "*n m 2"]:
    """Landmarks with points over the forehead: 81 have them, 68 get ten more, extrapolated upwards from the brows.

    A point is carried from its brow along the line from the base of the nose to the middle of the brows, by less the
    further out it lies, so that the forehead is arched. Ours.
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
    """The share of every pixel that lies in a region, [0, 1].

    Args:
        landmarks: 68 or 81, in pixels of the mask.
        region: One of :data:`REGIONS`, or of your own.
        size: Height and width.

    Raises:
        ValueError: for another number of landmarks than 68 or 81.
    """
    k = landmarks.shape[-2]
    if k not in (68, 81):
        raise ValueError(f"regions are known for 68 and 81 landmarks, not for {k}")
    points = extend_forehead(landmarks) if region.forehead else landmarks
    mask: Tensor | None = None
    for part in region.parts:
        first, last = part.points[0], part.points[-1] + 1
        # A slice where there is one: an index of a device would be copied there first.
        run = part.points == tuple(range(first, last))
        chosen = points[..., first:last, :] if run else torch.cat([points[..., i : i + 1, :] for i in part.points], -2)
        if part.grow != 1:
            middle = (chosen.amax(dim=-2, keepdim=True) + chosen.amin(dim=-2, keepdim=True)) / 2
            chosen = torch.lerp(middle, chosen, part.grow)
        covered = hull_mask(chosen, size)
        mask = covered if mask is None else torch.maximum(mask, covered)
    if mask is None:
        raise ValueError("a region has at least one part")
    return mask
