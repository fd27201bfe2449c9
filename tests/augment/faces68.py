"""Synthetic segments: a schematic face with 68 or 81 landmarks that moves over smooth noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mgst_data.core import Segment, generator_for


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, count: int) -> list[tuple[float, float]]:
    """Points of an ellipse from one angle to another, degrees, clockwise from the right."""
    angles = [math.radians(start + (stop - start) * i / max(count - 1, 1)) for i in range(count)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def face(k: int = 68) -> Tensor:
    """Landmarks of a frontal face in the unit square, (k, 2); k is 5, 68 or 81."""
    points = arc(0.5, 0.42, 0.27, 0.42, 180, 0, 17)  # jaw, left to right
    points += arc(0.37, 0.36, 0.1, 0.06, 200, 340, 5) + arc(0.63, 0.36, 0.1, 0.06, 200, 340, 5)  # brows
    points += [(0.5, 0.4 + 0.05 * i) for i in range(4)] + arc(0.5, 0.57, 0.06, 0.03, 180, 0, 5)  # nose
    for cx in (0.38, 0.62):  # eyes, from the left corner over the upper lid
        points += arc(cx, 0.42, 0.05, 0.022, 180, 480, 6)
    points += arc(0.5, 0.69, 0.1, 0.05, 180, 510, 12) + arc(0.5, 0.69, 0.07, 0.02, 180, 495, 8)  # lips
    if k == 5:
        return torch.tensor([(0.38, 0.42), (0.62, 0.42), (0.5, 0.57), (0.4, 0.69), (0.6, 0.69)])
    if k == 81:
        # The common 81-point model does not store the forehead from left to right.
        crown = arc(0.5, 0.42, 0.27, 0.33, 185, 355, 13)
        order = (77, 75, 76, 68, 69, 70, 71, 80, 72, 73, 79, 74, 78)
        points += [crown[order.index(i)] for i in range(68, 81)]
    return torch.tensor(points)


def make(
    b: int = 2, t: int = 4, size: int = 64, *, k: int = 68, still: bool = False, seed: int = 0, noise: float = 0.3
) -> Segment:
    """A batch of segments; the face, and the picture with it, drifts by whole pixels unless ``still``."""
    generator = generator_for(seed, "segment")
    coarse = torch.rand(b, 3, 12, 12, generator=generator)
    wide = functional.interpolate(coarse, size=(size + 16, size + 16), mode="bicubic", align_corners=False)
    wide = (wide + noise * (torch.rand(wide.shape, generator=generator) - 0.5)).clamp(0.02, 0.98)
    step = torch.zeros(t, dtype=torch.long) if still else torch.arange(t) % 8
    frames = torch.stack([wide[:, :, int(s) : int(s) + size, 8 : 8 + size] for s in step], dim=1)
    points = face(k) * size - 0.5
    landmarks = points.expand(b, t, k, 2).clone()
    landmarks[..., 1] -= step[:, None]
    return Segment.of(frames.contiguous(), landmarks)
