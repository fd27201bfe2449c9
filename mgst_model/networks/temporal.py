"""The temporal patch stream: every patch of 16 x 16 pixels followed through time, on its own."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_model.layers.temporal_block import TemporalBlock
from mgst_model.layers.tubes import TubeConv, beside

# Side of a patch in pixels: two convolutions of the stem, whose stride is 4.
PATCH = TubeConv.SIDE**2
# Pixels of consecutive frames of a face differ by a sixteenth of their own spread or so: as weights start, what changes
# would be drowned by what stays. Ours.
_GAIN = 16.0


class TemporalStream(nn.Module):
    """Tokens that see one patch over time and cannot learn where in a face it lies.

    That artefacts in time are best looked for where spatial semantics are out of reach is the argument of FTCN
    [ICCV 2021] and LTTD [NeurIPS 2022]. The stem sees five frames of a patch, the blocks all of them. There is no
    position in space: exchanged patches give exchanged tokens. A still segment gives tokens without change. The stem is
    shown pixels and, magnified, what they differ by from the frame before (ours).

    Args:
        dim: Channels D of a token.
        blocks: Blocks, in three groups that run beside the stages of the spatial stream.
        heads: Attention heads.
        mlp_ratio: Hidden width of the perceptrons, in units of ``dim``.
        drop_path: Chance that the last block is skipped for a segment; it grows linearly from 0 at the first.
    """

    def __init__(self, dim: int, *, blocks: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.dim = dim
        self.stem = nn.Sequential(
            TubeConv(6, dim // 2), nn.LayerNorm(dim // 2), nn.GELU(), TubeConv(dim // 2, dim), nn.LayerNorm(dim)
        )
        rates = [drop_path * i / (blocks - 1) for i in range(blocks)]
        every = [TemporalBlock(dim, heads, mlp_ratio=mlp_ratio, drop_path=rate) for rate in rates]
        bounds = [blocks * i // 3 for i in range(4)]
        self.stages = nn.ModuleList(nn.Sequential(*every[a:b]) for a, b in pairwise(bounds))
        self.norm = nn.LayerNorm(dim)

    def start(self, frames: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b gh gw t d"]:
        """The first tokens, from frames in [0, 1]."""
        pixels = frames.permute(0, 3, 4, 1, 2) * 2 - 1
        tokens: Tensor = self.stem(torch.cat((pixels, _GAIN / 2 * (pixels - beside(pixels)[0])), dim=-1))
        return tokens

    def stage(self, index: int, tubes: Float[Tensor, "b gh gw t d"]) -> Float[Tensor, "b gh gw t d"]:
        """One of three groups of blocks."""
        out: Tensor = self.stages[index](tubes)
        return out
