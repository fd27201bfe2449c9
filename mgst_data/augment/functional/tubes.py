"""Tubes, patches of the grid followed through a run of frames: where they are, and how other pixels get into them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class Blocks:
    """The patches that change in the frames that change, m in all, on the device of the frames.

    Attributes:
        patch: Segment, frame and patch of each.
        there: Segment, frame, row and column of its pixels.
        instead: The same of the pixels that are shown instead.
        changed: False where a frame has no usable face.
        weight: Share of what is shown instead; 0 where nothing changes.
    """

    patch: tuple[Tensor, Tensor, Tensor]
    there: tuple[Tensor, Tensor, Tensor, Tensor]
    instead: tuple[Tensor, Tensor, Tensor, Tensor]
    changed: Bool[Tensor, " m"]
    weight: Float[Tensor, "m y x"]


def _ramp(n: int, feather: float) -> Float[Tensor, " n"]:
    """Rises from either end over a share of the length, to 1; more than 0 everywhere."""
    place = torch.arange(n) + 0.5
    return (torch.minimum(place, n - place) / max(feather * n, 0.5)).clamp_max(1)


def _inside(size: int, grid: int) -> tuple[Int[Tensor, " g"], int]:
    """First pixel of each patch, and the pixels that all of them have.

    Pixels that two patches share, where the grid does not divide the picture, are left out.
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
    """Lists what changes. All numbers are known on the CPU; only whether faces are valid is looked up on the device.

    Args:
        segment: Any.
        patch: Where each tube is, as a number of a patch, counted row by row.
        source: The patch whose pixels it shows.
        active: Tubes that are there.
        shown: For every frame the frame whose pixels the tubes show; -1 where there are none.
        feather: Share of a patch's side over which pixels fade in, from either edge.
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
    """The frames with the pixels of others in some blocks."""
    # Colours last, so that rows and columns can be indexed side by side.
    frames, others = frames.movedim(2, -1), others.movedim(2, -1)
    mixed = torch.lerp(frames[blocks.there].float(), others[blocks.instead].float(), blocks.weight[..., None])
    return frames.index_put(blocks.there, mixed.to(frames.dtype)).movedim(-1, 2)
