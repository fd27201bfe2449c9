"""Self-blending on a CPU: a few frames at a time, and only the part of them that is blended.

A batch of segments is tens of megabytes, and each of some twenty passes over it would go to memory and back. So the
passes are made a few frames at a time, in the cache, and over the box around the masks of a segment. Nothing else but
the masks themselves is made in a loop, and only on CPUs; elsewhere the batch is worked off at once. Both give the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
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
        donor: Number of the segment that the source is of.
        landmarks: Of every segment; finite.
    """

    mask: Float[Tensor, "b t h2 w2"]
    matrix: Float[Tensor, "b t 2 3"]
    colour: Float[Tensor, "b t 3"]
    usable: Float[Tensor, "b t"]
    from_source: Float[Tensor, " b"]
    opened: Bool[Tensor, "b t"]
    donor: Int[Tensor, " b"]
    landmarks: Float[Tensor, "b t k 2"]

    def tile(self, own: slice, run: slice) -> BlendPlan:
        """Some segments and frames."""
        return BlendPlan(
            self.mask[own, run],
            self.matrix[own, run],
            self.colour[own, run],
            self.usable[own, run],
            self.from_source[own],
            self.opened[own, run],
            self.donor[own],
            self.landmarks[own, run],
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
    shape, dtype = tuple(frames.shape), frames.dtype
    target, fake = new_zeros(shape, dtype), new_zeros(shape, dtype)
    mask = new_zeros((b, t, 1, *shape[3:]), dtype)
    for i in range(b):
        mine = params[i : i + 1]
        for run in _runs(slice(0, t), frames[0, 0].numel() * frames.element_size()):
            here = slice(i, i + 1), run
            target[here] = _twin(blend, frames[here], plan.tile(*here), mine)
            fake[here] = target[here]
        opened = plan.opened[i].nonzero()[:, 0].tolist()
        if opened:
            here = slice(i, i + 1), slice(opened[0], opened[-1] + 1)
            source = frames[here]
            if bool(mine.donor.given[0]):
                source = _fitted(blend, frames, plan, here, mine)
            _blend_box(blend, source, plan.tile(*here), mine, (target[here], fake[here], mask[here]))
    return target, fake, mask


def _fitted(
    blend: SelfBlend,
    frames: Float[Tensor, "b t 3 h w"],
    plan: BlendPlan,
    here: tuple[slice, slice],
    params: SelfBlendParams,
) -> Float[Tensor, "1 n 3 h w"]:
    """The face of the donor of one segment, fitted to it."""
    own, run = here
    donor = int(plan.donor[own.start])
    there = slice(donor, donor + 1), run
    mask = blend.mask.enlarge(plan.mask[here], (frames.shape[3], frames.shape[4]))
    points = plan.landmarks[there], plan.landmarks[here]
    return blend.donor.fitted(frames[there], frames[here], points, mask, params.donor)


def _runs(frames: slice, size: int) -> list[slice]:
    """Frames of so many bytes, as many at once as suit the cache."""
    step = max(1, _TILE // size)
    return [slice(start, min(start + step, frames.stop)) for start in range(frames.start, frames.stop, step)]


def _twin(
    blend: SelfBlend, frames: Float[Tensor, "1 t 3 h w"], plan: BlendPlan, params: SelfBlendParams
) -> Float[Tensor, "1 t 3 h w"]:
    """Real twins of a few frames of one segment."""
    if bool(params.recolour_source[0]):
        return frames
    if bool(plan.usable.all()):
        return blend.recolour.apply(frames, params.recolour)
    return blend.recoloured(frames, plan, params)[1]


def _blend_box(
    blend: SelfBlend,
    sources: Float[Tensor, "1 t 3 h w"],
    plan: BlendPlan,
    params: SelfBlendParams,
    out: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Blends the box around the masks of one segment, and writes fakes and masks there."""
    size = (sources.shape[3], sources.shape[4])
    banded = blend.pyramid > 0 and bool(params.pyramid[0])
    # A pyramid looks at all of the picture.
    small = (slice(0, plan.mask.shape[2]), slice(0, plan.mask.shape[3])) if banded else _box(plan.mask)
    if small is None:
        return
    scale = -(-size[0] // plan.mask.shape[2])
    rows, columns = (slice(part.start * scale, min(part.stop * scale, n)) for part, n in zip(small, size, strict=True))
    from_rows, from_columns = (
        (rows, columns) if banded else _looked_up(plan.matrix, rows, columns, size, blend.recolour.period)
    )
    matrix = _from_box_to_box(plan.matrix, (columns.start, rows.start), (from_columns.start, from_rows.start))
    around, targets = sources[..., from_rows, from_columns], out[0][..., rows, columns]
    for run in _runs(slice(0, sources.shape[1]), around[0, 0].numel() * around.element_size()):
        source = around[:, run]
        if bool(params.recolour_source[0]):
            source = blend.recolour.apply(source, params.recolour)
        colour = plan.colour[:, run]
        if bool((colour != 0).any()):
            source = add_colour(source, colour)
        weights = blend.mask.enlarge_part(plan.mask[:, run], small, size)
        out[1][:, run, :, rows, columns] = blend.mixed(targets[:, run], source, matrix[:, run], weights, params)
        out[2][:, run, :, rows, columns] = weights


def _box(mask: Float[Tensor, "1 t h2 w2"]) -> tuple[slice, slice] | None:
    """Rows and columns that hold anything, and one more on each side; None if nothing does."""
    highest = mask[0].amax(dim=0)
    parts: list[slice] = []
    for other in (1, 0):
        filled = highest.amax(dim=other).nonzero()
        if len(filled) == 0:
            return None
        parts.append(slice(max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 2, highest.shape[1 - other])))
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
