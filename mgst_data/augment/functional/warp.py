"""Affine resampling of pictures and of whole segments, and the labels of pixels that leave the picture.

A matrix (2, 3) acts on pixels: column x, then row y; the centre of the first pixel is (0, 0). It maps each output pixel
to the input position that it is read from, as resampling needs it. Points move by its :func:`inverse`.

This is our own code because ``kornia.geometry.warp_affine`` (0.9) takes twice as long on one core. It also moves only
pictures: no patch labels, which have their own grid, and it does not lower labels where a mask is lost.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_data.core.labels import PATCH_THRESHOLD, frame_label_of, patches
from mgst_data.core.segment import Segment


def affine_grid(
    matrix: Float[Tensor, "n 2 3"], size: tuple[int, int], source: tuple[int, int] | None = None
) -> Float[Tensor, "n h w 2"]:
    """Computes where each output pixel is read from, in the coordinates of ``grid_sample``.

    The result is a sum of one term per row and one per column. On a CPU this is tens of times as fast as
    ``torch.nn.functional.affine_grid``, which multiplies matrices. Coordinates are always float32, because half
    precision would give errors of whole pixels.

    Args:
        matrix: Affine maps from output pixels to input pixels.
        size: Height and width of the output.
        source: Height and width of the input; the same as ``size`` by default.

    Returns:
        x and y in [-1, 1]; -1 and 1 are the outer edges of the picture (``align_corners=False``).
    """
    height, width = size
    matrix = matrix.float()
    column = torch.arange(width, dtype=torch.float32, device=matrix.device)
    row = torch.arange(height, dtype=torch.float32, device=matrix.device)
    # Filled on the device: a tensor made from a list would be copied there, and the CPU would wait for the copy.
    from_height, from_width = source or size
    to_unit = torch.cat((column.new_full((1, 1), 2 / from_width), column.new_full((1, 1), 2 / from_height)))
    along = matrix[:, :, 0, None] * column + (matrix[:, :, 2, None] + 0.5)
    down = matrix[:, :, 1, None] * row
    # All x come before all y in memory: adding with a stride of two would take ten times as long.
    unit = (along * to_unit - 1)[:, :, None, :] + (down * to_unit)[:, :, :, None]
    return unit.permute(0, 2, 3, 1)


def resample(
    pictures: Float[Tensor, "n c h w"], grid: Float[Tensor, "n y x 2"], padding: str = "border"
) -> Float[Tensor, "n c y x"]:
    """Reads pixels with bilinear interpolation, computed in float32. The result has the dtype of the pictures.

    Args:
        pictures: Pictures to read from. All channels move alike, so frames that move alike may be stacked as channels.
        grid: Positions to read, in [-1, 1]; see :func:`affine_grid`.
        padding: What is read outside the picture. ``border`` repeats the outermost pixels; ``zeros`` and ``reflection``
            are as in ``grid_sample``.
    """
    looked_up = functional.grid_sample(
        pictures.float(), grid.float(), mode="bilinear", padding_mode=padding, align_corners=False
    )
    return looked_up.to(pictures.dtype)


def inverse(matrix: Float[Tensor, "*n 2 3"]) -> Float[Tensor, "*n 2 3"]:
    """Returns the inverse of affine matrices: it moves points as ``matrix`` moves pixels. Never waits for a device."""
    (a, b, c), (d, e, f) = matrix[..., 0, :].unbind(dim=-1), matrix[..., 1, :].unbind(dim=-1)
    area = a * e - b * d
    rows = (e, -b, b * f - c * e), (-d, a, c * d - a * f)
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2) / area[..., None, None]


def move_points(matrix: Float[Tensor, "b 2 3"], points: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t k 2"]:
    """Moves points by affine matrices, one matrix per segment.

    The product is written out, because matrix products in reduced precision would give visible errors.

    Args:
        matrix: Affine maps of points.
        points: Points in pixels, column x, then row y.
    """
    m = matrix[:, :, :, None, None]
    x, y = points.unbind(dim=-1)
    return torch.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], dim=-1)


def warp_segment(segment: Segment, matrix: Float[Tensor, "b 2 3"], size: tuple[int, int] | None = None) -> Segment:
    """Moves pixels, mask, patch labels and landmarks of segments; all frames of a segment move alike.

    The outermost pixels are repeated outside the picture, together with their mask. Landmarks outside the picture are
    kept.

    Args:
        segment: Segments to move.
        matrix: Affine maps from output pixels to input pixels, one per segment.
        size: Height and width of the result; the same as before by default.
    """
    b, t, _, h, w = segment.frames.shape
    height, width = size or (h, w)
    g = segment.patch_label.shape[-1]
    matrix = matrix.to(segment.frames.device, non_blocking=True)
    grid = affine_grid(matrix, (height, width), (h, w))
    # The same motion in units of patches, whose centres are (0, 0), (1, 0), ...
    to_patch, from_patch = matrix.new_ones(2, 1), matrix.new_ones(2, 1)
    to_patch[0] *= g / w
    to_patch[1] *= g / h
    from_patch[0] *= width / g
    from_patch[1] *= height / g
    linear = matrix[:, :, :2] * to_patch * from_patch.mT
    moved = matrix[:, :, 2:] - (matrix[:, :, :2].sum(dim=2, keepdim=True) - 1) / 2
    shift = moved * to_patch + (linear.sum(dim=2, keepdim=True) - 1) / 2
    coarse = affine_grid(torch.cat((linear, shift), dim=2), (g, g))
    mask = resample(segment.mask.reshape(b, t, h, w), grid)
    return with_pixels(
        segment.replace(landmarks=move_points(inverse(matrix), segment.landmarks)),
        resample(segment.frames.reshape(b, t * 3, h, w), grid).reshape(b, t, 3, height, width),
        mask[:, :, None],
        resample(beyond_mask(segment), coarse),
    )


def beyond_mask(segment: Segment) -> Float[Tensor, "b t g g"]:
    """Returns patch labels minus the mean of the mask: 1 for a fake whose mask is not known."""
    return segment.patch_label - patches(segment.mask, segment.patch_label.shape[-1])


def with_pixels(
    segment: Segment,
    frames: Float[Tensor, "b t 3 h w"],
    mask: Float[Tensor, "b t 1 h w"],
    beyond: Float[Tensor, "b t g g"],
) -> Segment:
    """Returns the segment with other pixels in the same frames. Its labels follow the mask.

    A frame becomes real if its whole mask is lost, and its patch labels are not higher than the mask. This rule is our
    own.

    Args:
        segment: Segment before the change.
        frames: New frames.
        mask: Mask of the new frames.
        beyond: Patch labels minus the mean of the new mask; see :func:`beyond_mask`.
    """
    patch_label = (patches(mask, segment.patch_label.shape[-1]) + beyond).clamp(0, 1)
    lost = (frame_label_of(mask) < frame_label_of(segment.mask)) & (patch_label.amax(dim=(2, 3)) <= PATCH_THRESHOLD)
    frame_label = segment.frame_label.masked_fill(lost, 0)
    return segment.replace(
        frames=frames,
        mask=mask,
        label=label_left(segment.label, segment.frame_label, frame_label),
        frame_label=frame_label,
        patch_label=patch_label.masked_fill(lost[:, :, None, None], 0),
    )


def label_left(
    label: Float[Tensor, " b"], before: Float[Tensor, "b t"], after: Float[Tensor, "b s"]
) -> Float[Tensor, " b"]:
    """Computes the labels of segments whose frame labels changed.

    A label is lowered to the highest frame label if that became lower. This rule is our own.

    Args:
        label: Label of each segment before the change.
        before: Frame labels before the change.
        after: Frame labels after the change. The number of frames may be different.
    """
    left = after.amax(dim=1)
    return torch.where(left < before.amax(dim=1), torch.minimum(label, left), label)
