"""Pose of a head from its landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# Six points of a generic head: tip of the nose, chin, outer corners of the eyes, corners of the mouth. x to the right
# of the picture, y down, z away from the camera; the unit does not matter. The proportions are from S. Mallick, "Head
# Pose Estimation using OpenCV and Dlib" (2016).
_POINTS_68 = [30, 8, 36, 45, 48, 54]
_HEAD = np.array(
    [[0, 0, 0], [0, 330, 65], [-225, -170, 135], [225, -170, 135], [-150, 125, 125], [150, 125, 125]], dtype=np.float64
)


def head_pose(landmarks: Float[Tensor, "t k 2"], frame_size: tuple[int, int]) -> Float[Tensor, "t 3"]:
    """Estimates yaw, pitch and roll by fitting a generic head (``cv2.solvePnP``, SQPNP).

    The camera is unknown: its focal length is taken to be the longer side of the frame. Expect errors of several
    degrees. The pose serves to sort tracks, and to see how a data set is spread.

    Args:
        landmarks: 68 landmarks of iBUG 300-W, or 81 with a forehead; pixels of the frame.
        frame_size: Width and height of the frame, pixels.

    Returns:
        Degrees. Yaw is positive for a face turned to the left of the picture, pitch for one that looks down, roll for
        one rotated clockwise. NaN for other numbers of landmarks, and where the fit fails.
    """
    poses = torch.full((len(landmarks), 3), float("nan"))
    if landmarks.shape[1] not in (68, 81):
        return poses
    width, height = frame_size
    focal = float(max(width, height))
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    for i, points in enumerate(landmarks[:, _POINTS_68].double().numpy()):
        if not np.isfinite(points).all():
            continue
        found, turned, _ = cv2.solvePnP(_HEAD, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        if found:
            r = cv2.Rodrigues(turned)[0]
            angles = [np.arcsin(np.clip(-r[2, 0], -1, 1)), np.arctan2(r[2, 1], r[2, 2]), np.arctan2(r[1, 0], r[0, 0])]
            poses[i] = torch.from_numpy(np.degrees(angles))
    return poses
