"""Tubes (the same patch in a run of frames): their position, and how they get the pixels of another place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class Blocks:
    """The m patches that change in the frames that change, on the device of the frames.

    Attributes:
        patch: Segment, frame and patch number of each patch.
        there: Segment, frame, row and column of its pixels.
        instead: Segment, frame, row and column of the pixels that are shown instead.
        changed: False where a frame has no usable face.
        weight: Share of the pixels that are shown instead, [0, 1]; 0 where nothing changes.
    """

    patch: tuple[Tensor, Tensor, Tensor]
    there: tuple[Tensor, Tensor, Tensor, Tensor]
    instead: tuple[Tensor, Tensor, Tensor, Tensor]
    changed: Bool[Tensor, " m"]
    weight: Float[Tensor, "m y x"]


def _ramp(n: int, feather: float) -> Float[Tensor, " n"]:
    """Returns n weights that rise from both ends to 1 over a share of the length. All are more than 0."""
    place = torch.arange(n) + 0.5
    return (torch.minimum(place, n - place) / max(feather * n, 0.5)).clamp_max(1)


def _inside(size: int, grid: int) -> tuple[Int[Tensor, " g"], int]:
    """Returns the first pixel of each patch, and the number of pixels that all patches have.

    Pixels that two patches share are left out. Patches share pixels if the size is not a multiple of the grid.
    """
    number = torch.arange(grid)
    first, end = (number * size + grid - 1) // grid, (number + 1) * size // grid
    return first, int((end - first).amin())


def blocks_of(
    segment: Segment,
    *,
    patch: Int[Tensor, "b n"],
    source: Int[Tensor, "b n"],
    active: Bool[Tensor, "b n"],
    shown: Int[Tensor, "b t"],
    feather: float,
) -> Blocks:
    """Lists the patches that change.

    All indices are computed on the CPU. Only whether faces are valid is read on the device.

    Args:
        segment: Segments whose patches change.
        patch: Position of each tube, as a patch number, counted row by row.
        source: Number of the patch whose pixels the tube shows.
        active: Tubes that are used.
        shown: For every frame the frame whose pixels the tubes show; -1 where there are no tubes.
        feather: Share of the side of a patch over which pixels fade in, from each edge.
    """
    g, (h, w), device = segment.patch_label.shape[-1], segment.frames.shape[-2:], segment.frames.device
    number, tube, frame = (active[:, :, None] & (shown >= 0)[:, None]).nonzero().unbind(dim=1)
    shown, patch, source = shown[number, frame], patch[number, tube], source[number, tube]
    (top, height), (left, width) = _inside(h, g), _inside(w, g)
    weight = _ramp(height, feather)[:, None] * _ramp(width, feather)
    place = [first[n] for n in (patch, source) for first, n in ((top, n // g), (left, n % g))]
    plan = torch.stack((number, frame, shown, patch, *place))
    weight, plan = weight.to(device, non_blocking=True), plan.to(device, non_blocking=True)
    number, frame, shown, patch = plan[:4]
    y, x, source_y, source_x = plan[4:, :, None, None]
    down, right = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    changed = segment.valid[number, frame] & segment.valid[number, shown]
    at, then, now = number[:, None, None], frame[:, None, None], shown[:, None, None]
    return Blocks(
        patch=(number, frame, patch),
        there=(at, then, y + down, x + right),
        instead=(at, now, source_y + down, source_x + right),
        changed=changed,
        weight=weight * changed[:, None, None],
    )


def shown_instead(
    frames: Float[Tensor, "b t 3 h w"], others: Float[Tensor, "b t 3 h w"], blocks: Blocks
) -> Float[Tensor, "b t 3 h w"]:
    """Returns frames in which some blocks show the pixels of other frames.

    Args:
        frames: Frames to change.
        others: Frames whose pixels are shown.
        blocks: Blocks to change; see :func:`blocks_of`.
    """
    # Channels last, so that the indices of rows and columns are adjacent.
    frames, others = frames.movedim(2, -1), others.movedim(2, -1)
    mixed = torch.lerp(frames[blocks.there].float(), others[blocks.instead].float(), blocks.weight[..., None])
    return frames.index_put(blocks.there, mixed.to(frames.dtype)).movedim(-1, 2)
