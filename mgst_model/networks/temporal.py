"""The temporal stream: every patch of 16 x 16 pixels over time, independent of all other patches."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_model.layers.temporal_block import TemporalBlock
from mgst_model.layers.tubes import TubeConv, beside

# Side of a patch in pixels: the stem has two convolutions of stride 4.
PATCH = TubeConv.SIDE**2
# Factor of frame differences. Pixels of consecutive frames of a face differ by about 1/16 of their standard deviation.
# Without the factor, the constant part would dominate the initial features. The factor is our own choice.
_GAIN = 16.0


class TemporalStream(nn.Module):
    """Tokens that see one patch over time and cannot learn its position in the face.

    Temporal artefacts are easier to find where spatial semantics are not available; this is the argument of FTCN [ICCV
    2021] and LTTD [NeurIPS 2022]. The stem sees five frames of a patch, the blocks see all frames. There are no spatial
    positions: permuted patches give permuted tokens. A still segment gives constant tokens. The input of the stem is
    the pixels and their difference from the previous frame, multiplied by a factor. This input is our own design: it
    makes small changes visible from the start.

    Args:
        dim: Channels D of a token.
        blocks: Number of blocks, in three groups that run in parallel with the stages of the spatial stream.
        heads: Number of attention heads.
        mlp_ratio: Hidden width of the perceptrons, in units of ``dim``.
        drop_path: Probability that the last block is skipped for a segment; it grows linearly from 0 at the first
            block.
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
        """Returns the first tokens, from frames in [0, 1]."""
        pixels = frames.permute(0, 3, 4, 1, 2) * 2 - 1
        tokens: Tensor = self.stem(torch.cat((pixels, _GAIN / 2 * (pixels - beside(pixels)[0])), dim=-1))
        return tokens

    def stage(self, index: int, tubes: Float[Tensor, "b gh gw t d"]) -> Float[Tensor, "b gh gw t d"]:
        """Runs one of three groups of blocks.

        Args:
            index: 0, 1 or 2.
            tubes: Tokens of the previous group, or of :meth:`start`.
        """
        out: Tensor = self.stages[index](tubes)
        return out
