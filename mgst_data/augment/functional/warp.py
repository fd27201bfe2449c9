"""Affine resampling of pictures and of whole segments, and what becomes of labels whose pixels went.

A matrix (2, 3) acts on pixels: column x, then row y; the middle of the first pixel is (0, 0). It says for every pixel
that comes out where it is looked up, as resampling needs it; points move by its :func:`inverse`.

This is own code because ``kornia.geometry.warp_affine`` (0.9) takes twice as long on one core, and because it moves
pictures only: no patch labels, which are a grid of their own, and no labels that fall where a mask is lost.
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
    """Where each pixel of a picture is looked up in another, as ``grid_sample`` wants it.

    A sum of one term per row and one per column: on a CPU tens of times as fast as
    ``torch.nn.functional.affine_grid``, which multiplies matrices. Coordinates in half precision would miss by
    whole pixels, so they are float32 throughout.

    Args:
        matrix: From pixels that come out to pixels that are looked up.
        size: Height and width of what comes out.
        source: Of what is looked up in; the same by default.

    Returns:
        x and y in [-1, 1], -1 and 1 being the outer edges of the picture (``align_corners=False``).
    """
    height, width = size
    matrix = matrix.float()
    column = torch.arange(width, dtype=torch.float32, device=matrix.device)
    row = torch.arange(height, dtype=torch.float32, device=matrix.device)
    # Filled on the device: a tensor made of a list would be copied there, and the CPU would wait for it.
    from_height, from_width = source or size
    to_unit = torch.cat((column.new_full((1, 1), 2 / from_width), column.new_full((1, 1), 2 / from_height)))
    along = matrix[:, :, 0, None] * column + (matrix[:, :, 2, None] + 0.5)
    down = matrix[:, :, 1, None] * row
    # All x lie before all y in memory: adding in strides of two would take ten times as long.
    unit = (along * to_unit - 1)[:, :, None, :] + (down * to_unit)[:, :, :, None]
    return unit.permute(0, 2, 3, 1)


def resample(
    pictures: Float[Tensor, "n c h w"], grid: Float[Tensor, "n y x 2"], padding: str = "border"
) -> Float[Tensor, "n c y x"]:
    """Bilinear look-up of pixels, in float32 for any input; the result has the dtype of the pictures.

    Args:
        pictures: All channels of a picture move alike, so frames that move alike may be stacked as channels.
        grid: Where, in [-1, 1]; see :func:`affine_grid`.
        padding: ``border`` repeats the outermost pixels, ``zeros`` and ``reflection`` as in ``grid_sample``.
    """
    looked_up = functional.grid_sample(
        pictures.float(), grid.float(), mode="bilinear", padding_mode=padding, align_corners=False
    )
    return looked_up.to(pictures.dtype)


def inverse(matrix: Float[Tensor, "*n 2 3"]) -> Float[Tensor, "*n 2 3"]:
    """The matrix that undoes another; for points, where ``matrix`` is for pixels. Never waits for a device."""
    (a, b, c), (d, e, f) = matrix[..., 0, :].unbind(dim=-1), matrix[..., 1, :].unbind(dim=-1)
    area = a * e - b * d
    rows = (e, -b, b * f - c * e), (-d, a, c * d - a * f)
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2) / area[..., None, None]


def move_points(matrix: Float[Tensor, "b 2 3"], points: Float[Tensor, "b t k 2"]) -> Float[Tensor, "b t k 2"]:
    """Carries points; all of a segment alike. Written out, as reduced precision of matrix products would show."""
    m = matrix[:, :, :, None, None]
    x, y = points.unbind(dim=-1)
    return torch.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], dim=-1)


def warp_segment(segment: Segment, matrix: Float[Tensor, "b 2 3"]) -> Segment:
    """Moves pixels, mask, patch labels and landmarks of whole segments, all frames of one alike.

    The outermost pixels are repeated beyond the edge, and so is their mask. Landmarks that leave the picture are kept.

    Args:
        segment: Any.
        matrix: One per segment, from pixels that come out to pixels that are looked up.
    """
    b, t, _, h, w = segment.frames.shape
    g = segment.patch_label.shape[-1]
    matrix = matrix.to(segment.frames.device, non_blocking=True)
    grid = affine_grid(matrix, (h, w))
    # The same motion counted in patches, whose middles are (0, 0), (1, 0), ...
    to_patch = matrix.new_ones(2, 1)
    to_patch[0] *= g / w
    to_patch[1] *= g / h
    linear = matrix[:, :, :2] * to_patch / to_patch.mT
    moved = matrix[:, :, 2:] - (matrix[:, :, :2].sum(dim=2, keepdim=True) - 1) / 2
    shift = moved * to_patch + (linear.sum(dim=2, keepdim=True) - 1) / 2
    coarse = affine_grid(torch.cat((linear, shift), dim=2), (g, g))
    mask = resample(segment.mask.reshape(b, t, h, w), grid)
    return with_pixels(
        segment.replace(landmarks=move_points(inverse(matrix), segment.landmarks)),
        resample(segment.frames.reshape(b, t * 3, h, w), grid).reshape(segment.frames.shape),
        mask[:, :, None],
        resample(beyond_mask(segment), coarse),
    )


def beyond_mask(segment: Segment) -> Float[Tensor, "b t g g"]:
    """What patch labels say beyond the mean of the mask: 1 for a whole fake of which no mask is known."""
    return segment.patch_label - patches(segment.mask, segment.patch_label.shape[-1])


def with_pixels(
    segment: Segment,
    frames: Float[Tensor, "b t 3 h w"],
    mask: Float[Tensor, "b t 1 h w"],
    beyond: Float[Tensor, "b t g g"],
) -> Segment:
    """The segment with other pixels of the same frames; its labels follow the mask.

    A frame is real again when its mask is lost, all of it, and its patch labels say nothing beyond the mask. Ours.

    Args:
        segment: As it was.
        frames: Its new frames.
        mask: The mask of those.
        beyond: What patch labels say beyond that mask; see :func:`beyond_mask`.
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
    """Label of segments whose frame labels changed from ``before`` to ``after``; falls where the highest fell. Ours."""
    left = after.amax(dim=1)
    return torch.where(left < before.amax(dim=1), torch.minimum(label, left), label)
