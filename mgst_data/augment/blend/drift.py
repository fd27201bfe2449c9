"""What varies from frame to frame: correlated noise, and the gate that says which frames are blended at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.functional import draw

GATE_MODES = ("all", "run", "scatter", "single")
# A run needs two frames within it and two beyond it.
_SHORTEST = 4


def autoregressive(
    rho: Float[Tensor, " b"], shape: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "b t ..."]:
    """First-order autoregressive noise over time, standard normal at every frame.

    e_t = rho e_(t-1) + sqrt(1 - rho^2) n_t with white n, started in its stationary state; solved for all frames at
    once. rho = 0 flickers, rho near 1 drifts.

    Args:
        rho: Correlation of neighbouring frames, [0, 1).
        shape: ``(t, ...)``; every entry beyond the frame has noise of its own.
        generator: Of the draws.
    """
    t = shape[0]
    white = torch.randn((len(rho), t, *shape[1:]), generator=generator)
    lag = torch.arange(t)[:, None] - torch.arange(t)
    rho = rho[:, None, None]
    weight = torch.where(lag >= 0, rho ** lag.clamp_min(0), 0)
    weight = torch.cat((weight[..., :1], weight[..., 1:] * (1 - rho.square()).sqrt()), dim=-1)
    return (weight @ white.flatten(2) if white.ndim > 2 else (weight @ white[..., None])[..., 0]).reshape(white.shape)


def sample_gate(
    b: int, t: int, modes: Mapping[str, float], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Bool[Tensor, "b t"]]:
    """Draws which frames are blended.

    Args:
        b: Segments.
        t: Frames of each.
        modes: How likely each of :data:`GATE_MODES` is: all frames, one run of 2 to t - 2 frames, a random scatter with
            at least one frame on either side, a single frame. Segments of less than four frames are blended in all.
        generator: Of the draws.

    Returns:
        Number of the mode, and the gate.
    """
    mode = draw.choose((b,), [modes.get(name, 0.0) for name in GATE_MODES], generator)
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
    gates = torch.stack((torch.ones(b, t, dtype=torch.bool), run, scatter, single))
    return mode, gates[mode, torch.arange(b)]
