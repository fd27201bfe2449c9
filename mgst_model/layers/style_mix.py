"""Mixes feature statistics between segments of a batch, in training only."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Both parameters of MixStyle's Beta distribution. Most draws take nearly all of one style.
_ALPHA = 0.1
_TINY = 1e-6


class StyleMix(nn.Module):
    """Mixes the channel means and standard deviations of segments within a batch [MixStyle, ICLR 2021].

    In early layers, these statistics represent the style of a picture: light, colours, sharpness and coding. A segment
    keeps its content and takes the style of another segment, in part or completely. A network that is trained on few
    clips then cannot use the style of a clip as a sign of real or fake. All frames of a segment are mixed with the
    frames of one other segment and by the same share, so that a still segment stays still. This last point is our own
    addition for segments.

    It draws from the default generator of the device, as dropout does. It has no effect in evaluation mode.

    Args:
        p: Probability that a segment is mixed, [0, 1].
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def extra_repr(self) -> str:
        """Returns the probability, for ``repr``."""
        return f"p={self.p}"

    def forward(self, maps: Float[Tensor, "n c h w"], *, frames: int) -> Float[Tensor, "n c h w"]:
        """Mixes the statistics in training mode.

        Args:
            maps: Feature maps of b segments of ``frames`` frames each, n = b * frames.
            frames: Number of frames T of a segment.
        """
        if not self.training or self.p == 0:
            return maps
        segments = maps.reshape(-1, frames, *maps.shape[1:])
        count, device = len(segments), maps.device
        var, mean = torch.var_mean(segments.float(), dim=(3, 4), keepdim=True, correction=0)
        std = (var + _TINY).sqrt()
        partner = torch.randperm(count, device=device)
        alpha = torch.full((count, 1, 1, 1, 1), _ALPHA, device=device)
        own = torch.distributions.Beta(alpha, alpha).sample()
        own = torch.where(torch.rand_like(own) < self.p, own, 1.0)
        # No gradient through the statistics [MixStyle].
        mean, std = mean.detach(), std.detach()
        gain = own + (1 - own) * std[partner] / std
        shift = own * mean + (1 - own) * mean[partner] - gain * mean
        mixed: Tensor = segments * gain.to(maps.dtype) + shift.to(maps.dtype)
        return mixed.reshape(maps.shape)
