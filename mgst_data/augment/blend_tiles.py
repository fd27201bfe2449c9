"""Self-blending on a CPU: a few frames at a time, and only the part of them that is blended.

A batch of segments is tens of megabytes, and each of some twenty passes over it would go to memory and back. So the
passes are made frame by frame, in the cache, and over the box around the mask. This is the one loop over frames, and
only for CPUs; elsewhere the batch is worked off at once. Both give the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgst_data.augment.pages import new_zeros
from mgst_data.augment.recolour import add_colour

if TYPE_CHECKING:
    from mgst_data.augment.self_blend import SelfBlend, SelfBlendParams

# Bytes of frames that are worked off at once: fewer would fit the cache better, but the calls themselves take time.
_TILE = 2**22
# Pixels around what is looked up in the source that its recolouring may need to see.
_MARGIN = 4


@dataclass(frozen=True)
class BlendPlan:
    """What the pixels of a batch need to be blended, on their device.

    Attributes:
        mask: Weights of the source, as :class:`mgst_data.augment.BlendMask` gives them.
        matrix: From pixels of the fake to pixels of the source.
        colour: Added to the channels of the source.
        usable: 1 where there is a face, 0 elsewhere.
        from_source: 1 if the source is recoloured, 0 if the target is.
        opened: Frames that are blended.
    """

    mask: Float[Tensor, "b t h2 w2"]
    matrix: Float[Tensor, "b t 2 3"]
    colour: Float[Tensor, "b t 3"]
    usable: Float[Tensor, "b t"]
    from_source: Float[Tensor, " b"]
    opened: Bool[Tensor, "b t"]

    def tile(self, i: int, run: slice) -> BlendPlan:
        """Some frames of segment ``i``."""
        own = slice(i, i + 1)
        return BlendPlan(
            self.mask[own, run],
            self.matrix[own, run],
            self.colour[own, run],
            self.usable[own, run],
            self.from_source[own],
            self.opened[own, run],
        )


def suits_tiles(frames: Tensor) -> bool:
    """Whether to blend in tiles: on a CPU, where nothing is differentiated or compiled."""
    if torch.compiler.is_compiling():
        return False
    return frames.device.type == "cpu" and not (torch.is_grad_enabled() and frames.requires_grad)


def blend_in_tiles(
    blend: SelfBlend, frames: Float[Tensor, "b t 3 h w"], plan: BlendPlan, params: SelfBlendParams
) -> tuple[Tensor, Tensor, Tensor]:
    """Real twins, fakes and masks."""
    b, t = frames.shape[:2]
    step = max(1, _TILE // (frames[0, 0].numel() * frames.element_size()))
    shape, dtype = tuple(frames.shape), frames.dtype
    target, fake = new_zeros(shape, dtype), new_zeros(shape, dtype)
    mask = new_zeros((b, t, 1, *shape[3:]), dtype)
    for i in range(b):
        mine = params[i : i + 1]
        for start in range(0, t, step):
            run = slice(start, min(start + step, t))
            here, tile = (slice(i, i + 1), run), plan.tile(i, run)
            if bool(params.recolour_source[i]):
                target[here] = frames[here]
            else:
                target[here] = blend.recoloured(frames[here], tile, mine)[1]
            fake[here] = target[here]
            if bool(tile.opened.any()):
                _blend_box(blend, frames[here], tile, mine, (target[here], fake[here], mask[here]))
    return target, fake, mask


def _blend_box(
    blend: SelfBlend,
    frames: Float[Tensor, "1 t 3 h w"],
    plan: BlendPlan,
    params: SelfBlendParams,
    out: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Blends the box around the mask of a few frames of one segment, and writes fakes and masks there."""
    target, fake, mask = out
    size = (frames.shape[3], frames.shape[4])
    banded = blend.pyramid > 0 and bool(params.pyramid[0])
    whole = slice(0, plan.mask.shape[2]), slice(0, plan.mask.shape[3])
    small = whole if banded else _box(plan.mask)
    if small is None:
        return
    weights = blend.mask.enlarge_part(plan.mask, small, size)
    scale = -(-size[0] // plan.mask.shape[2])
    rows, columns = (slice(part.start * scale, min(part.stop * scale, n)) for part, n in zip(small, size, strict=True))
    # A pyramid looks at all of the picture.
    from_rows, from_columns = _looked_up(plan.matrix, rows, columns, size, blend.recolour.period)
    if banded:
        from_rows, from_columns = rows, columns
    source = frames[..., from_rows, from_columns]
    if bool(params.recolour_source[0]):
        source = blend.recolour.apply(source, params.recolour)
    if bool((plan.colour != 0).any()):
        source = add_colour(source, plan.colour)
    blended = blend.mixed(
        target[..., rows, columns],
        source,
        _from_box_to_box(plan.matrix, (columns.start, rows.start), (from_columns.start, from_rows.start)),
        weights,
        params,
    )
    fake[..., rows, columns] = blended
    mask[..., rows, columns] = weights


def _box(mask: Float[Tensor, "1 t h2 w2"]) -> tuple[slice, slice] | None:
    """Rows and columns that hold anything, and one more on each side; None if nothing does."""
    parts: list[slice] = []
    for dims in ((0, 1, 3), (0, 1, 2)):
        filled = (mask.amax(dim=dims) > 0).nonzero()[:, 0]
        if len(filled) == 0:
            return None
        parts.append(slice(max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 2, mask.shape[2 + len(parts)])))
    return parts[0], parts[1]


def _looked_up(
    matrix: Float[Tensor, "1 t 2 3"], rows: slice, columns: slice, size: tuple[int, int], period: int
) -> tuple[slice, slice]:
    """Rows and columns of the source that a box of the fake is looked up in, whole blocks of ``period`` pixels."""
    corners = torch.tensor(
        [[x, y, 1.0] for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)], dtype=matrix.dtype
    )
    at = matrix[0] @ corners.T
    low, high = at.amin(dim=(0, 2)).tolist(), at.amax(dim=(0, 2)).tolist()
    margin = _MARGIN + 2 * period

    def blocks(first: float, last: float, length: int) -> slice:
        # At least two blocks, even if all that is looked up lies beyond the picture.
        start = min(max(int((first - margin) // period * period), 0), max(length - 2 * period, 0) // period * period)
        return slice(start, min(max(int(-(-(last + margin) // period) * period), start + 2 * period), length))

    return blocks(low[1], high[1], size[0]), blocks(low[0], high[0], size[1])


def _from_box_to_box(
    matrix: Float[Tensor, "1 t 2 3"], out: tuple[int, int], source: tuple[int, int]
) -> Float[Tensor, "1 t 2 3"]:
    """The same map between pixels that are counted from the corners x, y of two boxes."""
    start, end = matrix.new_tensor(out), matrix.new_tensor(source)
    linear = matrix[..., :2]
    return torch.cat((linear, matrix[..., 2:] + (linear @ start - end)[..., None]), dim=-1)
