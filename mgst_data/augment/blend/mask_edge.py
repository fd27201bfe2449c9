"""The edge of a mask: warped elastically, shrunk and softened, for a whole batch by matrix products.

Gaussian and box filters of a size that differs from frame to frame are products with a band matrix from either side,
which suits CPUs and tensor cores alike; so is a smooth random field, a sum of Gaussian bumps.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# Reach of the field on either side of the face's centre, in pictures.
_REACH = 0.6
# Square of the distance in widths beyond which a Gaussian bump counts as nothing.
_FAR = 60.0
# A mask whose blurred peak is lower than this has been wiped out.
_NOTHING = 0.05


def field_nodes(sigma: float) -> int:
    """Bumps per side of an elastic field, one every ``sigma`` pictures."""
    return math.ceil(2 * _REACH / sigma) + 1


def elastic_field(
    noise: Float[Tensor, "b 2 g g"],
    centre: Float[Tensor, "b t 2"],
    scale: Float[Tensor, "b t"],
    size: tuple[int, int],
    sigma: float,
    window: tuple[slice, slice],
) -> Float[Tensor, "b t 2 h w"]:
    """A smooth random field that moves with the face; every value has a standard deviation of 1.

    White noise under a Gaussian of width ``sigma`` [Simard et al., 2003], but fixed to the head instead of the picture,
    so that the edge of a mask does not crawl over a moving face; that is ours.

    Args:
        noise: Standard normal; ``g`` is :func:`field_nodes`.
        centre: Of the face, in pictures.
        scale: Size of the face, relative to its mean over the segment.
        size: Of the whole picture, height and width.
        sigma: Width of the Gaussian, in pictures.
        window: Rows and columns that are wanted.
    """
    b, g = noise.shape[0], noise.shape[-1]
    t = centre.shape[1]
    nodes = torch.linspace(-_REACH, _REACH, g, device=noise.device) / sigma

    def bumps(wanted: slice, count: int, middle: Tensor) -> Float[Tensor, "b t n g"]:
        at = (torch.arange(wanted.start, wanted.stop, device=noise.device) + 0.5) / count
        along = (at - middle[..., None]) / (scale[..., None] * sigma)
        # No further than here: numbers too small to be normal make products several times as slow.
        return torch.exp((along[..., None] - nodes).square().clamp_max_(_FAR).mul_(-0.5))

    step = 2 * _REACH / (g - 1)
    rows, columns = bumps(window[0], size[0], centre[..., 1]), bumps(window[1], size[1], centre[..., 0])
    # Both planes side by side, so that one product does for all frames, and one for both planes of a frame.
    planes = (noise * (step / (sigma * math.sqrt(math.pi)))).permute(0, 2, 1, 3).reshape(b, g, 2 * g)
    h, w = rows.shape[2], columns.shape[2]
    along_rows = (rows.reshape(b, t * h, g) @ planes).reshape(b, t, 2 * h, g)
    return (along_rows @ columns.mT).reshape(b, t, h, 2, w).transpose(2, 3)


def warp_mask(
    mask: Float[Tensor, "b t h w"], shift: Float[Tensor, "b t 2 h w"], size: tuple[int, int]
) -> Float[Tensor, "b t h w"]:
    """Looks every pixel up where the field points to.

    Args:
        mask: Of a picture, or of a window of it.
        shift: To the right and down, in pictures.
        size: Of the whole picture, height and width.
    """
    b, t, h, w = mask.shape
    x = (torch.arange(w, device=mask.device) * 2 + 1) / w - 1
    y = (torch.arange(h, device=mask.device) * 2 + 1) / h - 1
    # All x lie before all y in memory: written in turns they would take several times as long.
    grid = shift.flatten(0, 1).new_empty(b * t, 2, h, w)
    grid[:, 0] = shift[:, :, 0].flatten(0, 1) * (2 * size[1] / w) + x
    grid[:, 1] = shift[:, :, 1].flatten(0, 1) * (2 * size[0] / h) + y[:, None]
    flat = mask.reshape(b * t, 1, h, w)
    warped = functional.grid_sample(flat, grid.permute(0, 2, 3, 1), align_corners=False, padding_mode="border")
    return warped.reshape(b, t, h, w)


def soften(
    mask: Float[Tensor, "b t h w"],
    shrink: Float[Tensor, "b s"],
    reach: Float[Tensor, "b s"],
    sigma: Float[Tensor, "b s"],
    *,
    size: tuple[int, int] | None = None,
    window: tuple[slice, slice] | None = None,
) -> Float[Tensor, "b t h w"]:
    """Shrinks a mask and softens its edge, as two Gaussian blurs do between which all values below 1 go to 0.

    What is left of 1 after the first blur are the pixels whose whole kernel lies inside: an erosion by a square. So the
    first blur is none here, and its radius need not be whole. Beyond the picture the mask goes on as at its border.

    Kernels may be those of single frames (s = t), or the same for all frames of a segment (s = 1), which is faster.

    Args:
        mask: [0, 1]; of a picture, or of a window of it beyond which, and a pixel around its border, it is 0.
        shrink: Radius of the first kernel, pixels: half of its size less a half.
        reach: Half the size of the second kernel, pixels.
        sigma: Width of the Gaussian in it, pixels.
        size: Of the whole picture, height and width; by default that of the mask.
        window: Rows and columns of it that the mask shows; by default all.

    Returns:
        Values in [0, 1]; the largest of a frame is 1, unless nothing is left of it.
    """
    h, w = mask.shape[-2:]
    height, width = size or (h, w)
    rows, columns = window or (slice(0, h), slice(0, w))
    inside = 1 - _box(h, shrink + 0.5) @ _along_rows(1 - mask, _box(w, shrink + 0.5)).clamp_(max=1)
    inside = _along_rows(inside.clamp_(min=0), _gaussian(width, columns, reach, sigma).mT)
    soft = (_gaussian(height, rows, reach, sigma) @ inside).clamp_(max=1)
    peak = soft.amax(dim=(2, 3), keepdim=True)
    return soft * ((peak > _NOTHING) / peak.clamp_min(_NOTHING))


def _along_rows(mask: Float[Tensor, "b t h w"], kernel: Float[Tensor, "b s w w"]) -> Float[Tensor, "b t h w"]:
    """Every row of every frame, times the kernel of its frame, or of its segment: one product for all frames then."""
    b, t, h, w = mask.shape
    return mask @ kernel if kernel.shape[1] == t else (mask.reshape(b, t * h, w) @ kernel[:, 0]).reshape(b, t, h, w)


def _box(size: int, reach: Float[Tensor, "b s"]) -> Float[Tensor, "b s size size"]:
    """Share of pixel j that lies within ``reach`` of the middle of pixel i."""
    at = torch.arange(size, dtype=reach.dtype, device=reach.device)
    distance = (at[:, None] - at).abs()
    return (reach[..., None, None] + 0.5 - distance).clamp_(0, 1)


def _gaussian(
    size: int, window: slice, reach: Float[Tensor, "b s"], sigma: Float[Tensor, "b s"]
) -> Float[Tensor, "b s n n"]:
    """Weights of a truncated Gaussian; each row has the sum 1 over ``size`` pixels, of which the window is shown."""
    at = torch.arange(size, dtype=reach.dtype, device=reach.device)
    profile = torch.exp(-0.5 * (at / sigma[..., None]).square()) * (reach[..., None] + 0.5 - at).clamp(0, 1)
    # The matrix has one value on each diagonal.
    both = torch.cat((profile.flip(-1), profile[..., 1:]), dim=-1)
    # Row i begins where the middle, number size - 1, stands at column i.
    rows = both.unfold(-1, size, 1)[..., size - window.stop : size - window.start, :].flip(-2)
    return rows[..., window] / rows.sum(dim=-1, keepdim=True)
