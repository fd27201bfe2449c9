"""Checks of landmarks that a data set ships, before they are used in place of a detection."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.core.geometry import LEFT_EYE_68, RIGHT_EYE_68, apply_transform, similarity_transform
from mgst_data.faces.landmarks import FACE_IN_BOX, face_spread

_NOSE_AND_MOUTH_68 = [30, 48, 54]
_EYES_AND_MOUTH = [0, 1, 3, 4]
# Smallest share of landmarks that lie inside the picture. Single points of a chin or a forehead may lie outside.
_INSIDE = 0.9
# Smallest and largest side of the box of the face, relative to the shorter side of the picture.
_SIDES = (0.2, 1.0)
# Largest distance of an eye or a corner of the mouth from its place in the mean face, relative to the side of the box.
# The distance of the eyes is 0.42. In 841 crops of 28 real clips, aligned as in DeepfakeBench, the largest was 0.08.
_MISPLACED = 0.15
# Largest mean distance between two sets of landmarks of the same face, relative to the spread of the face. In the same
# crops, landmarks that were on the face differed by up to 0.13, landmarks beside it by 0.19 to 0.43.
_DISAGREEMENT = 0.16


def doubts(points: Float[Tensor, "t k 2"], height: int, width: int) -> list[str]:
    """Returns, for each frame, why its landmarks cannot be those of a face; "" if they can.

    They must be finite and inside the picture, and have the size and the shape of an upright face.

    Args:
        points: Landmarks (x, y), pixels of the picture; the first 68 are in the order of iBUG 300-W.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
    """
    limits = torch.tensor([width, height]) - 0.5
    inside = ((points >= -0.5) & (points <= limits)).all(dim=-1).float().mean(dim=-1)
    features = five_points(points)[:, _EYES_AND_MOUTH]
    mean_face = torch.tensor(FACE_IN_BOX).expand_as(features)
    # From the picture to the mean face: the scale of this map is 1 / side of the box of the face.
    to_box = similarity_transform(features, mean_face)
    side = 1 / to_box[:, :, 0].norm(dim=-1).clamp_min(1e-9) / min(height, width)
    misplaced = (apply_transform(to_box, features) - mean_face).norm(dim=-1).amax(dim=-1)
    # The map turns the face upright. Its first column is the direction of the picture's x axis in the mean face.
    upright = to_box[:, 0, 0] > 0
    checks = (
        (points.isfinite().all(dim=-1).all(dim=-1), "not finite"),
        (inside >= _INSIDE, "outside the picture"),
        ((misplaced <= _MISPLACED) & upright, "not in the shape of a face"),
        ((side >= _SIDES[0]) & (side <= _SIDES[1]), "of an implausible size"),
    )
    return [next((what for passed, what in checks if not bool(passed[i])), "") for i in range(len(points))]


def five_points(points: Float[Tensor, "t k 2"]) -> Float[Tensor, "t 5 2"]:
    """Returns the eyes, the nose and the corners of the mouth, in the order of the five points of the detector."""
    eyes = [points[:, eye].mean(dim=1) for eye in (LEFT_EYE_68, RIGHT_EYE_68)]
    return torch.stack((*eyes, *points[:, _NOSE_AND_MOUTH_68].unbind(dim=1)), dim=1)


def disagree(points: Float[Tensor, "t k 2"], others: Float[Tensor, "t k 2"]) -> Bool[Tensor, " t"]:
    """Returns, for each frame, whether two sets of landmarks cannot belong to the same face.

    Args:
        points: Landmarks of a landmark model, pixels.
        others: Landmarks of another model, pixels.
    """
    apart = (points - others).norm(dim=-1).mean(dim=-1)
    spread = face_spread(points, torch.ones(points.shape[:2], dtype=torch.bool))
    far: Bool[Tensor, " t"] = apart > _DISAGREEMENT * spread
    return far
