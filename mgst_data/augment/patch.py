"""Augmentations of patches: boxes that are erased, and tubes (a patch in a run of frames) that are exchanged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.tubes import Blocks, blocks_of, shown_instead
from mgst_data.augment.functional.warp import beyond_mask, with_pixels
from mgst_data.core.labels import patches
from mgst_data.core.segment import RealFakePair, Segment


@dataclass(frozen=True)
class ErasedParams(Params):
    """Boxes ``x0, y0, x1, y1`` relative to width and height, the frames that show each box, and the colour of all."""

    box: Float[Tensor, "b n 4"]
    seen: Bool[Tensor, "b n t"]
    colour: Float[Tensor, "b 3"]


class _Erasing(Augmentation[ErasedParams]):
    """Base class of augmentations that erase boxes. Subclasses draw the boxes.

    An erased pixel is no longer manipulated: its mask is 0, and patch labels are lowered too. A frame whose whole mask
    is lost becomes real; see :func:`mgst_data.augment.functional.warp.with_pixels`.
    """

    def __init__(self, *, side_range: tuple[float, float], p_colour: float) -> None:
        draw.check_range("side_range", side_range, low=0.0, high=1.0)
        draw.check_share("p_colour", p_colour)
        self.side_range, self.p_colour = side_range, p_colour

    def _boxes(self, b: int, n: int, generator: torch.Generator) -> Float[Tensor, "b n 4"]:
        """Draws boxes inside the picture."""
        side = draw.uniform((b, n, 2), *self.side_range, generator)
        corner = draw.uniform((b, n, 2), 0.0, 1.0, generator) * (1 - side)
        return torch.cat((corner, corner + side), dim=2)

    def _colours(self, b: int, generator: torch.Generator) -> Float[Tensor, "b 3"]:
        """Draws black, or any colour."""
        return draw.uniform((b, 3), 0.0, 1.0, generator) * draw.chance((b, 1), self.p_colour, generator)

    def apply(self, segment: Segment, params: ErasedParams) -> Segment:
        """Erases the drawn boxes."""
        b, t, _, h, w = segment.frames.shape
        x0, y0, x1, y1 = params.box.unbind(dim=2)
        row, column = (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w
        rows = (row >= y0[..., None]) & (row < y1[..., None])
        columns = (column >= x0[..., None]) & (column < x1[..., None])
        seen = (params.seen[:, :, :, None] & rows[:, :, None]).flatten(2)
        device = segment.frames.device
        # Number of boxes that contain each pixel: a product of rows and columns, summed over boxes.
        boxes = seen.float().to(device, non_blocking=True).mT @ columns.float().to(device, non_blocking=True)
        kept = (boxes < 0.5).reshape(b, t, 1, h, w)
        colour = params.colour.to(device, segment.frames.dtype, non_blocking=True)[:, None, :, None, None]
        left = patches(kept.to(segment.mask.dtype), segment.patch_label.shape[-1])
        return with_pixels(
            segment,
            torch.where(kept, segment.frames, colour),
            segment.mask.masked_fill(~kept, 0),
            beyond_mask(segment) * left,
        )


@AUGMENTATIONS.register("cut_out")
class CutOut(_Erasing):
    """Erases one box at the same place in all frames [TALL, ICCV 2023]. Label-preserving, patch grain.

    The default ranges are our own, not those of TALL.

    Args:
        side_range: Width and height of the box relative to the picture, drawn separately.
        p_colour: Probability that the box has a random colour; otherwise it is black.
    """

    def __init__(self, *, side_range: tuple[float, float] = (0.1, 0.4), p_colour: float = 0.5) -> None:
        super().__init__(side_range=side_range, p_colour=p_colour)

    def __repr__(self) -> str:
        return f"CutOut(side_range={self.side_range}, p_colour={self.p_colour:g})"

    def sample(self, segment: Segment, generator: torch.Generator) -> ErasedParams:
        """Draws a box for each segment."""
        b, t = segment.frames.shape[:2]
        seen = torch.ones(b, 1, t, dtype=torch.bool)
        return ErasedParams(self._boxes(b, 1, generator), seen, self._colours(b, generator))


@AUGMENTATIONS.register("erasing_tubes")
class ErasingTubes(_Erasing):
    """Erases several boxes, each at a fixed place through a run of frames. Label-preserving, patch grain.

    This augmentation is our own: it is :class:`CutOut` with more boxes and a limited time.

    Args:
        count_range: Number of boxes.
        share_range: Share of the frames that show a box: a run of at least one frame.
        side_range: Width and height of a box relative to the picture, drawn separately.
        p_colour: Probability that the boxes have a random colour; otherwise they are black.
    """

    def __init__(
        self,
        *,
        count_range: tuple[int, int] = (1, 4),
        share_range: tuple[float, float] = (0.2, 1.0),
        side_range: tuple[float, float] = (0.05, 0.25),
        p_colour: float = 0.5,
    ) -> None:
        super().__init__(side_range=side_range, p_colour=p_colour)
        draw.check_counts("count_range", count_range, low=1)
        draw.check_range("share_range", share_range, low=0.0, high=1.0)
        self.count_range, self.share_range = count_range, share_range

    def __repr__(self) -> str:
        return (
            f"ErasingTubes(count_range={self.count_range}, share_range={self.share_range}, "
            f"side_range={self.side_range}, p_colour={self.p_colour:g})"
        )

    def sample(self, segment: Segment, generator: torch.Generator) -> ErasedParams:
        """Draws boxes for each segment, and a run of frames for each box."""
        (b, t), n = segment.frames.shape[:2], self.count_range[1]
        count = draw.integers((b, 1), *self.count_range, generator)
        length = draw.share_of(t, self.share_range, generator, (b * n,)).clamp_min(1)
        seen = draw.run_of(t, draw.between(0, t - length, generator), length).reshape(b, n, t)
        seen &= (torch.arange(n) < count)[:, :, None]
        return ErasedParams(self._boxes(b, n, generator), seen, self._colours(b, generator))


@dataclass(frozen=True)
class TubesParams(Params):
    """Tubes of each segment, in different patches; see :func:`mgst_data.augment.functional.tubes.blocks_of`."""

    patch: Int[Tensor, "b n"]
    source: Int[Tensor, "b n"]
    active: Bool[Tensor, "b n"]
    shown: Int[Tensor, "b t"]


class Tubes(Augmentation[TubesParams]):
    """Base class of augmentations that exchange patches in a run of frames. Subclasses draw the tubes.

    Patches are those of the grid of the segment. There is one run of frames per segment. Pixels fade in within their
    own patch, so nothing outside the marked patches changes. The mask becomes the share of the pixels that are shown
    instead; changed patches and frames are labelled 1. Frames without a usable face stay unchanged, and are not shown
    elsewhere.

    Args:
        count_range: Number of patches; at most as many as the grid has.
        share_range: Share of the frames: one run.
        feather: Share of the side of a patch over which pixels fade in, from each edge; 0 for hard edges.
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
        draw.check_counts("count_range", count_range, low=self.multiple)
        draw.check_range("share_range", share_range, low=0.0, high=1.0)
        draw.check_range("feather", (feather, feather), low=0.0, high=0.5)
        self.count_range, self.share_range, self.feather = count_range, share_range, feather

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options()})"

    def _options(self) -> str:
        return f"count_range={self.count_range}, share_range={self.share_range}, feather={self.feather:g}"

    def _patches(self, segment: Segment, generator: torch.Generator) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
        """Draws different patches for each segment, and which of them are used.

        Raises:
            ValueError: if the grid has less patches than the smallest count, or patches have less than 2 pixels per
                side.
        """
        (low, high), g = self.count_range, segment.patch_label.shape[-1]
        h, w = segment.frames.shape[-2:]
        if g * g < low or min(h, w) < 2 * g:
            raise ValueError(
                f"{self!r}: segments must have at least {low} patches of at least 2 x 2 pixels,"
                f" got {g} x {g} patches in {h} x {w} pixels"
            )
        b, high = len(segment), min(high, g * g) // self.multiple * self.multiple
        count = draw.integers((b, 1), low, high, generator) // self.multiple * self.multiple
        order = torch.rand((b, g * g), generator=generator).argsort(dim=1)
        return order[:, :high], torch.arange(high) < count

    def _blocks(self, segment: Segment, params: TubesParams) -> Blocks:
        return blocks_of(
            segment,
            patch=params.patch,
            source=params.source,
            active=params.active,
            shown=params.shown,
            feather=self.feather,
        )

    def apply(self, segment: Segment, params: TubesParams) -> Segment:
        """Shows other pixels in the tubes, and marks them."""
        blocks = self._blocks(segment, params)
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


@AUGMENTATIONS.register("tube_swap")
class TubeSwap(Tubes):
    """Swaps patches in pairs through a run of frames. Label-making, patch grain.

    The values are our own, not taken from a paper.

    Args:
        count_range: Number of patches, both of each pair counted; at most as many as the grid has.
        share_range: Share of the frames: a run of at least one frame.
        feather: Share of the side of a patch over which pixels fade in, from each edge.
    """

    multiple = 2

    def sample(self, segment: Segment, generator: torch.Generator) -> TubesParams:
        """Draws pairs of patches for each segment, and a run."""
        patch, active = self._patches(segment, generator)
        b, t = segment.frames.shape[:2]
        run = _run(t, self.share_range, torch.zeros(b, dtype=torch.long), generator)
        return TubesParams(
            patch=patch,
            source=patch.reshape(b, patch.shape[1] // 2, 2).flip(2).flatten(1),
            active=active,
            shown=torch.where(run, torch.arange(t), -1),
        )


@AUGMENTATIONS.register("tube_freeze")
class TubeFreeze(Tubes):
    """Freezes patches at the first frame of a run. Label-making, patch grain.

    The first frame of the run stays unchanged and is not marked. This augmentation and its values are our own; no paper
    describes it.

    Args:
        count_range: Number of patches; at most as many as the grid has.
        share_range: Share of the frames: a run of at least two frames.
        feather: Share of the side of a patch over which pixels fade in, from each edge.
    """

    def sample(self, segment: Segment, generator: torch.Generator) -> TubesParams:
        """Draws patches for each segment, and a run.

        Raises:
            ValueError: if segments have one frame.
        """
        draw.check_frames(self, segment, 2)
        patch, active = self._patches(segment, generator)
        b, t = segment.frames.shape[:2]
        # The run without its first frame, which is the one shown.
        run = _run(t, self.share_range, torch.ones(b, dtype=torch.long), generator)
        before = run.float().argmax(dim=1, keepdim=True) - 1
        return TubesParams(patch=patch, source=patch, active=active, shown=torch.where(run, before, -1))


@AUGMENTATIONS.register("tube_lag")
class TubeLag(Tubes):
    """Delays patches by some frames through a run of frames. Label-making, patch grain.

    The values are our own, not taken from a paper.

    Args:
        count_range: Number of patches; at most as many as the grid has.
        share_range: Share of the frames: a run of at least one frame.
        lag_range: Delay in frames. Delays that do not fit into the segment are not drawn.
        feather: Share of the side of a patch over which pixels fade in, from each edge.
    """

    def __init__(
        self,
        *,
        count_range: tuple[int, int] = (2, 20),
        share_range: tuple[float, float] = (0.25, 1.0),
        lag_range: tuple[int, int] = (1, 3),
        feather: float = 0.25,
    ) -> None:
        super().__init__(count_range=count_range, share_range=share_range, feather=feather)
        draw.check_counts("lag_range", lag_range, low=1)
        self.lag_range = lag_range

    def _options(self) -> str:
        return f"{super()._options()}, lag_range={self.lag_range}"

    def sample(self, segment: Segment, generator: torch.Generator) -> TubesParams:
        """Draws patches, a run and a delay for each segment.

        Raises:
            ValueError: if segments are not longer than the smallest delay.
        """
        draw.check_frames(self, segment, self.lag_range[0] + 1)
        patch, active = self._patches(segment, generator)
        b, t = segment.frames.shape[:2]
        lag = draw.integers((b,), self.lag_range[0], min(self.lag_range[1], t - 1), generator)
        run = _run(t, self.share_range, lag, generator)
        return TubesParams(
            patch=patch, source=patch, active=active, shown=torch.where(run, torch.arange(t) - lag[:, None], -1)
        )


@AUGMENTATIONS.register("patch_paste")
class PatchPaste(Tubes):
    """Shows the paired real segment in patches of the fake one, through a run of frames. Label-making, patch grain.

    The result is a partial fake. The mask becomes 0 where the real segment is shown, and the labels follow; a segment
    without any fake pixels becomes real. See :func:`mgst_data.augment.functional.warp.with_pixels`. This augmentation
    and its values are our own; no paper describes it.

    Args:
        p: Probability that a pair gets patches.
        count_range: Number of patches; at most as many as the grid has.
        share_range: Share of the frames: a run of at least one frame.
        feather: Share of the side of a patch over which pixels fade in, from each edge.
    """

    def __init__(
        self,
        *,
        p: float = 1.0,
        count_range: tuple[int, int] = (2, 20),
        share_range: tuple[float, float] = (0.25, 1.0),
        feather: float = 0.25,
    ) -> None:
        super().__init__(count_range=count_range, share_range=share_range, feather=feather)
        draw.check_share("p", p)
        self.p = p

    def _options(self) -> str:
        return f"p={self.p:g}, {super()._options()}"

    def sample(self, segment: Segment, generator: torch.Generator) -> TubesParams:
        """Draws patches for each pair, and a run."""
        patch, active = self._patches(segment, generator)
        b, t = segment.frames.shape[:2]
        run = _run(t, self.share_range, torch.zeros(b, dtype=torch.long), generator)
        active = active & draw.chance((b, 1), self.p, generator)
        return TubesParams(patch=patch, source=patch, active=active, shown=torch.where(run, torch.arange(t), -1))

    def apply(self, segment: Segment, params: TubesParams) -> Segment:  # noqa: ARG002
        """Always raises, because a single segment has no paired real segment.

        Raises:
            TypeError: Always; use :meth:`apply_to_pair`.
        """
        raise TypeError(f"{self!r}: data must be a RealFakePair, got a Segment")

    def apply_to_pair(self, pair: RealFakePair, params: TubesParams) -> RealFakePair:
        """Shows the paired real segment in the tubes of the fake one."""
        fake = pair.fake
        blocks = self._blocks(fake, params)
        left = torch.ones_like(fake.mask[:, :, 0]).index_put(blocks.there, (1 - blocks.weight).to(fake.mask.dtype))
        left = left[:, :, None]
        frames = shown_instead(fake.frames, pair.real.frames, blocks)
        beyond = beyond_mask(fake) * patches(left, fake.patch_label.shape[-1])
        return RealFakePair(pair.real, with_pixels(fake, frames, fake.mask * left, beyond))


def _run(
    t: int, share_range: tuple[float, float], lag: Int[Tensor, " b"], generator: torch.Generator
) -> Bool[Tensor, "b t"]:
    """Draws a run of at least one frame for each segment. It does not start in the first ``lag`` frames."""
    length = draw.share_of(t, share_range, generator, lag.shape).clamp_min(1).minimum(t - lag)
    return draw.run_of(t, draw.between(lag, t - length, generator), length)
