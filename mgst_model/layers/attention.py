"""Attention over time, whatever the tokens belong to."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def sinusoid(length: int, width: int, like: Tensor) -> Float[Tensor, "t d"]:
    """Positions in time as sines and cosines [Attention Is All You Need, NeurIPS 2017], for any length.

    Args:
        length: Number of positions.
        width: Channels, an even number: first the sines, then the cosines.
        like: A tensor of the device and the type that are wanted.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=like.device, dtype=torch.float32) * (-math.log(10_000) / half))
    angles = torch.arange(length, device=like.device, dtype=torch.float32)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1).to(like.dtype)


class TimeAttention(nn.Module):
    """Attention of the T tokens of a tube to the T tokens of a tube: their own, or one of the other stream.

    Positions are added to what is compared (queries and keys) and not to what is handed on (values), so that tubes in
    which nothing changes stay without change. Ours.

    Args:
        queries: Channels of the tokens that ask; an even number, as are those of the context.
        context: Channels of the tokens that are asked.
        dim: Channels of queries, keys and values inside; a multiple of ``heads``.
        heads: Heads.
        closed: Starts with an output of exactly 0.
    """

    def __init__(self, queries: int, context: int, dim: int, heads: int, *, closed: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(queries, dim)
        # A bias on keys moves all comparisons of a query alike: softmax takes it out again.
        self.key = nn.Linear(context, dim, bias=False)
        self.value = nn.Linear(context, dim)
        self.out = nn.Linear(dim, queries)
        if closed:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, queries: Float[Tensor, "*b t q"], context: Float[Tensor, "*b t c"]) -> Float[Tensor, "*b t q"]:
        """What the tokens learn of the context; to be added to them."""
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
