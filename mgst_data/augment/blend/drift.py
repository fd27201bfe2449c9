"""Variation from frame to frame: correlated noise, and the frame mask that selects the blended frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.functional import draw

FRAME_MASKS = ("all", "run", "scatter", "single")
# A run needs two frames inside and two outside.
_SHORTEST = 4


def autoregressive(
    rho: Float[Tensor, " b"], shape: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "b t ..."]:
    """Draws first-order autoregressive noise over time, standard normal at every frame.

    e_t = rho e_(t-1) + sqrt(1 - rho^2) n_t with white noise n, started in its stationary state. All frames are computed
    at once. rho = 0 gives independent noise in every frame, rho near 1 a slow drift.

    Args:
        rho: Correlation of neighbouring frames, [0, 1).
        shape: Shape ``(t, ...)`` of the noise of one segment. Every entry of ``...`` has independent noise.
        generator: Random generator on the CPU.
    """
    t = shape[0]
    white = torch.randn((len(rho), t, *shape[1:]), generator=generator)
    lag = torch.arange(t)[:, None] - torch.arange(t)
    rho = rho[:, None, None]
    weight = torch.where(lag >= 0, rho ** lag.clamp_min(0), 0)
    weight = torch.cat((weight[..., :1], weight[..., 1:] * (1 - rho.square()).sqrt()), dim=-1)
    return (weight @ white.flatten(2) if white.ndim > 2 else (weight @ white[..., None])[..., 0]).reshape(white.shape)


def sample_frame_mask(
    b: int, t: int, modes: Mapping[str, float], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Bool[Tensor, "b t"]]:
    """Draws which frames are blended.

    Args:
        b: Number of segments.
        t: Frames of each segment.
        modes: Relative probability of each of :data:`FRAME_MASKS`: all frames, one run of 2 to t - 2 frames, random
            frames with at least one frame blended and one not, a single frame. In segments of less than four frames,
            all frames are blended.
        generator: Random generator on the CPU.

    Returns:
        Number of the mode, and the frame mask.
    """
    mode = draw.choose((b,), [modes.get(name, 0.0) for name in FRAME_MASKS], generator)
    at = torch.arange(t)
    length = 2 + (torch.rand(b, generator=generator) * max(t - 3, 1)).long()
    start = (torch.rand(b, generator=generator) * (t - length + 1).clamp_min(1)).long()
    run = (at >= start[:, None]) & (at < (start + length)[:, None])
    order = torch.rand(b, t, generator=generator).argsort(dim=1)
    scatter = torch.rand(b, t, generator=generator) < 0.5
    if t > 1:
        scatter = scatter.scatter(1, order[:, :1], value=True).scatter(1, order[:, 1:2], value=False)
    single = at == order[:, :1]
    if t < _SHORTEST:
        mode = torch.zeros_like(mode)
    frame_masks = torch.stack((torch.ones(b, t, dtype=torch.bool), run, scatter, single))
    return mode, frame_masks[mode, torch.arange(b)]
