"""Makes still pictures of different people from the portrait that scikit-image includes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from skimage import data

from mgst_data.core.geometry import FLIP_68
from mgst_data.demo.people import FEATURES, Identity

# Landmarks of skimage.data.astronaut(), 512 x 512 pixels, measured with the 68-point model of dlib and rounded.
LANDMARKS = (
    (179, 104), (180, 116), (181, 127), (182, 139), (185, 150), (191, 160), (200, 168), (209, 176), (220, 178),
    (232, 177), (243, 171), (253, 163), (260, 154), (265, 143), (268, 131), (270, 120), (272, 108),
    (186, 94), (192, 88), (200, 87), (208, 89), (216, 92), (236, 93), (244, 91), (252, 91), (260, 92), (265, 99),
    (226, 102), (225, 111), (225, 119), (225, 127), (214, 131), (219, 133), (224, 134), (229, 133), (234, 132),
    (195, 101), (200, 98), (207, 98), (212, 104), (206, 104), (199, 104),
    (237, 106), (243, 100), (250, 100), (255, 105), (250, 107), (244, 107),
    (201, 139), (209, 139), (218, 139), (224, 141), (230, 140), (238, 140), (246, 141), (238, 151), (229, 155),
    (222, 156), (216, 155), (208, 150),
    (204, 141), (218, 143), (223, 144), (230, 143), (243, 142), (229, 150), (223, 151), (217, 150),
)  # fmt: skip
MIDDLE = 224.5  # column of the symmetry axis of the face (approximate)
MIRROR_SHIFT = -62  # shift after mirroring that keeps this column in its position
LEFT, TOP, RIGHT, BOTTOM = 60, 0, 390, 240  # part of the photograph that is used
DETAIL = 2  # pixels of a sheet per pixel of the photograph


@dataclass(frozen=True, slots=True)
class Sheet:
    """Still picture of a person, at ``DETAIL`` pixels per pixel of the photograph.

    Attributes:
        face: Picture without glasses.
        dressed: Picture with glasses, if the person wears any.
        landmarks: 68 landmarks, pixels of the photograph.
    """

    face: UInt8[np.ndarray, "h w 3"]
    dressed: UInt8[np.ndarray, "h w 3"]
    landmarks: Float32[np.ndarray, "68 2"]


def make_sheet(identity: Identity) -> Sheet:
    """Makes the still picture of a person: changes colours and shape of the photograph."""
    photo = f32(data.astronaut()[TOP:BOTTOM])  # type: ignore[no-untyped-call]
    landmarks = f32(LANDMARKS)
    if identity.mirrored:
        photo = np.roll(photo[:, ::-1], MIRROR_SHIFT, axis=1)
        landmarks = f32((511 + MIRROR_SHIFT, 0)) + landmarks[list(FLIP_68)] * f32((-1, 1))
    photo = recolour(photo, landmarks, identity)
    x, y = np.meshgrid(np.arange(LEFT, RIGHT, 1 / DETAIL), np.arange(TOP, BOTTOM, 1 / DETAIL))
    grid = f32(np.stack((x, y), axis=-1))
    # The shift is smooth, so it is computed only on every eighth pixel.
    shift = cv2.resize(shape_shift(grid[::8, ::8], identity), grid.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    column, row = np.moveaxis(grid - shift, -1, 0)
    face = cv2.remap(photo, column, row - TOP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    face = np.clip(face, 0, 255).astype(np.uint8)
    landed = landmarks
    for _ in range(5):  # fixed-point iteration, because the shift is defined at the new position
        landed = landmarks + shape_shift(landed, identity)
    return Sheet(face=face, dressed=put_on_glasses(face, landed, identity.glasses), landmarks=landed)


def shape_shift(points: Float32[np.ndarray, "*n 2"], identity: Identity) -> Float32[np.ndarray, "*n 2"]:
    """Returns the shift of the photograph at points of the changed picture.

    Args:
        points: Points (x, y) of the changed picture, pixels of the photograph.
        identity: Appearance of the person.
    """
    shift = np.zeros_like(points)
    for amount, feature in zip(identity.shape, FEATURES.values(), strict=True):
        for side in (1, -1) if feature.both_sides else (1,):
            centre = f32((MIDDLE + side * (feature.place[0] - MIDDLE), feature.place[1]))
            weight = np.exp(-np.square((points - centre) / np.float32(feature.reach)).sum(axis=-1, keepdims=True))
            shift += weight * f32((amount * side * feature.direction[0], amount * feature.direction[1]))
    return shift


def recolour(
    photo: Float32[np.ndarray, "h w 3"], landmarks: Float32[np.ndarray, "68 2"], identity: Identity
) -> Float32[np.ndarray, "h w 3"]:
    """Changes hair, skin, beard, suit and background; the parts are found by the colours of the photograph.

    Args:
        photo: Photograph, RGB, [0, 255].
        landmarks: 68 landmarks, pixels of the photograph.
        identity: Appearance of the person.
    """
    hue, saturation, value = np.moveaxis(cv2.cvtColor(photo.astype(np.uint8), cv2.COLOR_RGB2HSV), -1, 0)
    row, column = np.ogrid[: photo.shape[0], : photo.shape[1]]
    off_centre = abs(column - MIDDLE)
    face = fill(photo, np.concatenate((landmarks[:17], landmarks[26:16:-1] - f32((0, 16)))))
    head = cv2.ellipse(np.zeros_like(face), (round(MIDDLE), 88), (82, 84), 0, 0, 360, (1,), -1)
    _, patches = cv2.connectedComponents(((saturation < 75) & (value > 105)).astype(np.uint8))
    behind = cv2.morphologyEx((patches == patches[30, 100]).astype(np.uint8), cv2.MORPH_OPEN, disc(13))
    golden = head * ((saturation > 85) & (hue < 32) & (row < 126)).astype(np.uint8)
    curls = cv2.dilate(cv2.morphologyEx(golden, cv2.MORPH_CLOSE, disc(27)), disc(3)) * (1 - behind)
    filled = golden | ((cv2.dilate(face, disc(7)) == 0) & (row < 118))
    hair = soften(curls * filled * (cv2.erode(face, disc(9)) == 0), 1.2)
    bare = (cv2.dilate(face, disc(17)) > 0) | ((row > 150) & (row < 196) & (off_centre < 38))
    skin = soften(bare & (saturation > 25) & (saturation < 150) & (value > 70), 1.5) * (1 - hair)
    suit = soften((saturation > 110) & (hue < 14) & (row > 150) & (off_centre < 130) & (head == 0), 1.0)
    backdrop = soften(cv2.dilate(behind, disc(5)), 1.2) * (1 - hair) * (1 - skin)
    jaw = fill(photo, np.concatenate((landmarks[2:15], landmarks[[35, 33, 31]])))
    lips = soften(cv2.dilate(fill(photo, landmarks[48:60]), disc(3)), 1.5)

    out = lay_over(photo, photo * f32(identity.backdrop), backdrop)
    out = lay_over(out, turn_hue(photo, identity.suit), suit)
    out = lay_over(out, photo * f32(identity.skin), skin)
    shadow = identity.beard * cv2.GaussianBlur(f32(jaw), (0, 0), 5) * (1 - lips)
    out = lay_over(out, out * f32((0.62, 0.56, 0.54)), f32(shadow))
    return lay_over(out, photo.mean(axis=-1, keepdims=True) * f32(identity.hair) * np.float32(2.1), hair)


def put_on_glasses(
    face: UInt8[np.ndarray, "h w 3"], landmarks: Float32[np.ndarray, "68 2"], lenses: tuple[float, float]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws glasses with a dark frame; without lenses, the picture is returned unchanged.

    Args:
        face: Still picture, at ``DETAIL`` pixels per pixel of the photograph.
        landmarks: 68 landmarks, pixels of the photograph.
        lenses: Half width and half height of the lenses, pixels of the photograph; 0 for no glasses.
    """
    if not any(lenses):
        return face
    dressed, colour, fine = face.copy(), (28, 24, 26), 4  # coordinates in 16ths of a pixel
    scale = DETAIL * 2**fine

    def spot(point: NDArray[np.float32], right: float = 0.0, down: float = 0.0) -> tuple[int, int]:
        return round((float(point[0]) + right - LEFT) * scale), round((float(point[1]) + down - TOP) * scale)

    left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    wide = lenses[0]
    lines = [(spot(left, wide, -2.0), spot(right, -wide, -2.0))]
    for eye, side in ((left, -1), (right, 1)):
        size = (round(lenses[0] * scale), round(lenses[1] * scale))
        cv2.ellipse(dressed, spot(eye), size, 0, 0, 360, colour, 3, cv2.LINE_AA, fine)
        lines.append((spot(eye, side * wide, -2.0), spot(eye, side * (wide + 12), -5.0)))
    for start, end in lines:
        cv2.line(dressed, start, end, colour, 3, cv2.LINE_AA, fine)
    return dressed


def fill(photo: Float32[np.ndarray, "h w 3"], corners: Float32[np.ndarray, "k 2"]) -> UInt8[np.ndarray, "h w"]:
    """Returns the mask of a polygon: 1 inside, 0 outside.

    Args:
        photo: Picture that gives the size of the mask.
        corners: Corners (x, y) of the polygon, pixels of the photograph.
    """
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], (1,))
    return mask


def soften(mask: NDArray[Any], reach: float) -> Float32[np.ndarray, "h w"]:
    """Closes small holes of a mask and blurs its border.

    Args:
        mask: Binary mask.
        reach: Standard deviation of the blur, pixels.
    """
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc(5))
    return f32(cv2.GaussianBlur(f32(closed), (0, 0), reach))


def disc(size: int) -> UInt8[np.ndarray, "k k"]:
    """Returns a round structuring element with the given diameter, pixels."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8)


def lay_over(
    below: Float32[np.ndarray, "h w 3"], above: Float32[np.ndarray, "h w 3"], weight: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w 3"]:
    """Blends one picture over another.

    Args:
        below: Picture below.
        above: Picture above.
        weight: Weight of the picture above, [0, 1].
    """
    return f32(below + weight[..., None] * (above - below))


def turn_hue(photo: Float32[np.ndarray, "h w 3"], degrees: float) -> Float32[np.ndarray, "h w 3"]:
    """Rotates all hues and reduces the saturation, because cloth is less saturated.

    Args:
        photo: Picture, RGB, [0, 255].
        degrees: Rotation of the hue, degrees; 0 does not change the picture.
    """
    if degrees == 0:
        return photo
    hsv = f32(cv2.cvtColor(photo / np.float32(255), cv2.COLOR_RGB2HSV))
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    hsv[..., 1] *= 0.7
    return f32(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)) * np.float32(255)


def f32(values: Any) -> NDArray[np.float32]:
    """Converts values to single precision."""
    return np.asarray(values, dtype=np.float32)
