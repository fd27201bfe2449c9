"""Blending in a Laplacian pyramid: coarse structure over a wide edge, fine structure over a narrow edge.

This is our own code because ``kornia.geometry.build_laplacian_pyramid`` pads pictures to powers of two, and because a
blend needs only one pyramid, that of the difference, instead of one for each picture.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def pyramid_blend(
    target: Float[Tensor, "n c h w"], source: Float[Tensor, "n c h w"], mask: Float[Tensor, "n 1 h w"], levels: int
) -> Float[Tensor, "n c h w"]:
    """Blends every band of two pictures with the mask at the resolution of the band [Burt & Adelson, 1983].

    Args:
        target: Pictures that are shown where the mask is 0.
        source: Pictures that are shown where the mask is 1.
        mask: Weight of the source, [0, 1].
        levels: Number of bands, including the coarsest; less if the pictures are too small for them.

    Returns:
        Blended pictures in [0, 1]. They differ from the target also in a border outside the mask.
    """
    # A blend is the target plus the weighted bands of the difference: one pyramid instead of two.
    rest, weight = source - target, mask
    bands = []
    for _ in range(levels - 1):
        if min(rest.shape[-2:]) < 4:
            break
        small = functional.avg_pool2d(rest, 2, ceil_mode=True)
        bands.append((rest - _enlarge(small, rest), weight))
        rest, weight = small, functional.avg_pool2d(weight, 2, ceil_mode=True)
    blended = rest * weight
    for band, share in reversed(bands):
        blended = _enlarge(blended, band) + band * share
    return (target + blended).clamp_(0, 1)


def _enlarge(small: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(small, size=like.shape[-2:], mode="bilinear", align_corners=False)
