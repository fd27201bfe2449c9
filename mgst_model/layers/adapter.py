"""Bottleneck adapters: a few trainable parameters in a frozen network."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from mgst_model.layers.perceptron import perceptron


class Adapter(nn.Module):
    """A residual bottleneck [adapters, ICML 2019]. Its initial output equals its input.

    Args:
        channels: Size of the last axis.
        width: Channels of the bottleneck.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.bottleneck = perceptron(channels, width, channels, closed=True)

    def forward(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Adds the output of the bottleneck to the tokens."""
        out: Tensor = tokens + self.bottleneck(self.norm(tokens))
        return out
