"""Features that have the style of another clip, in training only."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

# The concentration of MixStyle: nearly all of the one style or nearly all of the other.
_ALPHA = 0.1
_TINY = 1e-6


class StyleMix(nn.Module):
    """Mixes the channels' means and deviations of segments with those of others of the batch [MixStyle, ICLR 2021].

    Low in a network, these are the style of a picture: its light, colours, sharpness and coding. A segment keeps what
    it shows and is given the style of another clip, in part or as a whole, so that a network that has seen few clips
    does not take a clip's style for a forgery, or for the lack of one. All frames of a segment are mixed with the
    frames of one other and by the same share, so that a steady segment stays steady (ours).

    It draws from the generator of the device, as dropout does, and does nothing in evaluation.

    Args:
        p: How likely a segment is mixed.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def extra_repr(self) -> str:
        """The chance."""
        return f"p={self.p}"

    def forward(self, maps: Float[Tensor, "n c h w"], *, frames: int) -> Float[Tensor, "n c h w"]:
        """Mixes, in training.

        Args:
            maps: Of b segments of ``frames`` frames each, n = b * frames.
            frames: T.
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
        # Styles are given, not learnt [MixStyle]: no gradient through them.
        mean, std = mean.detach(), std.detach()
        gain = own + (1 - own) * std[partner] / std
        shift = own * mean + (1 - own) * mean[partner] - gain * mean
        mixed: Tensor = segments * gain.to(maps.dtype) + shift.to(maps.dtype)
        return mixed.reshape(maps.shape)
