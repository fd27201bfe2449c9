"""A block that works along time only: each tube separately, all tubes with the same weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.layers.drop import DropPath
from torch import Tensor, nn

from mgst_model.layers.attention import TimeAttention
from mgst_model.layers.perceptron import perceptron
from mgst_model.layers.tubes import beside


class TemporalConv(nn.Module):
    """A depthwise convolution over three frames, written as products, so that the memory layout of the tokens stays.

    Args:
        dim: Channels D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The initial values of a depthwise torch.nn.Conv1d with three taps.
        self.weight = nn.Parameter(torch.empty(3, dim).uniform_(-(3**-0.5), 3**-0.5))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, tubes: Float[Tensor, "*b t d"]) -> Float[Tensor, "*b t d"]:
        """Returns the convolved tokens, in the same shape."""
        before, after = beside(tubes)
        return before * self.weight[0] + tubes * self.weight[1] + after * self.weight[2] + self.bias


class TemporalBlock(nn.Module):
    """Convolution over time, attention over time and a perceptron: pre-norm and residual.

    Args:
        dim: Channels D, even.
        heads: Number of attention heads; divides ``dim``.
        mlp_ratio: Hidden width of the perceptron, in units of ``dim``.
        drop_path: Probability that a branch is skipped for a segment in training [stochastic depth, ECCV 2016]. It is
            drawn from the default generator of the device, as in dropout.
    """

    def __init__(self, dim: int, heads: int, *, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm_conv = nn.LayerNorm(dim)
        self.conv = TemporalConv(dim)
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = TimeAttention(dim, dim, dim, heads)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = perceptron(dim, round(mlp_ratio * dim))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tubes: Float[Tensor, "b gh gw t d"]) -> Float[Tensor, "b gh gw t d"]:
        """Returns tokens in the same shape. No information passes between tubes."""
        tubes = tubes + self.drop_path(self.conv(self.norm_conv(tubes)))
        normed = self.norm_attention(tubes)
        tubes = tubes + self.drop_path(self.attention(normed, normed))
        out: Tensor = tubes + self.drop_path(self.mlp(self.norm_mlp(tubes)))
        return out
