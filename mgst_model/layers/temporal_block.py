"""A block that looks along time only: each tube for itself, all with the same weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from timm.layers.drop import DropPath
from torch import Tensor, nn

from mgst_model.layers.attention import TimeAttention
from mgst_model.layers.perceptron import perceptron
from mgst_model.layers.tubes import beside


class TemporalConv(nn.Module):
    """A depthwise convolution over three frames, written as products: the layout of the tokens stays as it is."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # As torch starts a depthwise Conv1d of three taps.
        self.weight = nn.Parameter(torch.empty(3, dim).uniform_(-(3**-0.5), 3**-0.5))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, tubes: Float[Tensor, "*b t d"]) -> Float[Tensor, "*b t d"]:
        """The same shape."""
        before, after = beside(tubes)
        return before * self.weight[0] + tubes * self.weight[1] + after * self.weight[2] + self.bias


class TemporalBlock(nn.Module):
    """Convolution over time, attention over time, perceptron: pre-norm and residual.

    Args:
        dim: Channels D, even.
        heads: Attention heads; they divide ``dim``.
        mlp_ratio: Hidden width of the perceptron, in units of ``dim``.
        drop_path: Chance that a branch is skipped for a segment in training [stochastic depth, ECCV 2016]. It is drawn
            as dropout is, from the default generator of the device.
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
        """The same shape; no token hears of another tube."""
        tubes = tubes + self.drop_path(self.conv(self.norm_conv(tubes)))
        normed = self.norm_attention(tubes)
        tubes = tubes + self.drop_path(self.attention(normed, normed))
        out: Tensor = tubes + self.drop_path(self.mlp(self.norm_mlp(tubes)))
        return out
