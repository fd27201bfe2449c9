"""Tubes, patches of the grid followed through a run of frames: where they are, and how other pixels get into them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment import draw
from mgst_data.augment.base import Augmentation, Params
from mgst_data.augment.runs import check_counts
from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class TubesParams(Params):
    """Patches are numbered row by row.

    Attributes:
        patch: Where each tube is; all of a segment are different.
        source: The patch whose pixels it shows.
        active: Tubes that are there; segments have different numbers of them.
        shown: For every frame the frame whose pixels the tubes show; -1 where there are none.
    """

    patch: Int[Tensor, "b n"]
    source: Int[Tensor, "b n"]
    active: Bool[Tensor, "b n"]
    shown: Int[Tensor, "b t"]


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


class Tubes(Augmentation[TubesParams]):
    """What augmentations share that exchange patches through a run of frames; they differ in what they draw.

    Patches are those of the segment's grid, one run of frames holds for all of a segment. Pixels fade in within their
    own patch: none outside the marked patches changes. The mask becomes the share of what is shown instead, patches
    and frames that have changed are marked 1. Frames without a usable face stay as they are, and are not shown
    elsewhere.

    Args:
        count_range: Patches; as many as the grid has.
        share_range: Share of the frames, one run.
        feather: Share of a patch's side over which pixels fade in, from either edge; 0 for hard edges.
    """

    makes_fakes = True
    multiple = 1

    def __init__(
        self,
        *,
        count_range: tuple[int, int] = (2, 20),
        share_range: tuple[float, float] = (0.25, 1.0),
        feather: float = 0.25,
    ) -> None:
        check_counts("count_range", count_range, low=self.multiple)
        draw.check_range("share_range", share_range, low=0.0, high=1.0)
        draw.check_range("feather", (feather, feather), low=0.0, high=0.5)
        self.count_range, self.share_range, self.feather = count_range, share_range, feather

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options()})"

    def _options(self) -> str:
        return f"count_range={self.count_range}, share_range={self.share_range}, feather={self.feather:g}"

    def _patches(self, segment: Segment, generator: torch.Generator) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
        """Different patches for each segment, and which of them are used.

        Raises:
            ValueError: if the grid has fewer patches than the fewest, or its patches have less than 2 pixels a side.
        """
        (low, high), g = self.count_range, segment.patch_label.shape[-1]
        h, w = segment.frames.shape[-2:]
        if g * g < low or min(h, w) < 2 * g:
            raise ValueError(
                f"{self!r} needs {low} patches or more of at least 2 x 2 pixels, not {g} x {g} in {h} x {w}"
            )
        b, high = len(segment), min(high, g * g) // self.multiple * self.multiple
        count = draw.integers((b, 1), low, high, generator) // self.multiple * self.multiple
        order = torch.rand((b, g * g), generator=generator).argsort(dim=1)
        return order[:, :high], torch.arange(high) < count

    def apply(self, segment: Segment, params: TubesParams) -> Segment:
        """Shows other pixels in the tubes, and marks them."""
        blocks = blocks_of(segment, params, self.feather)
        changed = blocks.changed.to(segment.patch_label.dtype)
        marked = torch.zeros_like(segment.patch_label).flatten(2).index_put(blocks.patch, changed)
        marked = marked.reshape(segment.patch_label.shape)
        mask = segment.mask[:, :, 0]
        weight = blocks.weight.to(mask.dtype)
        return segment.replace(
            frames=shown_instead(segment.frames, segment.frames, blocks),
            mask=mask.index_put(blocks.there, torch.maximum(mask[blocks.there], weight))[:, :, None],
            label=torch.maximum(segment.label, marked.amax(dim=(1, 2, 3)).to(segment.label.dtype)),
            frame_label=torch.maximum(segment.frame_label, marked.amax(dim=(2, 3))),
            patch_label=torch.maximum(segment.patch_label, marked),
        )


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


def blocks_of(segment: Segment, params: TubesParams, feather: float) -> Blocks:
    """Lists what changes. All numbers are known on the CPU; only whether faces are valid is looked up on the device."""
    g, (h, w), device = segment.patch_label.shape[-1], segment.frames.shape[-2:], segment.frames.device
    used = params.active[:, :, None] & (params.shown >= 0)[:, None]
    number, tube, frame = used.nonzero().unbind(dim=1)
    shown, patch, source = params.shown[number, frame], params.patch[number, tube], params.source[number, tube]
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
