"""Self-blending on a CPU: a few frames at a time, and only the part of them that is blended.

A batch of segments has tens of megabytes, and each of about twenty passes over it would read and write main memory. So
the passes process a few frames at a time, which fit into the cache, and only the box around the masks of a segment.
Only these passes and the masks themselves use a loop, and only on CPUs; on other devices the batch is blended at once.
Both ways give the same result.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mgst_data.augment.blend.mask import enlarge_mask
from mgst_data.augment.blend.pixels import BlendPixels, BlendPlan, SelfBlendParams
from mgst_data.augment.blend.recolour import add_colour
from mgst_data.augment.functional.pages import new_zeros

# Bytes of frames that are processed at once: less would fit the cache better, but more calls take more time.
_TILE = 2**22
# Border in pixels around the used part of the source, which its recolouring may need.
_MARGIN = 4


def blend_in_tiles(
    pixels: BlendPixels,
    frames: Float[Tensor, "b t 3 h w"],
    sources: Float[Tensor, "b t 3 h w"],
    plan: BlendPlan,
    params: SelfBlendParams,
) -> tuple[Tensor, Tensor, Tensor]:
    """Blends a batch in tiles.

    Args:
        pixels: Steps of the blend.
        frames: Frames of the targets in [0, 1], on the CPU.
        sources: Frames of the sources; ``frames`` itself if they are the same.
        plan: Inputs for these frames.
        params: Parameters of these segments, on the CPU.

    Returns:
        Frames of the real segments, frames of the pseudo-fakes, and masks.
    """
    b, t = frames.shape[:2]
    shape, dtype = tuple(frames.shape), frames.dtype
    target, fake = new_zeros(shape, dtype), new_zeros(shape, dtype)
    mask = new_zeros((b, t, 1, *shape[3:]), dtype)
    for i in range(b):
        mine = params[i : i + 1]
        for run in _runs(slice(0, t), frames[0, 0].numel() * frames.element_size()):
            here = slice(i, i + 1), run
            target[here] = _real_frames(pixels, frames[here], plan.tile(*here), mine)
            fake[here] = target[here]
        opened = plan.opened[i].nonzero()[:, 0].tolist()
        if opened:
            here = slice(i, i + 1), slice(opened[0], opened[-1] + 1)
            source = sources[here]
            if bool(mine.donor.given[0]):
                source = _fitted(pixels, sources, plan, here, mine)
            _blend_box(pixels, source, plan.tile(*here), mine, (target[here], fake[here], mask[here]))
    return target, fake, mask


def _fitted(
    pixels: BlendPixels,
    frames: Float[Tensor, "b t 3 h w"],
    plan: BlendPlan,
    here: tuple[slice, slice],
    params: SelfBlendParams,
) -> Float[Tensor, "1 n 3 h w"]:
    """Returns the face of the donor of one segment, fitted to that segment."""
    own, run = here
    donor = int(plan.donor[own.start])
    there = slice(donor, donor + 1), run
    mask = enlarge_mask(plan.mask[here], (frames.shape[3], frames.shape[4]))
    points = plan.landmarks[there], plan.landmarks[here]
    return pixels.donor.fitted(frames[there], frames[here], points, mask, params.donor)


def _runs(frames: slice, size: int) -> list[slice]:
    """Divides frames of a given size in bytes into runs that fit into the cache."""
    step = max(1, _TILE // size)
    return [slice(start, min(start + step, frames.stop)) for start in range(frames.start, frames.stop, step)]


def _real_frames(
    pixels: BlendPixels, frames: Float[Tensor, "1 t 3 h w"], plan: BlendPlan, params: SelfBlendParams
) -> Float[Tensor, "1 t 3 h w"]:
    """Computes a few frames of one real segment of the pairs."""
    if bool(params.recolour_source[0]):
        return frames
    if bool(plan.usable.all()):
        return pixels.recolour.apply(frames, params.recolour)
    return pixels.recoloured(frames, plan, params)[1]


def _blend_box(
    pixels: BlendPixels,
    sources: Float[Tensor, "1 t 3 h w"],
    plan: BlendPlan,
    params: SelfBlendParams,
    out: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Blends the box around the masks of one segment, and writes fakes and masks there."""
    size = (sources.shape[3], sources.shape[4])
    banded = pixels.pyramid and bool(params.pyramid[0])
    # A pyramid needs the whole picture.
    small = (slice(0, plan.mask.shape[2]), slice(0, plan.mask.shape[3])) if banded else _box(plan.mask)
    if small is None:
        return
    scale = -(-size[0] // plan.mask.shape[2])
    rows, columns = (slice(part.start * scale, min(part.stop * scale, n)) for part, n in zip(small, size, strict=True))
    from_rows, from_columns = (
        (rows, columns) if banded else _looked_up(plan.matrix, rows, columns, size, pixels.recolour.period)
    )
    matrix = _from_box_to_box(plan.matrix, (columns.start, rows.start), (from_columns.start, from_rows.start))
    around, targets = sources[..., from_rows, from_columns], out[0][..., rows, columns]
    for run in _runs(slice(0, sources.shape[1]), around[0, 0].numel() * around.element_size()):
        source = around[:, run]
        if bool(params.recolour_source[0]):
            source = pixels.recolour.apply(source, params.recolour)
        colour = plan.colour[:, run]
        if bool((colour != 0).any()):
            source = add_colour(source, colour)
        weights = enlarge_mask(plan.mask[:, run], size, small)
        out[1][:, run, :, rows, columns] = pixels.mixed(targets[:, run], source, matrix[:, run], weights, params)
        out[2][:, run, :, rows, columns] = weights


def _box(mask: Float[Tensor, "1 t h2 w2"]) -> tuple[slice, slice] | None:
    """Returns rows and columns that contain all pixels above 0, plus one pixel on each side; None if there are none."""
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
    """Returns rows and columns of the source that a box of the fake is read from, in blocks of ``period`` pixels."""
    corners = torch.tensor(
        [[x, y, 1.0] for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)], dtype=matrix.dtype
    )
    at = matrix[0] @ corners.T
    low, high = at.amin(dim=(0, 2)).tolist(), at.amax(dim=(0, 2)).tolist()
    margin = _MARGIN + 2 * period

    def blocks(first: float, last: float, length: int) -> slice:
        # At least two blocks, even if all positions lie outside the picture.
        start = min(max(int((first - margin) // period * period), 0), max(length - 2 * period, 0) // period * period)
        return slice(start, min(max(int(-(-(last + margin) // period) * period), start + 2 * period), length))

    return blocks(low[1], high[1], size[0]), blocks(low[0], high[0], size[1])


def _from_box_to_box(
    matrix: Float[Tensor, "1 t 2 3"], out: tuple[int, int], source: tuple[int, int]
) -> Float[Tensor, "1 t 2 3"]:
    """Returns the same map for pixel coordinates that start at the corners x, y of two boxes."""
    start, end = matrix.new_tensor(out), matrix.new_tensor(source)
    linear = matrix[..., :2]
    return torch.cat((linear, matrix[..., 2:] + (linear @ start - end)[..., None]), dim=-1)
