"""Facial landmarks: dlib's regression trees on patches that show the face as the trees were trained, and a check.

Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees" (2014), start from the mean
face, laid into the square box of a face detector. dlib's files were trained with the boxes of dlib's own HOG detector,
so the landmarks are only as good as a box is like those. Here no box is used at all: the five points of the detector
say where that box is. A similarity transform lays the eyes and the mouth's corners where they are in dlib's box on
average (``FACE_IN_BOX``), the frame is resampled into an upright grey patch of one size, and the trees run on that.

That cures four things at once: the box of another detector, faces turned in the plane (the HOG detector finds none
beyond about 20 degrees), boxes and landmarks that dlib rounds to whole pixels, and small faces, on which those pixels
are a large part of the face. The nose is left out of the fit, because it moves sideways as the head turns.

Measured by benchmarks/fit_landmark_box.py, % of the eye distance: error (median, worst percentile) and jitter.

    MTCNN's box                           2.7   51    1.15
    MTCNN's box, made square, moved       1.1   57    0.99
    box of dlib's own detector            1.1   11    0.97
    here, one view                        0.9   10    0.86
    here, two views                       0.7    9    0.72

A second pass, from the box that the landmarks of the first lie in, costs as much as a second view and is as good, but
needs the mean face of every model; so views it is. Most of the time goes into fetching 4 MB of leaves per view from
memory: 1 ms on an idle core, more on a busy machine. dlib holds the interpreter's lock meanwhile: processes help,
threads do not.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from mgst_data.core.checks import check_frames
from mgst_data.core.errors import UsageError
from mgst_data.core.geometry import apply_transform, similarity_transform
from mgst_data.core.records import Detections
from mgst_data.core.registry import Registry

# Where MTCNN's left eye, right eye, left and right mouth corner lie in the box of dlib's HOG detector, in units of its
# side from its upper left corner. Fitted by benchmarks/fit_landmark_box.py: medians over 873 faces of 93 clips, made
# symmetric. For clips left out of the fit, the HOG box is within 4 % of its side in place and 9 % in size (median
# absolute deviation as standard deviation; no bias above 1 %), mostly because HOG boxes come in steps of 20 %.
FACE_IN_BOX = ((0.2881, 0.2907), (0.7119, 0.2907), (0.3303, 0.7498), (0.6697, 0.7498))
_EYES_AND_MOUTH = [0, 1, 3, 4]

# Patch: the side of the box, and what is shown around it, pixels. dlib gives whole pixels; with 256 of them the error
# of rounding is 0.3 % of the eye distance.
_SIDE, _MARGIN = 256, 48
# Angle between the first and the last view of a face, radians.
_TURN = 0.2

# Frames on either side that a landmark is checked against, and how far it may be from its median there, in units of
# the face's spread; 0.3 is about a quarter of the eye distance. Of a million landmarks of 94 clips, none that followed
# natural motion was further than 0.27 (a head thrown back at 15 frames/s; mouths reach 0.26, blinks 0.17).
CHECK_REACH = 2
_JUMP = 0.3

_PACKAGE, _FILE = "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat"


class LandmarkModel(Protocol):
    """Finds the landmarks of faces whose place is known.

    Attributes:
        name: What a shard's reader should know of the model: its kind, its file, the number of landmarks.
    """

    name: str

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"], found: Detections) -> Float[Tensor, "n k 2"]:
        """Landmarks of all n faces, pixels of the frames; ``found.frame`` says which frame a face is in."""
        ...


LANDMARK_MODELS: Registry[Callable[..., LandmarkModel]] = Registry("mgst_data.landmarks")


@LANDMARK_MODELS.register("dlib")
class DlibLandmarks:
    """Landmarks by dlib's shape predictor.

    Args:
        path: A ``.dat`` file of any number of landmarks, trained with the boxes of dlib's detector, as the common
            68-point and 81-point files are. By default the 68-point file of ``face_recognition_models``.
        views: Patches per face, each turned a little against the others, whose landmarks are averaged. Cost is in
            proportion.

    Attributes:
        name: The versions of dlib and of the file, with the number of landmarks.
        count: The number of landmarks, K, as the file has it.

    Raises:
        ImportError: if dlib or the default file's package is not installed.
        UsageError: if the file is missing or is no shape predictor.
    """

    def __init__(self, path: str | Path | None = None, *, views: int = 1) -> None:
        if views < 1:
            raise ValueError(f"at least one view is needed, not {views}")
        self._dlib = _import_dlib()
        path = packaged_model() if path is None else Path(path)
        self._predictor = _load(self._dlib, path)
        self._box = self._dlib.rectangle(_MARGIN, _MARGIN, _MARGIN + _SIDE, _MARGIN + _SIDE)
        self._targets = _turned_faces(views)
        self.count = len(self._points(np.zeros((_SIDE, _SIDE), dtype=np.uint8)))
        self.name = f"dlib {self._dlib.__version__}, {self.count} points ({path.name})"

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"], found: Detections) -> Float[Tensor, "n k 2"]:
        """Landmarks of all faces. Frames stored channels-last are not copied.

        Returns:
            Pixels of the frames, whole numbers at pixels' middles, on the CPU.
        """
        check_frames(frames, 4, kind="uint8")
        pixels = frames.permute(0, 2, 3, 1).cpu().numpy()
        known = found.points[:, _EYES_AND_MOUTH].float().cpu()
        n, v = len(known), len(self._targets)
        to_frame = similarity_transform(self._targets.expand(n, v, 4, 2), known[:, None].expand(n, v, 4, 2))
        in_patch = np.empty((n, v, self.count, 2), dtype=np.float32)
        for i, frame in enumerate(found.frame.tolist()):
            for j, patch in enumerate(_patches(pixels[frame], to_frame[i])):
                in_patch[i, j] = self._points(patch)
        return apply_transform(to_frame, torch.from_numpy(in_patch)).mean(dim=1)

    def _points(self, patch: UInt8[np.ndarray, "s s"]) -> list[tuple[int, int]]:
        return [(point.x, point.y) for point in self._predictor(patch, self._box).parts()]


def check_landmarks(points: Float[Tensor, "t k 2"], height: int, width: int) -> Bool[Tensor, "t k"]:
    """Tells the landmarks of consecutive frames of one face that are to be trusted.

    A landmark is not if it lies outside the picture, or jumps: its neighbours in time, laid onto the face of its frame
    by a similarity transform, are all elsewhere. Motion of the whole face is no jump.

    Args:
        points: Pixels.
        height: Of the picture.
        width: Of the picture.
    """
    t = len(points)
    offset = torch.tensor([d for d in range(-CHECK_REACH, CHECK_REACH + 1) if d], device=points.device)
    around = torch.arange(t, device=points.device)[:, None] + offset
    missing = (around < 0) | (around >= t)
    neighbours = points[around.clamp(0, max(0, t - 1))]
    onto = similarity_transform(neighbours, points[:, None].expand_as(neighbours))
    laid = apply_transform(onto, neighbours).masked_fill(missing[..., None, None], math.nan)
    # Of an even number, torch gives the lower of the two in the middle: from below and from above, it is their mean.
    middle = (laid.nanmedian(dim=1).values - (-laid).nanmedian(dim=1).values) / 2
    apart = (points - middle).norm(dim=-1)
    # A frame without neighbours has no motion to be compared with: the distance is not a number, and not a jump.
    jumps = apart > _JUMP * face_spread(points, torch.ones_like(apart, dtype=torch.bool))[:, None]
    # The first pixel's area begins half a pixel before its middle.
    inside = (points >= -0.5) & (points <= torch.tensor([width, height], device=points.device) - 0.5)
    valid: Tensor = inside.all(dim=-1) & ~jumps
    return valid


def face_spread(points: Float[Tensor, "t k 2"], valid: Bool[Tensor, "t k"]) -> Float[Tensor, " t"]:
    """Root mean square distance of the valid landmarks from their middle, pixels; 0 where there is none.

    A measure of size for any number of landmarks, which changes little as the head turns. For 68 of them, it is 0.86
    of the eye distance of a frontal face.
    """
    count = valid.sum(dim=-1, keepdim=True).clamp_min(1)
    weight = valid / count
    middle = (points * weight[..., None]).sum(dim=-2, keepdim=True)
    return ((points - middle).square().sum(dim=-1) * weight).sum(dim=-1).sqrt()


def packaged_model() -> Path:
    """The 68-point file inside ``face_recognition_models``, which is found but not imported: it needs pkg_resources.

    Raises:
        ImportError: if the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the 68-point landmark file is not installed; run: pip install {_PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / _FILE


def _import_dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise ImportError("dlib is not installed; run: pip install dlib-bin") from error
    return dlib


def _load(dlib: Any, path: Path) -> Any:
    if not path.is_file():
        raise UsageError("no such landmark file", where=path, hint="give the path of a dlib .dat file")
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        hint = "is it complete, unpacked, and for landmarks?"
        raise UsageError("not a shape predictor of dlib", where=path, hint=hint) from error


def _turned_faces(views: int) -> Float[Tensor, "v 4 2"]:
    """Eyes and mouth in the patch, for every view turned about the middle of the box, evenly to both sides."""
    angles = _TURN * (torch.linspace(-0.5, 0.5, views) if views > 1 else torch.zeros(1))
    cos, sin = angles.cos(), angles.sin()
    turn = torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=-2)
    return (torch.tensor(FACE_IN_BOX) - 0.5) @ turn.mT * _SIDE + (_MARGIN + _SIDE / 2)


def _patches(picture: UInt8[np.ndarray, "h w 3"], to_frame: Float[Tensor, "v 2 3"]) -> list[UInt8[np.ndarray, "s s"]]:
    """Resamples the patches of one face; black beyond the picture, as dlib sees it."""
    height, width = picture.shape[:2]
    size = _SIDE + 2 * _MARGIN
    corners = torch.tensor([[0.0, 0.0], [size, 0.0], [0.0, size], [size, size]])
    outline = apply_transform(to_frame, corners.expand(len(to_frame), 4, 2)).reshape(-1, 2)
    # Only what the patches show is turned to grey. A face wholly outside still needs one pixel to sample from.
    last = torch.tensor([width - 1.0, height - 1.0])
    x0, y0 = outline.amin(dim=0).clamp_min(0).minimum(last).floor().int().tolist()
    x1, y1 = outline.amax(dim=0).clamp_min(0).minimum(last).ceil().int().tolist()
    grey = cv2.cvtColor(picture[y0 : y1 + 1, x0 : x1 + 1], cv2.COLOR_RGB2GRAY)
    from_patch = to_frame.double().numpy()
    from_patch[:, :, 2] -= (x0, y0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return [cv2.warpAffine(grey, matrix, (size, size), flags=flags) for matrix in from_patch]
