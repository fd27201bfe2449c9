"""Tubes: the same patch in consecutive frames.

Tokens of tubes have the shape ``b gh gw t d``, so that all operations over time work on the last two axes. Features of
frames have the shape ``n c h w`` with n = b * t. Axes are always permuted before they are merged.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def tubes_to_frames(tubes: Float[Tensor, "b gh gw t d"]) -> Float[Tensor, "n d gh gw"]:
    """Returns one feature map per frame, n = b * t. Frames of a segment follow each other."""
    return tubes.permute(0, 3, 1, 2, 4).flatten(0, 1).permute(0, 3, 1, 2)


def frames_to_tubes(frames: Float[Tensor, "n c gh gw"], length: int) -> Float[Tensor, "b gh gw t c"]:
    """Reverses :func:`tubes_to_frames`.

    Args:
        frames: Feature maps of n = b * t frames.
        length: Number of frames T of a segment.
    """
    return frames.reshape(-1, length, *frames.shape[1:]).permute(0, 3, 4, 1, 2)


def change(tubes: Float[Tensor, "*b t d"]) -> Float[Tensor, "*b t d"]:
    """Returns the absolute difference of every token from the previous token of its tube; 0 in the first frame."""
    steps = (tubes[..., 1:, :] - tubes[..., :-1, :]).abs()
    return torch.cat((torch.zeros_like(tubes[..., :1, :]), steps), dim=-2)


def resize(maps: Float[Tensor, "n c h w"], size: tuple[int, int]) -> Float[Tensor, "n c gh gw"]:
    """Resizes maps: area means where they shrink, bilinear interpolation where they grow.

    Args:
        maps: Feature maps.
        size: Height and width of the result.
    """
    if maps.shape[-2:] == size:
        return maps
    if size[0] <= maps.shape[-2] and size[1] <= maps.shape[-1]:
        return functional.adaptive_avg_pool2d(maps, size)
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def beside(tubes: Float[Tensor, "*b t d"]) -> tuple[Float[Tensor, "*b t d"], Float[Tensor, "*b t d"]]:
    """Returns the previous and the next token of every token.

    The first and the last token are their own neighbours. With zeros there, the ends of a still segment would look like
    a change.
    """
    before = torch.cat((tubes[..., :1, :], tubes[..., :-1, :]), dim=-2)
    after = torch.cat((tubes[..., 1:, :], tubes[..., -1:, :]), dim=-2)
    return before, after


class TubeConv(nn.Module):
    """A convolution over three frames and non-overlapping patches of 4 x 4.

    Kernel and stride are equal in space, so a patch receives nothing from its neighbours. It is the matrix product of a
    ``Conv3d`` with kernel (3, 4, 4) and stride (1, 4, 4), without its change of memory layout.

    Args:
        channels: Channels of the input.
        width: Channels of the output.
    """

    SIDE = 4

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels * self.SIDE**2, 3 * width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tubes: Float[Tensor, "b h w t c"]) -> Float[Tensor, "b gh gw t d"]:
        """Returns the tokens of the patches; h and w must be multiples of 4."""
        side = self.SIDE
        b, h, w, t, c = tubes.shape
        patches = tubes.reshape(b, h // side, side, w // side, side, t, c).permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
        past, present, future = self.weight(patches).chunk(3, dim=-1)
        out: Tensor = beside(past)[0] + present + beside(future)[1] + self.bias
        return out
