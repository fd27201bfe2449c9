"""Scaling down and up by integer factors. On a CPU several times as fast as general pooling and interpolation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.functional import opencv


def reduce(pictures: Float[Tensor, "*n h w"], factor: int) -> Float[Tensor, "*n h2 w2"]:
    """Averages blocks of ``factor`` x ``factor`` pixels.

    Args:
        pictures: Pictures of any number of dimensions. If a side is not a multiple of the factor, border pixels are
            repeated.
        factor: Integer factor, at least 1.
    """
    pictures = _to_multiple(pictures, factor)
    rows = sum(pictures[..., i::factor, :] for i in range(1, factor)) + pictures[..., ::factor, :]
    blocks: Tensor = sum(rows[..., i::factor] for i in range(1, factor)) + rows[..., ::factor]
    return blocks * (1 / factor**2)


def enlarge(pictures: Float[Tensor, "*n h w"], factor: int, size: tuple[int, int]) -> Float[Tensor, "*n h2 w2"]:
    """Enlarges pictures by bilinear interpolation, as with ``align_corners=False``.

    Args:
        pictures: Pictures of any number of dimensions.
        factor: Integer factor, at least 1.
        size: Height and width to crop the result to.
    """
    if opencv.usable(pictures):
        return opencv.enlarge(pictures, factor)[..., : size[0], : size[1]]
    *leading, height, width = pictures.shape
    tall = pictures.new_empty(*leading, factor * height, width)
    for i, phase in enumerate(_phases(pictures, factor, -2)):
        tall[..., i::factor, :] = phase
    tall = tall[..., : size[0], :]
    large = pictures.new_empty(*tall.shape[:-1], factor * width)
    for i, phase in enumerate(_phases(tall, factor, -1)):
        large[..., i::factor] = phase
    return large[..., : size[1]]


def _phases(pictures: Tensor, factor: int, dim: int) -> list[Tensor]:
    """Returns the interpolated values at each of the ``factor`` positions within a pixel, one tensor per position."""
    n = pictures.shape[dim]
    first, last = pictures.narrow(dim, 0, 1), pictures.narrow(dim, n - 1, 1)
    before = torch.cat((first, pictures.narrow(dim, 0, n - 1)), dim=dim)
    after = torch.cat((pictures.narrow(dim, 1, n - 1), last), dim=dim)
    places = [(i + 0.5) / factor - 0.5 for i in range(factor)]
    return [torch.lerp(pictures, before if at < 0 else after, abs(at)) for at in places]


def _to_multiple(pictures: Tensor, factor: int) -> Tensor:
    height, width = pictures.shape[-2:]
    down, right = -height % factor, -width % factor
    if not down and not right:
        return pictures
    flat = pictures.reshape(-1, 1, height, width)
    padded = functional.pad(flat, (0, right, 0, down), mode="replicate")
    return padded.reshape(*pictures.shape[:-2], height + down, width + right)


def mean_of_nine(pictures: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Computes the mean of each pixel and its eight neighbours. Border pixels are repeated outside the picture."""
    for dim in (-1, -2):
        n = pictures.shape[dim]
        ends = pictures.narrow(dim, 0, 1), pictures, pictures.narrow(dim, n - 1, 1)
        wide = torch.cat(ends, dim=dim)
        pictures = (wide.narrow(dim, 0, n) + wide.narrow(dim, 1, n)).add_(wide.narrow(dim, 2, n))
    return pictures * (1 / 9)


def coarsen(frames: Float[Tensor, "b t 3 h w"], factor: int, *, nearest: bool = False) -> Float[Tensor, "b t 3 h w"]:
    """Scales frames down, and up again by bilinear interpolation.

    Args:
        frames: Frames to coarsen.
        factor: Integer factor, at least 1.
        nearest: Whether scaling down takes the first pixel of every block, as OpenCV's INTER_NEAREST does; otherwise it
            averages the block.
    """
    small = frames[..., ::factor, ::factor] if nearest else reduce(frames, factor)
    return enlarge(small, factor, (frames.shape[-2], frames.shape[-1]))


def sharpen(
    frames: Float[Tensor, "b t 3 h w"],
    alpha: Float[Tensor, "b 1 1 1 1"],
    lightness: Float[Tensor, "b 1 1 1 1"] | float = 1.0,
) -> Float[Tensor, "b t 3 h w"]:
    """Mixes frames with the result of a filter that has 8 + lightness in the centre and -1 around it.

    Args:
        frames: Frames in [0, 1].
        alpha: Weight of the filter result for each segment; 0 changes nothing.
        lightness: Brightness of the filter result relative to the frames.

    Returns:
        Frames in [0, 1].
    """
    if opencv.usable(frames, alpha):
        kernel = -alpha[:, 0, 0].expand(-1, 3, 3).clone()
        kernel[:, 1, 1] = (1 + (7 + lightness) * alpha)[:, 0, 0, 0, 0]
        return opencv.correlate(frames, kernel).clamp_(0, 1)
    mixed = torch.lerp(frames, mean_of_nine(frames), -9 * alpha)
    if isinstance(lightness, Tensor) or lightness != 1:
        mixed = mixed - frames * (alpha * (1 - lightness))
    return mixed.clamp_(0, 1)
