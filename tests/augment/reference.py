"""Image-level self-blending in NumPy and OpenCV, one picture of 8 bits at a time: what the toolkit is compared with.

Written from the description of self-blended images [Shiohara & Yamasaki, CVPR 2022], with the published values. Nothing
of the toolkit's blending is used here, but the shape of its forehead, which is its own definition.

The published strengths refer to a wide crop (:func:`wide_crop`) at the resolution of the video.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy import ndarray

from mgst_data.augment.blend.regions import extend_forehead

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
# Weights of a blurred mask that fall short of 1 by no more than this are ones with errors of float32.
ROUNDING = 1e-6


class Blend(NamedTuple):
    """Real and fake picture of 8 bits, (h, w, 3) RGB, and the weight of the source, (h, w) in [0, 1]."""

    real: ndarray
    fake: ndarray
    mask: ndarray


def wide_crop(size: tuple[int, int], landmarks: ndarray) -> tuple[slice, slice]:
    """Rows and columns of the crop that is blended: half the width of the face on each side, its height above.

    Args:
        size: Height and width of the picture.
        landmarks: 68 points in pixels of the picture.
    """
    (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
    width, height = right - left, bottom - top
    rows = slice(max(int(top - height), 0), min(int(bottom + 0.4 * height), size[0]))
    return rows, slice(max(int(left - width / 2), 0), min(int(right + width / 2), size[1]))


def self_blend(picture: ndarray, landmarks: ndarray, random: np.random.Generator) -> Blend:
    """Blends a picture (h, w, 3) with itself; landmarks are 68 points in its pixels."""
    mask = hull(picture.shape[:2], landmarks, random)
    source, target = picture, picture
    if random.random() < 0.5:
        source = recolour(source, random)
    else:
        target = recolour(target, random)
    source, mask = move(source, mask, random)
    mask = soften(warp_elastically(mask, random), random) * np.float32(random.choice(RATIOS))
    blended = mask[..., None] * source + (1 - mask[..., None]) * target
    return Blend(target, blended.astype(np.uint8), mask)


def hull(size: tuple[int, int], landmarks: ndarray, random: np.random.Generator) -> ndarray:
    """The convex hull of the landmarks, filled; three times out of four with the forehead."""
    if random.random() >= 0.25:
        landmarks = extend_forehead(torch.from_numpy(landmarks.astype(np.float32))).numpy()
    corners = cv2.convexHull(np.round(landmarks).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(size, np.float32), corners, 1.0)


def recolour(picture: ndarray, random: np.random.Generator) -> ndarray:
    """Shifts the channels three times out of ten, and always colours and contrast; then coarsens or sharpens."""
    if random.random() < 0.3:
        picture = to_8_bits(picture + random.uniform(-20, 20, 3))
    picture = shift_hsv(picture, random.uniform(-0.3, 0.3, 3))
    contrast, brightness = 1 + random.uniform(-0.1, 0.1), random.uniform(-0.1, 0.1)
    picture = to_8_bits(picture * contrast + 255 * brightness)
    if random.random() < 0.5:
        return coarsen(picture, int(random.choice((2, 4))))
    return sharpen(picture, random.uniform(0.2, 0.5), random.uniform(0.5, 1))


def shift_hsv(picture: ndarray, shift: ndarray) -> ndarray:
    """Shifts OpenCV's 8-bit hue (180 to the circle), saturation and value; fractions of the results are cut off."""
    hue, saturation, value = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    levels = np.arange(256)
    hue = cv2.LUT(hue, np.mod(levels + shift[0], 180).astype(np.uint8))
    saturation = cv2.LUT(saturation, np.clip(levels + shift[1], 0, 255).astype(np.uint8))
    value = cv2.LUT(value, np.clip(levels + shift[2], 0, 255).astype(np.uint8))
    return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)


def coarsen(picture: ndarray, factor: int) -> ndarray:
    """Smaller by taking single pixels, and as large again by interpolation."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def sharpen(picture: ndarray, alpha: float, lightness: float) -> ndarray:
    """Mixes in the picture under a kernel with 8 + lightness in the middle and -1 around it."""
    kernel = np.full((3, 3), -alpha)
    kernel[1, 1] = 1 - alpha + alpha * (8 + lightness)
    return cv2.filter2D(picture, -1, kernel)


def move(picture: ndarray, mask: ndarray, random: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Scales about the middle of the picture and shifts, the mask too; the border is repeated."""
    height, width = picture.shape[:2]
    middle = np.array((width - 1, height - 1)) / 2
    shift = random.uniform(-1, 1, 2) * (0.03 * width, 0.015 * height)
    scale = random.uniform(0.95, 1 / 0.95)
    matrix = np.column_stack((scale * np.eye(2), middle + shift - scale * middle))

    def moved(pixels: ndarray) -> ndarray:
        return cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return moved(picture), moved(mask)


def warp_elastically(mask: ndarray, random: np.random.Generator, alpha: float = 50, sigma: float = 7) -> ndarray:
    """Uniform noise of +-1 under a Gaussian, times alpha, is how many pixels away each pixel is looked up."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = random.uniform(-1, 1, (2, height, width)).astype(np.float32)
    dx, dy = (alpha * cv2.GaussianBlur(plane, (0, 0), sigma) for plane in noise)
    return cv2.remap(mask, x + dx, y + dy, cv2.INTER_LINEAR)


def soften(mask: ndarray, random: np.random.Generator) -> ndarray:
    """Blurs, keeps what is still 1, blurs again; in a picture of 192 to 256 pixels in each direction."""
    height, width = mask.shape
    sides = [int(side) for side in random.integers(192, 257, 2)]
    small = cv2.resize(mask, sides)
    first, second = (2 * int(random.integers(2, 13)) + 1 for _ in range(2))
    small = cv2.GaussianBlur(small, (first, first), 0)
    small = np.where(small / small.max() < 1 - ROUNDING, 0, small).astype(np.float32)
    small = cv2.GaussianBlur(small, (second, second), float(random.integers(5, 46)))
    return cv2.resize(small / small.max(), (width, height))


def to_8_bits(values: ndarray) -> ndarray:
    """Rounded and clamped."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
