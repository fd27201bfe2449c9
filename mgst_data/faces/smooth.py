"""Smoothing of landmarks over time that leaves blinks and speech alone.

A bilateral filter around locally linear motion: a frame counts for its neighbour by its distance in time, and for
every point by how far the point has moved. Noise of a still point is averaged away, while a lid that closes within two
frames has moved too far to be mixed with its open state. Filters with fixed weights cannot have both. Measured by
benchmarks/choose_smoothing.py, where more candidates are: jitter of still faces and error on moving ones, % of the eye
distance; what is left of blinks and of openings of the mouth, median and worst tenth.

                                     jitter   error   blinks      mouth
    none                               0.64    1.32   1.00 1.00   1.00 1.00
    Savitzky-Golay, 5 frames           0.35    4.06   0.99 0.84   0.97 0.73
    Savitzky-Golay, 7 frames           0.25    5.26   0.92 0.69   0.93 0.53
    Gaussian, 1 frame                  0.21    4.91   0.85 0.67   0.83 0.55
    head apart from expression         0.24    5.19   0.86 0.67   0.83 0.55
    this                               0.25    1.32   1.00 0.95   1.00 0.96
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.faces.landmarks import CHECK_REACH, face_spread

# Frames that matter on either side of a frame, its standard deviation in time, frames, and that of the motion that
# still counts as noise: relative to the face's spread (2 % of the eye distance), and never below a share of a pixel.
_REACH, _TIME, _MOTION, _PIXEL = 3, 1.5, 0.023, 0.5

# Frames of a track needed on either side of a piece, so that checking and smoothing the piece gives exactly what
# checking and smoothing the whole track gives.
CONTEXT = CHECK_REACH + _REACH


def smooth_landmarks(points: Float[Tensor, "t k 2"], valid: Bool[Tensor, "t k"]) -> Float[Tensor, "t k 2"]:
    """Smooths the landmarks of consecutive frames, without lag: the filter looks as far ahead as back.

    Every point of every frame is the value, at that frame, of a straight line fitted to the point's way through the
    frames around it, weighted by nearness in time and in place (Tomasi and Manduchi, "Bilateral filtering for gray and
    color images" (1998); with lines instead of means, so that uniform motion comes out as it is, also at the ends).

    Args:
        points: Pixels.
        valid: Points that are to be trusted; the others are left out of the filter.

    Returns:
        Pixels; points that are not valid come back as they are.
    """
    t = len(points)
    offset = torch.arange(-_REACH, _REACH + 1, device=points.device)
    around = torch.arange(t, device=points.device)[:, None] + offset
    inside = (around >= 0) & (around < t)
    around = around.clamp(0, max(0, t - 1))

    known = points.where(valid[..., None], 0)
    way = known[around] - known[:, None]
    noise = (_MOTION * face_spread(known, valid)).square() + _PIXEL**2
    apart = (offset[:, None] / _TIME).square() + way.square().sum(dim=-1) / noise[:, None, None]
    weight = torch.exp(-apart / 2) * (valid[around] & inside[..., None])

    # The line's value at the frame itself, in closed form. Far from every neighbour, only the point itself is left;
    # the small number then makes that a line, too.
    x = offset[:, None].to(points)
    s0, s1, s2 = (weight.mul(x**power).sum(dim=1) for power in (0, 1, 2))
    y0, y1 = (way.mul((weight * x**power)[..., None]).sum(dim=1) for power in (0, 1))
    s2 = s2 + 1e-6
    step = (s2[..., None] * y0 - s1[..., None] * y1) / (s0 * s2 - s1.square())[..., None]
    return torch.where(valid[..., None], points + step, points)
