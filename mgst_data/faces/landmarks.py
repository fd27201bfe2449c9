"""Facial landmarks: regression trees of dlib on normalised face patches, and a check of the landmarks.

The method of Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees" (2014), starts
from the mean face, placed in the square box of a face detector. The files of dlib were trained with the boxes of the
HOG detector of dlib, so the landmarks are accurate only for similar boxes. Therefore this module does not use the box
of the detector. It uses the five points of the detector: a similarity transform maps the eyes and the corners of the
mouth to their mean positions in the box of dlib (``FACE_IN_BOX``). The frame is resampled into an upright greyscale
patch of fixed size, and the trees run on this patch.

This solves four problems: boxes of another detector; faces rotated in the image plane (the HOG detector finds none
beyond about 20 degrees); boxes and landmarks that dlib rounds to whole pixels; and small faces, for which the rounding
is a large part of the face. The nose is left out of the fit, because it moves sideways when the head turns.

Measured by benchmarks/fit_landmark_box.py, in % of the eye distance:

    method                              error: median   99th percentile   jitter
    MTCNN box                                     2.7                51     1.15
    MTCNN box, made square and moved              1.1                57     0.99
    box of the HOG detector of dlib               1.1                11     0.97
    this module, one view                         0.9                10     0.86
    this module, two views                        0.7                 9     0.72

An alternative to a second view is a second pass with the box around the landmarks of the first pass. It has the same
cost and accuracy, so this module uses views, which need nothing but the file.

The trees run for all faces of a batch at once, without dlib (:mod:`mgst_data.faces.trees`).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from mgst_data.core.checks import check_frames
from mgst_data.core.errors import UsageError
from mgst_data.core.geometry import apply_transform, similarity_transform
from mgst_data.core.records import Detections
from mgst_data.core.registry import Registry
from mgst_data.faces.trees import RegressionTrees

# Positions (x, y) of the MTCNN points left eye, right eye, left and right corner of the mouth in the box of the HOG
# detector of dlib, relative to its side, from its upper left corner. Fitted by benchmarks/fit_landmark_box.py: medians
# over 873 faces of 93 clips, made symmetric. For clips left out of the fit, the HOG box deviates by 4 % of its side in
# position and by 9 % in size (median absolute deviation, scaled to a standard deviation; no bias above 1 %), mostly
# because the sizes of HOG boxes have steps of 20 %.
FACE_IN_BOX = ((0.2881, 0.2907), (0.7119, 0.2907), (0.3303, 0.7498), (0.6697, 0.7498))
_EYES_AND_MOUTH = [0, 1, 3, 4]

# Side of the box in a patch, and margin around it, pixels.
_SIDE, _MARGIN = 256, 48
_PATCH = _SIDE + 2 * _MARGIN
# Angle between the first and the last view of a face, radians.
_TURN = 0.2

# Number of frames on each side that a landmark is compared with, and its largest distance from its median there,
# relative to the spread of the face; 0.3 is about a quarter of the eye distance. Among a million landmarks of 94 clips,
# the largest distance in natural motion was 0.27 (a fast backward motion of the head at 15 frames per second; mouths
# reach 0.26, blinks 0.17).
CHECK_REACH = 2
_JUMP = 0.3

_PACKAGE, _FILE = "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat"


@runtime_checkable
class LandmarkModel(Protocol):
    """Interface of a landmark model: it finds the landmarks of detected faces.

    Attributes:
        name: Description of the model, which is stored in shards: its kind, its file, the number of landmarks.
    """

    name: str

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"], found: Detections) -> Float[Tensor, "n k 2"]:
        """Finds the landmarks of all n faces.

        Args:
            frames: RGB frames, [0, 255].
            found: Detected faces; ``found.frame`` is the index of the frame of each face.

        Returns:
            Landmarks (x, y), pixels of the frames.
        """
        ...


LANDMARK_MODELS: Registry[Callable[..., LandmarkModel]] = Registry("mgst_data.landmarks")


@LANDMARK_MODELS.register("dlib")
class DlibLandmarks:
    """Finds landmarks with a shape predictor of dlib, for all faces at once.

    dlib itself is not used: its trees are read from the file. dlib would round landmarks to whole pixels of the patch.

    Args:
        path: A ``.dat`` file with any number of landmarks, trained with the boxes of the detector of dlib, such as the
            common 68-point and 81-point files. The default is the 68-point file of ``face_recognition_models``.
        views: Number of patches per face, at least 1. The patches are rotated against each other, and their landmarks
            are averaged. The cost is proportional to this number.

    Attributes:
        name: Kind of the model, number of landmarks and name of the file; it is stored in shards.
        count: Number of landmarks, K, given by the file.

    Raises:
        ImportError: if the package of the default file is not installed.
        UsageError: if the file is missing or is not a shape predictor.
        ValueError: if ``views`` is below 1.
    """

    def __init__(self, path: str | Path | None = None, *, views: int = 1) -> None:
        if views < 1:
            raise ValueError(f"views must be at least 1, got {views}")
        path = packaged_model() if path is None else Path(path)
        if not path.is_file():
            raise UsageError("no such landmark file", where=path, hint="give the path of a dlib .dat file")
        try:
            self._trees = RegressionTrees(path, side=_SIDE, corner=_MARGIN)
        except ValueError as error:
            hint = "check that the file is complete, unpacked and a landmark model"
            raise UsageError("not a shape predictor of dlib", where=path, hint=hint) from error
        self._targets = _turned_faces(views)
        self.count = self._trees.count
        self.name = f"regression trees of dlib, {self.count} points ({path.name})"

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"], found: Detections) -> Float[Tensor, "n k 2"]:
        """Finds the landmarks of all faces. Frames in channels-last memory format are not copied.

        Args:
            frames: RGB frames, [0, 255].
            found: Detected faces; ``found.frame`` is the index of the frame of each face.

        Returns:
            Landmarks (x, y) on the CPU, pixels of the frames; pixel centres are whole numbers.
        """
        check_frames(frames, 4, kind="uint8")
        pixels = frames.permute(0, 2, 3, 1).cpu().numpy()
        known = found.points[:, _EYES_AND_MOUTH].float().cpu()
        n, v = len(known), len(self._targets)
        to_frame = similarity_transform(self._targets.expand(n, v, 4, 2), known[:, None].expand(n, v, 4, 2))
        parts, to_part = _parts(to_frame, *pixels.shape[1:3])
        greys = [
            cv2.cvtColor(pixels[frame, y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
            for frame, (x0, y0, x1, y1) in zip(found.frame.tolist(), parts, strict=True)
        ]
        in_patch = self._in_patches([grey for grey in greys for _ in range(v)], to_part.flatten(0, 1))
        return apply_transform(to_frame, in_patch.view(n, v, self.count, 2)).mean(dim=1)

    def _in_patches(self, greys: list[np.ndarray], to_grey: Float[Tensor, "n 2 3"]) -> Float[Tensor, "n k 2"]:
        """Finds the landmarks of each picture in pixels of its patch. Patches are not made, only single pixels of them.

        Args:
            greys: Pictures in which the faces are, (h, w), [0, 255].
            to_grey: Maps from the patch of a face to its picture.
        """
        affine = to_grey.float().numpy()[..., None]

        def sample(at: Float32[np.ndarray, "n p 2"]) -> UInt8[np.ndarray, "n p"]:
            x, y = (affine[:, i, 0] * at[..., 0] + affine[:, i, 1] * at[..., 1] + affine[:, i, 2] for i in (0, 1))
            values = np.empty(x.shape, np.uint8)
            for i, grey in enumerate(greys):
                cv2.remap(grey, x[i : i + 1], y[i : i + 1], cv2.INTER_LINEAR, dst=values[i : i + 1])
            return values

        return self._trees(sample, len(greys))


def check_landmarks(points: Float[Tensor, "t k 2"], height: int, width: int) -> Bool[Tensor, "t k"]:
    """Returns which landmarks of consecutive frames of one face are valid.

    A landmark is invalid if it lies outside the picture or if it jumps. To find jumps, the faces of the neighbouring
    frames are aligned with the face of the frame by a similarity transform. A landmark jumps if it is far from the
    median of its positions in the aligned faces. Motion of the whole face is not a jump.

    Args:
        points: Landmarks (x, y), pixels.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
    """
    t = len(points)
    offset = torch.tensor([d for d in range(-CHECK_REACH, CHECK_REACH + 1) if d], device=points.device)
    around = torch.arange(t, device=points.device)[:, None] + offset
    missing = (around < 0) | (around >= t)
    neighbours = points[around.clamp(0, max(0, t - 1))]
    onto = similarity_transform(neighbours, points[:, None].expand_as(neighbours))
    laid = apply_transform(onto, neighbours).masked_fill(missing[..., None, None], math.nan)
    # For an even count, nanmedian of torch returns the lower of the two middle values. The median of the negated values
    # gives the upper one; their mean is the median.
    middle = (laid.nanmedian(dim=1).values - (-laid).nanmedian(dim=1).values) / 2
    apart = (points - middle).norm(dim=-1)
    # For a frame without neighbours the distance is NaN, and the comparison is False: it is not a jump.
    jumps = apart > _JUMP * face_spread(points, torch.ones_like(apart, dtype=torch.bool))[:, None]
    # The area of the first pixel begins half a pixel before its centre.
    inside = (points >= -0.5) & (points <= torch.tensor([width, height], device=points.device) - 0.5)
    valid: Tensor = inside.all(dim=-1) & ~jumps
    return valid


def face_spread(points: Float[Tensor, "t k 2"], valid: Bool[Tensor, "t k"]) -> Float[Tensor, " t"]:
    """Returns the root mean square distance of the valid landmarks from their centre, pixels; 0 if none is valid.

    This measures the size of a face for any number of landmarks, and it changes little when the head turns. For 68
    landmarks, it is 0.86 of the eye distance of a frontal face.

    Args:
        points: Landmarks (x, y), pixels.
        valid: Landmarks to use.
    """
    count = valid.sum(dim=-1, keepdim=True).clamp_min(1)
    weight = valid / count
    middle = (points * weight[..., None]).sum(dim=-2, keepdim=True)
    return ((points - middle).square().sum(dim=-1) * weight).sum(dim=-1).sqrt()


def packaged_model() -> Path:
    """Returns the path of the 68-point file in the package ``face_recognition_models``.

    The package is not imported, because its import needs pkg_resources.

    Raises:
        ImportError: if the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the 68-point landmark file is not installed; run: pip install {_PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / _FILE


def _turned_faces(views: int) -> Float[Tensor, "v 4 2"]:
    """Returns eyes and corners of the mouth in the patch of every view; views are rotated evenly to both sides."""
    angles = _TURN * (torch.linspace(-0.5, 0.5, views) if views > 1 else torch.zeros(1))
    cos, sin = angles.cos(), angles.sin()
    turn = torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=-2)
    return (torch.tensor(FACE_IN_BOX) - 0.5) @ turn.mT * _SIDE + (_MARGIN + _SIDE / 2)


def _parts(
    to_frame: Float[Tensor, "n v 2 3"], height: int, width: int
) -> tuple[list[list[int]], Float[Tensor, "n v 2 3"]]:
    """Returns the part of the frame that the patches of each face show, and the maps from patches to these parts.

    Only these parts are converted to greyscale. Pixels of patches outside the frame are black, as in dlib. A face
    outside the frame still needs one pixel.

    Returns:
        Parts as left, top, right and bottom edge in pixels, right and bottom exclusive; and affine maps.
    """
    n, v = to_frame.shape[:2]
    corners = torch.tensor([[0.0, 0.0], [_PATCH, 0.0], [0.0, _PATCH], [_PATCH, _PATCH]])
    outline = apply_transform(to_frame, corners.expand(n, v, 4, 2)).reshape(n, 4 * v, 2)
    last = torch.tensor([width - 1.0, height - 1.0])
    low = outline.amin(dim=1).clamp_min(0).minimum(last).floor()
    high = outline.amax(dim=1).clamp_min(0).minimum(last).ceil() + 1
    to_part = to_frame.to(torch.float64, copy=True)
    to_part[..., 2] -= low[:, None]
    return torch.cat((low, high), dim=1).int().tolist(), to_part
