"""Motion of the head of a talking person, and the camera that records it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Shaped

from mgst_data.demo.expression import ease
from mgst_data.demo.portrait import DETAIL, LEFT, MIDDLE, TOP, f32

NECK = 185  # centre of the head rotation: row of the photograph


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion of a person, with one value per frame; lengths are in pixels of the photograph.

    Attributes:
        turn: Shift of the centre of the face against its outline, to the right and down.
        roll: Rotation about the neck, radians.
        shift: Translation of the head, to the right and down.
        scale: Factor on the size of the head.
        mouth: Downward shift of the lower lip; negative values close the lips.
        blink: How far the eyes are closed, [0, 1].
        exposure: Factor on the brightness of the picture.
    """

    turn: Float32[np.ndarray, "t 2"]
    roll: Float32[np.ndarray, " t"]
    shift: Float32[np.ndarray, "t 2"]
    scale: Float32[np.ndarray, " t"]
    mouth: Float32[np.ndarray, " t"]
    blink: Float32[np.ndarray, " t"]
    exposure: Float32[np.ndarray, " t"]

    def __len__(self) -> int:
        return len(self.roll)


def draw_motion(frames: int, fps: int, random: np.random.Generator) -> Motion:
    """Draws the motion of a person who slowly looks around, speaks syllables with pauses, and blinks.

    Args:
        frames: Number of frames.
        fps: Frame rate, frames per second.
        random: Random generator.
    """
    time = np.arange(frames) / fps

    def wander(amount: float, slowest: float = 0.15, fastest: float = 0.8) -> Float32[np.ndarray, " t"]:
        rates, phases = random.uniform(slowest, fastest, 3), random.uniform(0, 2 * np.pi, 3)
        waves = np.sin(2 * np.pi * rates * time[:, None] + phases) * random.uniform(0.3, 1, 3)
        return f32(amount * waves.mean(axis=1))

    syllables = wander(10.0, 2.5, 4.5) + wander(6.0, 4.0, 7.0)
    speech = np.clip(0.7 + wander(3.0, 0.4, 0.9), 0, 1)
    blink = np.zeros(frames)
    moment = random.uniform(0.2, 1.2)
    while moment < frames / fps:
        blink = np.maximum(blink, np.clip(1.3 - abs(time - moment) / 0.08, 0, 1))
        moment += random.uniform(0.9, 2.4)
    return Motion(
        turn=np.stack((wander(14.0), wander(7.0)), axis=1),
        roll=wander(0.09),
        shift=np.stack((wander(8.0), wander(4.0)), axis=1),
        scale=1 + wander(0.04),
        mouth=np.clip(1 + syllables * speech, -5, 7),
        blink=f32(blink),
        exposure=1 + wander(0.05),
    )


class Camera:
    """A camera that shows a moving head in front of a still background.

    Args:
        size: Width and height of the picture, pixels.
        zoom: Pixels of the picture per pixel of the photograph.
        centre: Point (x, y) of the photograph in the centre of the picture.
    """

    def __init__(self, size: tuple[int, int], *, zoom: float, centre: tuple[float, float]) -> None:
        row, column = np.indices(size[::-1], dtype=np.float32)
        self._x = (column - size[0] / 2) / np.float32(zoom) + np.float32(centre[0])
        self._y = (row - size[1] / 2) / np.float32(zoom) + np.float32(centre[1])
        self._head = ease((2.6 - self._distance(95.0, 66.0, 92.0)) / 1.6)
        nose = np.exp(-self._distance(127.0, 9.0, 13.0))
        self._depth = np.clip(1 - self._distance(112.0, 56.0, 78.0), 0, 1) + np.float32(0.3) * nose

    def places(self, motion: Motion, frame: int) -> Float32[np.ndarray, "2 h w"]:
        """Returns column and row of the photograph for each pixel of the picture.

        Args:
            motion: Motion of the person.
            frame: Number of the frame.
        """
        sine, cosine = np.sin(motion.roll[frame]), np.cos(motion.roll[frame])
        x, y = self._x - np.float32(MIDDLE), self._y - np.float32(NECK)
        (right, down), (yaw, pitch), scale = motion.shift[frame], motion.turn[frame], motion.scale[frame]
        away_x = (cosine * x + sine * y) / scale - x - right - yaw * self._depth
        away_y = (cosine * y - sine * x) / scale - y - down - pitch * self._depth
        return np.stack((self._x + self._head * away_x, self._y + self._head * away_y))

    def _distance(self, row: float, width: float, height: float) -> Float32[np.ndarray, "h w"]:
        """Returns the squared elliptic distance from a point on the vertical axis of the face; 1 on the ellipse."""
        return f32(((self._x - MIDDLE) / width) ** 2 + ((self._y - row) / height) ** 2)


def look(picture: Shaped[np.ndarray, "y x *c"], places: Float32[np.ndarray, "2 h w"]) -> Shaped[np.ndarray, "h w *c"]:
    """Returns the camera picture of a sheet, or of a mask with the size of a sheet.

    Args:
        picture: Sheet or mask, at ``DETAIL`` pixels per pixel of the photograph.
        places: Column and row of the photograph for each pixel of the picture.
    """
    column, row = (places[0] - LEFT) * np.float32(DETAIL), (places[1] - TOP) * np.float32(DETAIL)
    return cv2.remap(picture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
