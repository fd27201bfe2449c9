"""Cross-guidance: the spatial stream tells the temporal stream where to look, and the temporal stream tells when.

The abstract of the method only names a mechanism that uses the relation between spatial artefacts and temporal
inconsistencies. The layers here are therefore our own design. All of them are residual and start at exactly 0, so an
untrained network with guidance equals the network without it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_model.layers.attention import TimeAttention
from mgst_model.layers.perceptron import perceptron
from mgst_model.layers.tubes import change, frames_to_tubes, resize, tubes_to_frames
from mgst_model.networks.network_config import Guidance

Maps = Float[Tensor, "n c h w"]
Tubes = Float[Tensor, "b gh gw t d"]


class WhereToLook(nn.Module):
    """Guides the temporal stream: a saliency map of every frame re-weights its tokens, by a factor in (0, 2).

    Args:
        channels: Channels C of the spatial features.
        dim: Channels D of the tubes, and of the hidden layer here.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.saliency = perceptron(channels, dim, 1, closed=True)

    def forward(self, spatial: Float[Tensor, "b gh gw t c"], tubes: Tubes) -> Tubes:
        """Returns what the caller adds to the tubes.

        Args:
            spatial: Normalised spatial features on the grid of the tubes.
            tubes: Tokens of the temporal stream.
        """
        gate: Tensor = self.saliency(spatial).tanh()
        return gate * tubes


class WhenToLook(nn.Module):
    """Guides the spatial stream: change in a frame gates its channels, and is added to its features where it occurs.

    The gate is computed from grid means of the tokens and of their change since the previous frame. It re-weights
    channels by a factor in (0, 2).

    Args:
        channels: Channels C of the spatial features.
        dim: Channels D of the tubes, and of the hidden layer here.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.gate = perceptron(2 * dim, dim, channels, closed=True)
        self.map = nn.Linear(dim, channels, bias=False)
        nn.init.zeros_(self.map.weight)

    def forward(self, tubes: Tubes, maps: Maps) -> Maps:
        """Returns what the caller adds to the feature maps.

        Args:
            tubes: Normalised tokens of the temporal stream.
            maps: Feature maps of the spatial stream.
        """
        steps = change(tubes)
        # Means over the grid have shape (b, t, d). They are flattened to one row per frame, as in the maps.
        pooled = [tokens.mean(dim=(1, 2)).flatten(0, 1) for tokens in (tubes, steps)]
        gate: Tensor = self.gate(torch.cat(pooled, dim=1)).tanh()[:, :, None, None]
        happening = resize(tubes_to_frames(self.map(steps)), (maps.shape[-2], maps.shape[-1]))
        return gate * maps + happening


class TubeQuestions(nn.Module):
    """Factorised cross-attention: a token attends to the tube of the other stream at its place and around it.

    The tokens of the other stream are first mixed with their 3 x 3 neighbours (space). The attention then covers all
    frames (time).

    Args:
        queries: Channels of the query tokens.
        context: Channels of the context tokens.
        dim: Channels inside.
        heads: Number of attention heads.
    """

    def __init__(self, queries: int, context: int, dim: int, heads: int) -> None:
        super().__init__()
        self.neighbours = nn.Conv2d(context, context, 3, padding=1, groups=context)
        self.attention = TimeAttention(queries, context, dim, heads, closed=True)

    def forward(self, queries: Float[Tensor, "b gh gw t q"], context: Float[Tensor, "b gh gw t c"]) -> Tensor:
        """Returns what the caller adds to the query tokens, ``(b, gh, gw, t, q)``.

        Args:
            queries: Query tokens of one stream.
            context: Context tokens of the other stream.
        """
        around = tubes_to_frames(context)
        around = around + self.neighbours(around)
        found: Tensor = self.attention(queries, frames_to_tubes(around, context.shape[3]))
        return found


class CrossGuidance(nn.Module):
    """Cross-guidance after one stage, in one or both directions. Both directions start from the features before it.

    Args:
        channels: Channels C of the spatial features.
        dim: Channels D of the tubes.
        way: Direction of guidance.
        heads: Number of attention heads of the cross-attention; 0 leaves the cross-attention out.
    """

    def __init__(self, channels: int, dim: int, *, way: Guidance = "both", heads: int = 0) -> None:
        super().__init__()
        to_temporal = way in ("both", "spatial_to_temporal")
        to_spatial = way in ("both", "temporal_to_spatial")
        asked = heads > 0
        self.norm_spatial = nn.LayerNorm(channels) if to_temporal or (to_spatial and asked) else None
        self.norm_tubes = nn.LayerNorm(dim) if to_spatial or (to_temporal and asked) else None
        self.where = WhereToLook(channels, dim) if to_temporal else None
        self.when = WhenToLook(channels, dim) if to_spatial else None
        self.ask_spatial = TubeQuestions(dim, channels, dim, heads) if to_temporal and asked else None
        self.ask_temporal = TubeQuestions(channels, dim, dim, heads) if to_spatial and asked else None

    def forward(self, maps: Maps, tubes: Tubes) -> tuple[Maps, Tubes]:
        """Returns feature maps and tubes after guidance.

        Args:
            maps: Feature maps of the spatial stream.
            tubes: Tokens of the temporal stream. Their grid may differ from that of the maps.
        """
        grid = (tubes.shape[1], tubes.shape[2])
        new_maps, new_tubes = maps, tubes
        spatial, temporal = None, None
        if self.norm_spatial is not None:
            spatial = self.norm_spatial(frames_to_tubes(resize(maps, grid), tubes.shape[3]))
        if self.norm_tubes is not None:
            temporal = self.norm_tubes(tubes)
        if self.where is not None:
            new_tubes = new_tubes + self.where(spatial, tubes)
        if self.when is not None:
            new_maps = new_maps + self.when(temporal, maps)
        if self.ask_spatial is not None:
            new_tubes = new_tubes + self.ask_spatial(temporal, spatial)
        if self.ask_temporal is not None:
            found = tubes_to_frames(self.ask_temporal(spatial, temporal))
            new_maps = new_maps + resize(found, (maps.shape[-2], maps.shape[-1]))
        return new_maps, new_tubes
