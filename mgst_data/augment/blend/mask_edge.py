"""The edge of a mask: elastic warp, erosion and blur, for a whole batch with matrix products.

Gaussian and box filters whose size differs from frame to frame are products with a band matrix on both sides. This is
fast on CPUs and on tensor cores. A smooth random field is a sum of Gaussian bumps, which is such a product too.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_data.augment.functional import opencv

# Size of the field on each side of the centre of the face, relative to the reference picture.
_REACH = 0.6
# Square of the distance, in widths, at which a Gaussian bump is cut off.
_FAR = 60.0
# A mask whose peak after the blur is lower than this counts as empty.
_NOTHING = 0.05


def field_nodes(sigma: float) -> int:
    """Returns the number of bumps per side of an elastic field: one per ``sigma``."""
    return math.ceil(2 * _REACH / sigma) + 1


def elastic_field(
    noise: Float[Tensor, "b 2 g g"],
    centre: Float[Tensor, "b t 2"],
    side: Float[Tensor, "b t"],
    sigma: float,
    window: tuple[slice, slice],
) -> Float[Tensor, "b t 2 h w"]:
    """Computes a smooth random field that moves with the face. Every value has a standard deviation of 1.

    The field is white noise under a Gaussian of width ``sigma`` [Simard et al., 2003]. That it moves with the head and
    not with the picture is our own design, so that the edge of a mask does not move over the face when the head moves.

    Args:
        noise: Standard normal noise; ``g`` is :func:`field_nodes`.
        centre: Centre of the face, pixels.
        side: Side of the reference picture (:func:`mgst_data.augment.blend.regions.reference_side`), pixels; it may
            change with the size of the face.
        sigma: Width of the Gaussian, relative to the reference picture.
        window: Rows and columns to return.
    """
    b, g = noise.shape[0], noise.shape[-1]
    t = centre.shape[1]
    nodes = torch.linspace(-_REACH, _REACH, g, device=noise.device) / sigma

    def bumps(wanted: slice, middle: Tensor) -> Float[Tensor, "b t n g"]:
        at = torch.arange(wanted.start, wanted.stop, device=noise.device)
        along = (at - middle[..., None]) / (side[..., None] * sigma)
        # Clamped, because denormal numbers make products several times as slow.
        return torch.exp((along[..., None] - nodes).square().clamp_max_(_FAR).mul_(-0.5))

    step = 2 * _REACH / (g - 1)
    rows, columns = bumps(window[0], centre[..., 1]), bumps(window[1], centre[..., 0])
    # Both planes are adjacent, so that one product serves all frames, and one serves both planes of a frame.
    planes = (noise * (step / (sigma * math.sqrt(math.pi)))).permute(0, 2, 1, 3).reshape(b, g, 2 * g)
    h, w = rows.shape[2], columns.shape[2]
    along_rows = (rows.reshape(b, t * h, g) @ planes).reshape(b, t, 2 * h, g)
    return (along_rows @ columns.mT).reshape(b, t, h, 2, w).transpose(2, 3)


def warp_mask(mask: Float[Tensor, "b t h w"], shift: Float[Tensor, "b t 2 h w"]) -> Float[Tensor, "b t h w"]:
    """Reads every pixel of a mask from the position that a displacement field gives.

    Args:
        mask: Mask of a picture, or of a window of it.
        shift: Displacement to the right and down, pixels.
    """
    b, t, h, w = mask.shape
    x = (torch.arange(w, device=mask.device) * 2 + 1) / w - 1
    y = (torch.arange(h, device=mask.device) * 2 + 1) / h - 1
    # All x come before all y in memory: writing them alternately would take several times as long.
    grid = shift.flatten(0, 1).new_empty(b * t, 2, h, w)
    grid[:, 0] = shift[:, :, 0].flatten(0, 1) * (2 / w) + x
    grid[:, 1] = shift[:, :, 1].flatten(0, 1) * (2 / h) + y[:, None]
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
    """Shrinks a mask and softens its edge, like two Gaussian blurs with all values below 1 set to 0 between them.

    After the first blur, the pixels that are still 1 are those whose whole kernel lies inside the mask. That is an
    erosion by a square. So here the first step is an erosion, and its radius may be a fraction. Outside the picture,
    border pixels of the mask are repeated.

    Kernels may differ between frames (s = t), or be the same for all frames of a segment (s = 1), which is faster.

    Args:
        mask: Mask of a picture in [0, 1], or of a window of it. Outside the window, and in a border of one pixel inside
            it, the mask must be 0.
        shrink: Radius of the first kernel, pixels: (size - 1) / 2.
        reach: Half the size of the second kernel, pixels.
        sigma: Standard deviation of the Gaussian in the second kernel, pixels.
        size: Height and width of the whole picture, pixels; by default those of the mask.
        window: Rows and columns of the picture that the mask shows; all by default.

    Returns:
        Mask in [0, 1]. The largest value of a frame is 1, unless the mask is empty.
    """
    h, w = mask.shape[-2:]
    height, width = size or (h, w)
    rows, columns = window or (slice(0, h), slice(0, w))
    if opencv.usable(mask, shrink, reach, sigma):
        soft = _filtered(mask, shrink, reach, sigma, ((height, rows), (width, columns)))
    else:
        inside = 1 - _box(h, shrink + 0.5) @ _along_rows(1 - mask, _box(w, shrink + 0.5)).clamp_(max=1)
        inside = _along_rows(inside.clamp_(min=0), _gaussian(width, columns, reach, sigma).mT)
        soft = (_gaussian(height, rows, reach, sigma) @ inside).clamp_(max=1)
    peak = soft.amax(dim=(2, 3), keepdim=True)
    return soft * ((peak > _NOTHING) / peak.clamp_min(_NOTHING))


def _filtered(
    mask: Float[Tensor, "b t h w"],
    shrink: Float[Tensor, "b s"],
    reach: Float[Tensor, "b s"],
    sigma: Float[Tensor, "b s"],
    windows: tuple[tuple[int, slice], tuple[int, slice]],
) -> Float[Tensor, "b t h w"]:
    """Does the same as the products with band matrices, on a CPU and without the zeros of the matrices.

    Args:
        mask: Window of the mask.
        shrink: Radius of the erosion, pixels.
        reach: Half the size of the Gaussian kernel, pixels.
        sigma: Standard deviation of the Gaussian, pixels.
        windows: Length of the picture, and the part of it that the mask shows: for rows, then for columns.
    """
    (b, t), longest = mask.shape[:2], max(size for size, _ in windows)
    near = torch.arange(min(math.ceil(float(shrink.max())) + 2, longest), dtype=mask.dtype)
    box = _kernels((shrink[..., None] + 1 - near).clamp_(0, 1), b, t)
    outside = 1 - mask.flatten(0, 1)
    for kernel in (box[:, None], box[:, :, None]):
        outside = opencv.correlate(outside, kernel, zeros=True).clamp_(max=1)
    soft = 1 - outside
    near = torch.arange(min(math.ceil(float(reach.max())) + 1, longest), dtype=mask.dtype)
    gaussian = _kernels(_profile(near, reach, sigma), b, t)
    sums = [_sums(gaussian, *window) for window in windows]
    soft = opencv.correlate(soft, gaussian[:, None], zeros=True).div_(sums[1][:, None])
    soft = opencv.correlate(soft, gaussian[:, :, None], zeros=True).div_(sums[0][:, :, None])
    return soft.clamp_(max=1).reshape(mask.shape)


def _kernels(profile: Float[Tensor, "b s n"], b: int, t: int) -> Float[Tensor, "{b*t} _"]:
    """Returns the symmetric kernel of every frame from its half."""
    return torch.cat((profile.flip(-1), profile[..., 1:]), dim=-1).expand(b, t, -1).flatten(0, 1)


def _sums(kernels: Float[Tensor, "n k"], size: int, window: slice) -> Float[Tensor, "n w"]:
    """Returns the sums of the weights that lie in the picture, for each pixel of a window."""
    picture = kernels.new_ones(1, 1, size)
    return functional.conv1d(picture, kernels[:, None], padding=kernels.shape[1] // 2)[0, :, window]


def _along_rows(mask: Float[Tensor, "b t h w"], kernel: Float[Tensor, "b s w w"]) -> Float[Tensor, "b t h w"]:
    """Multiplies every row by the kernel of its frame, or of its segment; with s = 1 in one product for all frames."""
    b, t, h, w = mask.shape
    return mask @ kernel if kernel.shape[1] == t else (mask.reshape(b, t * h, w) @ kernel[:, 0]).reshape(b, t, h, w)


def _box(size: int, reach: Float[Tensor, "b s"]) -> Float[Tensor, "b s size size"]:
    """Returns the share of pixel j that lies within ``reach`` of the centre of pixel i."""
    at = torch.arange(size, dtype=reach.dtype, device=reach.device)
    distance = (at[:, None] - at).abs()
    return (reach[..., None, None] + 0.5 - distance).clamp_(0, 1)


def _gaussian(
    size: int, window: slice, reach: Float[Tensor, "b s"], sigma: Float[Tensor, "b s"]
) -> Float[Tensor, "b s n n"]:
    """Returns the weights of a truncated Gaussian for a window; each row has the sum 1 over all ``size`` pixels."""
    at = torch.arange(size, dtype=reach.dtype, device=reach.device)
    profile = _profile(at, reach, sigma)
    # The matrix has one value on each diagonal.
    both = torch.cat((profile.flip(-1), profile[..., 1:]), dim=-1)
    # Row i starts so that the centre, number size - 1, is at column i.
    rows = both.unfold(-1, size, 1)[..., size - window.stop : size - window.start, :].flip(-2)
    return rows[..., window] / rows.sum(dim=-1, keepdim=True)


def _profile(
    at: Float[Tensor, " n"], reach: Float[Tensor, "b s"], sigma: Float[Tensor, "b s"]
) -> Float[Tensor, "b s n"]:
    """Returns the weights of a truncated Gaussian at some distances from its centre."""
    return torch.exp(-0.5 * (at / sigma[..., None]).square()) * (reach[..., None] + 0.5 - at).clamp(0, 1)
