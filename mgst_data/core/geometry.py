"""Boxes, similarity transforms and landmark flips. Boxes are ``x0, y0, x1, y1`` in pixels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.core.devices import constant

# Index tables: entry i is the landmark that becomes landmark i when the picture is mirrored.
FLIP_5 = (1, 0, 2, 4, 3)
FLIP_68 = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip
# The 13 forehead points of the common 81-point model are not stored from left to right.
FOREHEAD_81 = (77, 75, 76, 68, 69, 70, 71, 80, 72, 73, 79, 74, 78)
FLIP_81 = (
    *FLIP_68,
    *(dict(zip(FOREHEAD_81, reversed(FOREHEAD_81), strict=True))[i] for i in range(68, 81)),
)
FLIPS = {len(table): table for table in (FLIP_5, FLIP_68, FLIP_81)}

# Height of the face box above the brows, relative to the height from the brows to the chin.
_FOREHEAD = 0.3

LEFT_EYE_68, RIGHT_EYE_68 = slice(36, 42), slice(42, 48)
_NOSE_TIP_68 = 30


def flip_landmarks(points: Float[Tensor, "*n k 2"], width: int) -> Float[Tensor, "*n k 2"]:
    """Mirrors landmarks as ``frames.flip(-1)`` mirrors pixels: column x becomes ``width - 1 - x``.

    Args:
        points: Landmarks ``(..., k, 2)`` in pixels, column x, then row y.
        width: Width of the picture, pixels.

    Raises:
        ValueError: if no flip table is known for k landmarks. Tables exist for 5, 68 and 81.
    """
    k = points.shape[-2]
    if k not in FLIPS:
        raise ValueError(f"no flip table for {k} landmarks; known: {', '.join(map(str, FLIPS))}")
    mirrored = torch.stack((width - 1 - points[..., 0], points[..., 1]), dim=-1)
    return mirrored.index_select(-2, constant(FLIPS[k], points, torch.long))


def face_box(points: Float[Tensor, "b t k 2"], seen: Bool[Tensor, "b t"]) -> Float[Tensor, "b 4"]:
    """Computes one face box per segment from the landmarks of its frames.

    The box of a frame reaches from the forehead to the chin, and from ear to ear. Above the brows it has 0.3 of the
    height from brows to chin. With this share, it is in the median as high as the boxes of MTCNN (measured on 1,900
    frames of 215 clips). The box of a segment is the mean over its frames, so it does not move with the face.

    Args:
        points: 68 or 81 landmarks in pixels; finite in the frames that are seen.
        seen: Frames with a face. A segment without any has a box of zeros.

    Returns:
        x0, y0, x1, y1 in pixels.
    """
    points = points[:, :, :68].masked_fill(~seen[..., None, None], 0)
    low, high = points.amin(dim=2), points.amax(dim=2)
    top = low[..., 1] - _FOREHEAD * (high[..., 1] - low[..., 1])
    boxes = torch.stack((low[..., 0], top, high[..., 0], high[..., 1]), dim=-1)
    return boxes.sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp_min(1)


def box_size(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 2"]:
    """Returns the width and height of each box, never negative."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)


def box_centre(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 2"]:
    """Returns the centre of each box."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def box_around(centre: Float[Tensor, "*n 2"], size: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 4"]:
    """Makes boxes from their centres and sizes.

    Args:
        centre: Centre of each box, x and y, pixels.
        size: Width and height of each box, pixels.
    """
    return torch.cat((centre - size / 2, centre + size / 2), dim=-1)


def square(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Returns the square around the centre of each box. Its side is the longer side of the box."""
    side = box_size(boxes).amax(dim=-1, keepdim=True)
    return box_around(box_centre(boxes), side.expand(*side.shape[:-1], 2))


def enlarge(boxes: Float[Tensor, "*n 4"], margin: float) -> Float[Tensor, "*n 4"]:
    """Returns the boxes enlarged by a margin on every side.

    Args:
        boxes: Boxes to enlarge.
        margin: Distance by which each side moves outwards, relative to the width or height of the box.
    """
    return box_around(box_centre(boxes), box_size(boxes) * (1 + 2 * margin))


def paired_iou(a: Float[Tensor, "*#n 4"], b: Float[Tensor, "*#n 4"]) -> Float[Tensor, "..."]:
    """Computes the intersection over union of boxes that are paired by broadcasting.

    Args:
        a: First box of each pair.
        b: Second box of each pair.

    Returns:
        Intersection over union, [0, 1]; 0 where both boxes are empty.
    """
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    intersection = overlap.prod(dim=-1)
    union = box_size(a).prod(dim=-1) + box_size(b).prod(dim=-1) - intersection
    return intersection / union.clamp_min(1e-9)


def iou(a: Float[Tensor, "n 4"], b: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Computes the intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a: n boxes, the rows of the result.
        b: m boxes, the columns of the result.
    """
    return paired_iou(a[:, None], b[None, :])


def apply_transform(matrix: Float[Tensor, "*#n 2 3"], points: Float[Tensor, "*#n k 2"]) -> Float[Tensor, "*m k 2"]:
    """Maps points by affine matrices: ``x' = A x + b``.

    Args:
        matrix: Matrices ``(..., 2, 3)`` of A and b. One matrix may be broadcast over many sets of points.
        points: Points ``(..., k, 2)``, column x, then row y.
    """
    return points @ matrix[..., :2].mT + matrix[..., 2:].mT


def invert_transform(matrix: Float[Tensor, "*n 2 3"]) -> Float[Tensor, "*n 2 3"]:
    """Returns the affine map that undoes ``matrix``."""
    inverse = torch.linalg.inv(matrix[..., :2])
    return torch.cat((inverse, -inverse @ matrix[..., 2:]), dim=-1)


def similarity_transform(source: Float[Tensor, "*n k 2"], target: Float[Tensor, "*n k 2"]) -> Float[Tensor, "*n 2 3"]:
    """Computes the least-squares rotation, scale and translation that maps ``source`` onto ``target``.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991). In the plane the
    solution is linear: with z = x + iy, the factor is <z_source, z_target> / |z_source|^2.

    Args:
        source: Points ``(..., k, 2)`` to map.
        target: Points ``(..., k, 2)`` that they are mapped onto, in the same order.
    """
    source_mean, target_mean = source.mean(dim=-2, keepdim=True), target.mean(dim=-2, keepdim=True)
    s, t = source - source_mean, target - target_mean
    power = s.square().sum(dim=(-2, -1)).clamp_min(1e-12)
    a = (s * t).sum(dim=(-2, -1)) / power
    b = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(dim=-1) / power
    linear = torch.stack((torch.stack((a, -b), dim=-1), torch.stack((b, a), dim=-1)), dim=-2)
    return torch.cat((linear, target_mean.mT - linear @ source_mean.mT), dim=-1)


def eye_distance(landmarks: Float[Tensor, "*n k 2"]) -> Float[Tensor, "*n"]:
    """Computes the distance between the eyes in pixels.

    With 68 and 81 landmarks it is measured between the centres of the eyes, with 5 between the two eye points.

    Raises:
        ValueError: if there are not 5, 68 or 81 landmarks.
    """
    k = landmarks.shape[-2]
    if k == 5:
        left, right = landmarks[..., 0, :], landmarks[..., 1, :]
    elif k in (68, 81):
        left, right = landmarks[..., LEFT_EYE_68, :].mean(dim=-2), landmarks[..., RIGHT_EYE_68, :].mean(dim=-2)
    else:
        raise ValueError(f"the eyes are not known for {k} landmarks; known: 5, 68, 81")
    return (right - left).square().sum(dim=-1).sqrt()


def turn(landmarks: Float[Tensor, "t k 2"]) -> Float[Tensor, " t"]:
    """Measures how far each face is turned to the side: 0 for a frontal face, about 0.5 for a profile.

    It is the distance of the tip of the nose from the middle between the eyes, along the line of the eyes, in eye
    distances.

    Args:
        landmarks: 68 or 81 landmarks in pixels.
    """
    left, right = landmarks[:, LEFT_EYE_68].mean(dim=1), landmarks[:, RIGHT_EYE_68].mean(dim=1)
    across = right - left
    offset = ((landmarks[:, _NOSE_TIP_68] - (left + right) / 2) * across).sum(dim=-1)
    return offset.abs() / across.square().sum(dim=-1).clamp_min(1e-6)
