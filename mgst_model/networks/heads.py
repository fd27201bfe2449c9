"""Heads on the streams: logits of patches, embeddings of frames, logits of frames and segments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mgst_model.layers.attention import TimeAttention
from mgst_model.layers.perceptron import perceptron
from mgst_model.layers.tubes import change


class PatchHead(nn.Module):
    """Computes a logit for every patch: whether it is inconsistent with the previous frame.

    Args:
        dim: Channels D of the tubes.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = perceptron(2 * dim, dim, 1)

    def forward(self, tubes: Float[Tensor, "b gh gw t d"]) -> Float[Tensor, "b t-1 gh gw"]:
        """Returns logits between frames t and t + 1, from the token of frame t + 1 and its change."""
        steps = change(tubes)[:, :, :, 1:]
        logits: Tensor = self.score(torch.cat((tubes[:, :, :, 1:], steps), dim=-1))
        return full_precision(logits[..., 0].permute(0, 3, 1, 2))


def pool_tubes(
    tubes: Float[Tensor, "b gh gw t d"], logits: Float[Tensor, "b t-1 gh gw"] | None
) -> Float[Tensor, "b t d"]:
    """Pools the patches of every frame to one token, with the softmax of the patch logits as weights.

    This pooling is our own, because a manipulation covers only a part of the frame and a plain mean would dilute it.
    The segment head thus looks at the patches that the patch head finds suspicious. Before training, all patches have
    nearly the same weight.

    Args:
        tubes: Tokens of the temporal stream.
        logits: Patch logits of the change to each frame but the first. The first frame uses the logits of the second.
            None for a single frame, which is pooled by a plain mean.
    """
    if logits is None:
        return tubes.mean(dim=(1, 2))
    every = torch.cat((logits[:, :1], logits), dim=1)
    weights = every.flatten(2).softmax(dim=-1).to(tubes.dtype)
    return torch.einsum("btp,bptd->btd", weights, tubes.flatten(1, 2))


class FrameHead(nn.Module):
    """Embeds every frame on the unit sphere.

    Args:
        channels: Channels of the pooled spatial features.
        embedding: Length E of an embedding.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, embedding)

    def forward(self, pooled: Float[Tensor, "b t c"]) -> Float[Tensor, "b t e"]:
        """Returns vectors of length 1, at least in float32."""
        return functional.normalize(full_precision(self.project(pooled)), dim=-1)


class SegmentHead(nn.Module):
    """One transformer layer over the frames, then a logit for each frame.

    The branches of the layer are scaled by factors that start at 0 [LayerScale, ICCV 2021]. At first, the logit of a
    frame thus does not depend on other frames.

    Args:
        channels: Channels of the pooled features, which are concatenated.
        dim: Channels inside.
        heads: Number of attention heads.
        mlp_ratio: Hidden width of the perceptron, in units of ``dim``.
    """

    def __init__(self, channels: Sequence[int], dim: int, *, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.project = nn.Linear(sum(channels), dim)
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = TimeAttention(dim, dim, dim, heads)
        self.scale_attention = nn.Parameter(torch.zeros(dim))
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = perceptron(dim, round(mlp_ratio * dim))
        self.scale_mlp = nn.Parameter(torch.zeros(dim))
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)

    def forward(self, pooled: Sequence[Float[Tensor, "b t _"]]) -> Float[Tensor, "b t"]:
        """Returns the logits of the frames. The logit of the segment is their mean."""
        tokens = self.project(torch.cat(list(pooled), dim=-1))
        normed = self.norm_attention(tokens)
        tokens = tokens + self.scale_attention * self.attention(normed, normed)
        tokens = tokens + self.scale_mlp * self.mlp(self.norm_mlp(tokens))
        return full_precision(self.score(self.norm(tokens))[..., 0])


def full_precision(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Converts half-precision numbers to float32: losses and cosine distances need more than 8 bits of mantissa."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
