"""Attention over time, for tokens of any kind."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def sinusoid(length: int, width: int, like: Tensor) -> Float[Tensor, "t d"]:
    """Returns positions in time as sines and cosines [Attention Is All You Need, NeurIPS 2017], for any length.

    Args:
        length: Number of positions.
        width: Number of channels, even: first the sines, then the cosines.
        like: A tensor with the wanted device and dtype.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=like.device, dtype=torch.float32) * (-math.log(10_000) / half))
    angles = torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1).to(like.dtype)


class TimeAttention(nn.Module):
    """Attention from the T tokens of one tube to the T tokens of a tube of the same or of the other stream.

    Positions are added to queries and keys, and not to values. If nothing changes in a tube, its output does not change
    over time either. This is our own design, so that a still segment gives constant tokens.

    Args:
        queries: Channels of the query tokens, an even number.
        context: Channels of the context tokens, an even number.
        dim: Channels of queries, keys and values inside; a multiple of ``heads``.
        heads: Number of attention heads.
        closed: Whether the initial output is exactly 0.
    """

    def __init__(self, queries: int, context: int, dim: int, heads: int, *, closed: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(queries, dim)
        # A bias of the keys adds the same number to all scores of a query, and the softmax removes it.
        self.key = nn.Linear(context, dim, bias=False)
        self.value = nn.Linear(context, dim)
        self.out = nn.Linear(dim, queries)
        if closed:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, queries: Float[Tensor, "*b t q"], context: Float[Tensor, "*b t c"]) -> Float[Tensor, "*b t q"]:
        """Returns what the caller adds to the query tokens.

        Args:
            queries: Query tokens of T frames.
            context: Context tokens of the same T frames.
        """
        length = queries.shape[-2]
        q = self._split(self.query(queries + sinusoid(length, queries.shape[-1], queries)))
        k = self._split(self.key(context + sinusoid(length, context.shape[-1], context)))
        v = self._split(self.value(context))
        found = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(found.transpose(1, 2).flatten(2).reshape(*queries.shape[:-1], -1))
        return out

    def _split(self, tokens: Float[Tensor, "*b t d"]) -> Float[Tensor, "n heads t e"]:
        length, width = tokens.shape[-2:]
        return tokens.reshape(-1, length, self.heads, width // self.heads).transpose(1, 2)
