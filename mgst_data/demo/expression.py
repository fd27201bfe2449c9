"""Moves the mouth and the eyes of a still picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from mgst_data.demo.portrait import DETAIL, LEFT, TOP, f32

THROAT = f32((58, 24, 26))  # colour of an open mouth


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of a sheet.

    Attributes:
        pixels: View of the pixels of the sheet, [0, 255].
        x: Column of each pixel, pixels of the photograph.
        y: Row of each pixel, pixels of the photograph.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    x: Float32[np.ndarray, "1 w"]
    y: Float32[np.ndarray, "h 1"]

    @staticmethod
    def cut(sheet: UInt8[np.ndarray, "h w 3"], left: float, top: float, right: float, bottom: float) -> Patch:
        """Cuts a rectangle out of a sheet, without a copy.

        Args:
            sheet: Still picture, at ``DETAIL`` pixels per pixel of the photograph.
            left: Left edge, pixels of the photograph.
            top: Top edge, pixels of the photograph.
            right: Right edge, pixels of the photograph.
            bottom: Bottom edge, pixels of the photograph.
        """
        x0, x1 = (round((x - LEFT) * DETAIL) for x in (left, right))
        y0, y1 = (round((y - TOP) * DETAIL) for y in (top, bottom))
        x, y = f32(np.arange(x0, x1)), f32(np.arange(y0, y1))
        return Patch(sheet[y0:y1, x0:x1], x[None] / DETAIL + LEFT, y[:, None] / DETAIL + TOP)

    def shifted(self, y: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 3"]:
        """Returns the pixels, with every column sampled at other rows ``y`` of the photograph."""
        rows = (y - self.y[0, 0]) * DETAIL
        columns = np.broadcast_to(f32(np.arange(rows.shape[1])), rows.shape)
        return f32(cv2.remap(self.pixels, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def express(
    sheet: UInt8[np.ndarray, "h w 3"], landmarks: Float32[np.ndarray, "68 2"], *, mouth: float, blink: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a still picture with another expression.

    Args:
        sheet: Still picture, at ``DETAIL`` pixels per pixel of the photograph.
        landmarks: 68 landmarks, pixels of the photograph.
        mouth: Downward shift of the lower lip, pixels of the photograph; negative values close the lips.
        blink: How far the eyes are closed, [0, 1].
    """
    moved = sheet.copy()
    move_mouth(moved, landmarks, mouth)
    if blink > 0:
        close_eye(moved, landmarks[36:42], blink)
        close_eye(moved, landmarks[42:48], blink)
    return moved


def move_mouth(sheet: UInt8[np.ndarray, "h w 3"], landmarks: Float32[np.ndarray, "68 2"], opening: float) -> None:
    """Shifts the lower lip and the chin, in place; the teeth do not move, and the opening below them is dark.

    Args:
        sheet: Still picture, at ``DETAIL`` pixels per pixel of the photograph.
        landmarks: 68 landmarks, pixels of the photograph.
        opening: Downward shift of the lower lip, pixels of the photograph; negative values close the lips.
    """
    (left, top), (right, bottom) = landmarks[60].tolist(), landmarks[64].tolist()
    lower_lip, chin = float(landmarks[66, 1]), float(landmarks[8, 1])
    middle, half = (left + right) / 2, (right - left) / 2 + 3
    patch = Patch.cut(sheet, middle - 52, top - 16, middle + 52, chin + 22)
    across = (patch.x - middle) / half
    lip = top + (bottom - top) * (across + 1) / 2 + (lower_lip - (top + bottom) / 2) * np.clip(1 - across**2, -1, 1)
    # The shifted area becomes wider towards the chin and ends below it.
    reach = half + 0.45 * np.clip(patch.y - lip, 0, None)
    ending = ease((chin + 20 - patch.y) / 22)
    shift = opening * np.clip(1 - ((patch.x - middle) / reach) ** 2, 0, 1) * ending
    source = np.where(patch.y - shift >= lip, patch.y - shift, np.minimum(patch.y, lip))
    warped = patch.shifted(source)
    gap = np.clip(np.minimum(patch.y - lip, lip + shift - patch.y) * (0.7 * DETAIL) + 0.3, 0, 1) * (abs(across) < 1)
    shade = THROAT * (0.55 + 0.45 * np.clip((patch.y - lip) / 9, 0, 1))[..., None]
    patch.pixels[...] = warped + gap[..., None] * (shade - warped)


def close_eye(sheet: UInt8[np.ndarray, "h w 3"], eye: Float32[np.ndarray, "6 2"], closing: float) -> None:
    """Moves the upper lid down over the eye, in place; the skin above it is stretched.

    Args:
        sheet: Still picture, at ``DETAIL`` pixels per pixel of the photograph.
        eye: Six landmarks of the eye, pixels of the photograph.
        closing: How far the eye is closed, [0, 1].
    """
    (left, start), (right, end) = eye[0].tolist(), eye[3].tolist()
    highest, lowest = float(eye[:, 1].min()), float(eye[:, 1].max())
    middle, half = (left + right) / 2, (right - left) / 2 + 1.5
    patch = Patch.cut(sheet, middle - half - 4, highest - 12, middle + half + 4, lowest + 6)
    corner = start + (end - start) * (patch.x - left) / (right - left)
    bow = 1 - np.clip((patch.x - middle) / half, -1, 1) ** 2
    upper = corner + (highest - 1.5 - (start + end) / 2) * bow
    lower = corner + (lowest + 1.0 - (start + end) / 2) * bow
    crease = upper - 5
    lid = upper + closing * (lower - upper)
    stretched = crease + (patch.y - crease) * (5 / (lid - crease))
    patch.pixels[...] = patch.shifted(np.where((patch.y > crease) & (patch.y < lid), stretched, patch.y))


def ease(share: Float32[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    """Maps [0, 1] to [0, 1] with a smooth start and end; other values are clipped first."""
    share = np.clip(share, 0, 1)
    return f32(share * share * (3 - 2 * share))
