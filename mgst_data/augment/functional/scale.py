"""Down- and up-scaling by whole factors, several times as fast on a CPU as pooling and interpolation in general."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def reduce(pictures: Float[Tensor, "*n h w"], factor: int) -> Float[Tensor, "*n h2 w2"]:
    """Averages blocks of ``factor`` x ``factor`` pixels; pictures that end within a block go on as at their border."""
    pictures = _to_multiple(pictures, factor)
    rows = sum(pictures[..., i::factor, :] for i in range(1, factor)) + pictures[..., ::factor, :]
    blocks: Tensor = sum(rows[..., i::factor] for i in range(1, factor)) + rows[..., ::factor]
    return blocks * (1 / factor**2)


def enlarge(pictures: Float[Tensor, "*n h w"], factor: int, size: tuple[int, int]) -> Float[Tensor, "*n h2 w2"]:
    """Bilinear interpolation, as with ``align_corners=False``.

    Args:
        pictures: Of any number of dimensions.
        factor: Whole.
        size: Height and width to cut the result to.
    """
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
    """What lies at the same place in every pixel, place by place."""
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
    """Mean over each pixel and its eight neighbours; pictures go on as at their border."""
    for dim in (-1, -2):
        n = pictures.shape[dim]
        ends = pictures.narrow(dim, 0, 1), pictures, pictures.narrow(dim, n - 1, 1)
        wide = torch.cat(ends, dim=dim)
        pictures = (wide.narrow(dim, 0, n) + wide.narrow(dim, 1, n)).add_(wide.narrow(dim, 2, n))
    return pictures * (1 / 9)


def coarsen(frames: Float[Tensor, "b t 3 h w"], factor: int) -> Float[Tensor, "b t 3 h w"]:
    """Makes frames smaller by averaging, and as large again by linear interpolation."""
    return enlarge(reduce(frames, factor), factor, (frames.shape[-2], frames.shape[-1]))


def sharpen(frames: Float[Tensor, "b t 3 h w"], alpha: Float[Tensor, "b 1 1 1 1"]) -> Float[Tensor, "b t 3 h w"]:
    """Mixes in the picture under the kernel with 9 in the middle and -1 around it, with weight ``alpha``; [0, 1]."""
    return torch.lerp(frames, mean_of_nine(frames), -9 * alpha).clamp_(0, 1)
