"""Renders videos of people in front of a camera, and face swaps of these videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from mgst_data.core import seed_for
from mgst_data.core.geometry import similarity_transform
from mgst_data.demo.expression import express
from mgst_data.demo.motion import Camera, draw_motion, look
from mgst_data.demo.people import draw_identity
from mgst_data.demo.portrait import DETAIL, LEFT, MIDDLE, TOP, Sheet, f32, make_sheet, put_on_glasses

Frame = UInt8[np.ndarray, "h w 3"]
Mask = Float32[np.ndarray, "h w"]


class Person:
    """A person who talks in front of a camera.

    Args:
        number: Number of the person in the demo data set.
        seed: Seed of the demo data set.
        frames: Number of frames of the video.
        fps: Frame rate, frames per second.
        size: Width and height of the video, pixels.
    """

    def __init__(self, number: int, *, seed: int, frames: int, fps: int, size: tuple[int, int]) -> None:
        self.random = np.random.default_rng(seed_for(seed, "demo", number))
        self.identity = draw_identity(number, self.random)
        self.sheet = make_sheet(self.identity)
        self.motion = draw_motion(frames, fps, self.random)
        zoom = size[1] / 180 * self.random.uniform(0.92, 1.08)
        centre = MIDDLE + self.random.uniform(-12, 12), 102 + self.random.uniform(-5, 5)
        self.camera = Camera(size, zoom=zoom, centre=centre)
        self._light = f32(1 + self.identity.light * np.linspace(-0.5, 0.5, size[0]))[None, :, None]
        grain = f32(self.random.normal(0, self.random.uniform(1.0, 4.5), (size[1] + 32, size[0] + 32)))
        self._grain = cv2.GaussianBlur(grain, (0, 0), self.random.uniform(0.3, 0.8))

    def film(self) -> Iterator[Frame]:
        """Yields the frames of the real video."""
        for n in range(len(self.motion)):
            still = self.act(self.sheet.dressed, self.sheet.landmarks, n)
            yield self.expose(look(still, self.camera.places(self.motion, n)), n)

    def act(self, still: Frame, landmarks: Float32[np.ndarray, "68 2"], n: int) -> Frame:
        """Returns a still picture with the expression of this person in a frame.

        Args:
            still: Still picture of any person, at ``DETAIL`` pixels per pixel of the photograph.
            landmarks: 68 landmarks of the still picture, pixels of the photograph.
            n: Number of the frame.
        """
        return express(still, landmarks, mouth=float(self.motion.mouth[n]), blink=float(self.motion.blink[n]))

    def expose(self, picture: Frame, n: int, *, grain: float = 1.0) -> Frame:
        """Applies light, exposure and film grain of the camera of this person.

        Args:
            picture: Picture of the camera, [0, 255].
            n: Number of the frame.
            grain: Factor on the strength of the film grain.
        """
        height, width = picture.shape[:2]
        y, x = self.random.integers(0, 32, 2)
        exposed = picture * (self._light * self.motion.exposure[n])
        exposed += np.float32(grain) * self._grain[y : y + height, x : x + width, None]
        return np.asarray(np.clip(exposed, 0, 255, out=exposed), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Method:
    """Parameters of a face swap method.

    Attributes:
        detail: Resolution of the new face, relative to that of the video, (0, 1].
        jitter: Standard deviation of the position of the face, pixels of the photograph.
        colour: Strength of the colour matching, [0, 1].
        flicker: Standard deviation of the colour factors from frame to frame.
        border: Width of the soft border of the mask, pixels of the photograph.
        outline: Indices of the landmarks whose convex hull is replaced.
    """

    detail: float
    jitter: float
    colour: float
    flicker: float
    border: float
    outline: tuple[int, ...]


METHODS = {
    # Like the output of an autoencoder: smooth face, well matched colours, wide border far inside the face.
    "Deepfakes": Method(0.4, 0.25, 0.8, 0.004, 3.5, (*range(2, 15), *range(17, 27))),
    # Like a textured 3D model: sharp face, slightly wrong colours, narrow border with more jitter.
    "FaceSwap": Method(0.9, 0.5, 0.6, 0.008, 1.5, (*range(3, 14), *range(17, 27))),
}


def swap(
    target: Person, source: Person, film: Iterable[Frame], method: Method, random: np.random.Generator
) -> Iterator[tuple[Frame, Mask]]:
    """Replaces the face in the video of one person with the face of another person.

    Args:
        target: Person in the video.
        source: Person whose face is shown.
        film: Frames of the real video of the target.
        method: Parameters of the face swap.
        random: Random generator.

    Yields:
        Fake frame and mask: the weight of the new face at each pixel, [0, 1].
    """
    # A real generator learns the glasses of the target. Glasses of the source would be cut by the mask.
    still = put_on_glasses(source.sheet.face, source.sheet.landmarks, target.identity.glasses)
    target_mask, source_mask = (face_mask(person.sheet, method) for person in (target, source))
    gain = colour_gain(source.sheet, target.sheet, method)
    align = alignment(target.sheet, source.sheet)
    for n, frame in enumerate(film):
        places = target.camera.places(target.motion, n)
        x, y = places + f32(random.normal(0, method.jitter, (2, 1, 1)))
        on_source = np.stack([a * x + b * y + c for a, b, c in align])
        mask = look(target_mask, places) * look(source_mask, on_source)
        face = coarsen(look(target.act(still, source.sheet.landmarks, n), on_source), method.detail)
        matched = np.clip(face * (gain + f32(random.normal(0, method.flicker, 3))), 0, 255).astype(np.uint8)
        fake = f32(target.expose(matched, n, grain=0.3))
        yield np.round(frame + mask[..., None] * (fake - frame)).astype(np.uint8), mask


def face_mask(sheet: Sheet, method: Method) -> Mask:
    """Returns the mask of the part of a sheet that a method replaces; its soft border is inside the outline.

    Args:
        sheet: Still picture of a person.
        method: Parameters of the face swap.
    """
    corners = np.round((sheet.landmarks[list(method.outline)] - f32((LEFT, TOP))) * DETAIL).astype(np.int32)
    mask = np.zeros(sheet.face.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners), (1.0,))
    inset = round(2 * method.border * DETAIL) | 1
    mask = f32(cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (inset, inset))))
    return f32(cv2.GaussianBlur(mask, (0, 0), method.border * DETAIL / 2))


def colour_gain(source: Sheet, target: Sheet, method: Method) -> Float32[np.ndarray, " 3"]:
    """Returns factors that move the mean colour of one face towards that of another face.

    Args:
        source: Still picture of the face to change.
        target: Still picture of the face with the wanted colour.
        method: Parameters of the face swap.
    """
    source_colour, target_colour = (
        sheet.face[face_mask(sheet, method) > 0.5].mean(axis=0) for sheet in (source, target)
    )
    return f32(1 + method.colour * (target_colour / source_colour - 1))


def alignment(target: Sheet, source: Sheet) -> Float32[np.ndarray, "2 3"]:
    """Returns the similarity transform from the nose, eyes and mouth of one person to those of another.

    Args:
        target: Still picture of the person to map from.
        source: Still picture of the person to map to.
    """
    inner = slice(27, 68)
    return similarity_transform(
        torch.from_numpy(target.landmarks[inner]), torch.from_numpy(source.landmarks[inner])
    ).numpy()


def coarsen(picture: Frame, detail: float) -> Frame:
    """Reduces the resolution of a picture; its size does not change.

    Args:
        picture: Picture, [0, 255].
        detail: Remaining resolution, relative to the original, (0, 1].
    """
    small = cv2.resize(picture, None, fx=detail, fy=detail, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8)
