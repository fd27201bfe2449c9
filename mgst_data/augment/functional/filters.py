"""Filters of pictures and noise, as pure functions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

# Multipliers of the 32-bit finaliser of MurmurHash3 (Appleby, public domain), as signed numbers.
_MIX_ONE, _MIX_TWO = 0x85EBCA6B - 2**32, 0xC2B2AE35 - 2**32


def gaussian(frames: Float[Tensor, "n t 3 h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n t 3 h w"]:
    """Blurs each segment with its own Gaussian kernel, rows first, then columns. Border pixels are repeated.

    All kernels have the size of the widest kernel of the batch, and are 0 beyond three sigma.

    Args:
        frames: Frames to blur.
        sigma: Standard deviation in pixels, on the CPU.
    """
    wide = sigma.double().clamp_min(1e-3)[:, None]
    radius = int((3 * wide.max()).ceil())
    offset = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offset / wide) ** 2) * (offset.abs() <= (3 * wide).ceil())
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(frames.device, frames.dtype, non_blocking=True)
    return correlate(correlate(frames, kernel[:, None, :]), kernel[:, :, None])


def correlate(frames: Float[Tensor, "n t 3 h w"], kernel: Float[Tensor, "n y x"]) -> Float[Tensor, "n t 3 h w"]:
    """Correlates each segment with its own kernel. Border pixels are repeated.

    Args:
        frames: Frames to filter.
        kernel: Kernel of each segment, with odd sides.
    """
    n, t, c, h, w = frames.shape
    y, x = kernel.shape[1] // 2, kernel.shape[2] // 2
    padded = functional.pad(frames.reshape(n * t, c, h, w), (x, x, y, y), mode="replicate")
    # With padding done before and every channel as a group of one batch, CPUs use a fast path.
    weight = kernel[:, None].expand(n, t * c, *kernel.shape[1:]).reshape(n * t * c, 1, *kernel.shape[1:])
    filtered = functional.conv2d(padded.reshape(1, n * t * c, *padded.shape[2:]), weight, groups=n * t * c)
    return filtered.reshape(frames.shape)


def box_mean(frames: Float[Tensor, "n t 3 h w"], radius: int) -> Float[Tensor, "n t 3 h w"]:
    """Computes means over squares, at the border over the part inside the picture.

    Args:
        frames: Frames to filter.
        radius: The sides of the squares are 2 radius + 1 pixels.
    """
    flat = frames.flatten(0, 1)
    return functional.avg_pool2d(flat, 2 * radius + 1, 1, radius, count_include_pad=False).reshape(frames.shape)


def guided(frames: Float[Tensor, "n t 3 h w"], radius: int, eps: Float[Tensor, " n"]) -> Float[Tensor, "n t 3 h w"]:
    """Smooths surfaces and keeps edges: the guided filter of a channel with itself as guide [He et al., ECCV 2010].

    Args:
        frames: Frames in [0, 1].
        radius: Radius of the windows, in pixels, at least 1.
        eps: Variance below which a window is smoothed, for each segment, on the CPU.
    """
    mean = box_mean(frames, radius)
    variance = (box_mean(frames * frames, radius) - mean * mean).clamp_min_(0)
    limit = eps.to(frames.device, frames.dtype, non_blocking=True)[:, None, None, None, None]
    share = variance / (variance + limit)
    return box_mean(share, radius) * frames + box_mean((1 - share) * mean, radius)


def hash_noise(seed: Int[Tensor, "n 2"], count: int) -> Float[Tensor, "n {count}"]:
    """Computes standard normal numbers as a function of a seed and of their position. They are the same on any device.

    The position and the first number of the seed are mixed as in the 32-bit finaliser of MurmurHash3, and the second
    number is added in the middle. The halves of the result give two normal numbers [Box and Muller, 1958]. No value is
    beyond 4.86.

    Args:
        seed: Two 31-bit numbers for each row.
        count: Numbers per row.
    """
    half = (count + 1) // 2
    one, two = seed.to(torch.int32)[:, :, None].unbind(1)
    mixed = torch.arange(half, dtype=torch.int32, device=seed.device) ^ one
    # >> keeps the sign, so the bits that it shifts in are masked. Products wrap around.
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF)).mul_(_MIX_ONE).add_(two)
    mixed.bitwise_xor_((mixed >> 13).bitwise_and_(0x7FFFF)).mul_(_MIX_TWO)
    mixed.bitwise_xor_((mixed >> 16).bitwise_and_(0xFFFF))
    radius = (mixed >> 16).bitwise_and_(0xFFFF).float().add_(0.5).div_(2**16).log_().mul_(-2).sqrt_()
    angle = mixed.bitwise_and_(0xFFFF).float().mul_(2 * math.pi / 2**16)
    noise = torch.empty(len(seed), 2 * half, device=seed.device)
    torch.mul(radius, angle.cos(), out=noise[:, :half])
    torch.mul(radius, angle.sin_(), out=noise[:, half:])
    return noise[:, :count]
