"""Temporal augmentations of whole segments: frames that are repeated, dropped, blackened or exchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mgst_data.augment.base import AUGMENTATIONS, Augmentation, Params
from mgst_data.augment.functional import draw
from mgst_data.augment.functional.warp import label_left
from mgst_data.core.segment import Segment


@dataclass(frozen=True)
class FrameIndexParams(Params):
    """For every output frame, the number of the input frame that it shows."""

    index: Int[Tensor, "b t"]


class FrameIndex(Augmentation[FrameIndexParams]):
    """Base class of augmentations that show the frames of a segment in another order. Subclasses draw the order.

    Label-preserving subclasses move landmarks, mask, labels and ``valid`` with the frames; if no manipulated frame is
    left, the label of the segment is lowered. Label-making subclasses mark frames that show another frame: all of their
    pixels are displaced in time, so mask and labels are 1. A frame without a usable face stays in place, and so does
    the frame that would have shown it.
    """

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws which frame is shown where."""
        raise NotImplementedError

    def apply(self, segment: Segment, params: FrameIndexParams) -> Segment:
        """Shows the frames in their new order."""
        t = segment.frames.shape[1]
        if params.index.shape[1] == t and torch.equal(params.index, _in_order(params.index)):
            return segment
        index = params.index.to(segment.frames.device, non_blocking=True)
        if not self.makes_fakes:
            moved = _take(segment, index)
            return moved.replace(label=label_left(segment.label, segment.frame_label, moved.frame_label))
        index = _where_valid(index, segment.valid)
        return _marked(_take(segment, index), index != _in_order(index))


def _in_order(index: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Returns the index that leaves every frame in place."""
    return torch.arange(index.shape[1], device=index.device).expand_as(index)


def _where_valid(index: Int[Tensor, "b t"], valid: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Leaves frames in place unless the frame itself and the frame that it would show are both usable."""
    return torch.where(valid & valid.gather(1, index), index, _in_order(index))


def _over_frames(segment: Segment, change: Callable[[Tensor], Tensor]) -> Segment:
    """Applies a function to the frames and to every field with a value per frame."""
    names = ("frames", "landmarks", "valid", "mask", "frame_label", "patch_label")
    return segment.replace(**{name: change(getattr(segment, name)) for name in names})


def _take(segment: Segment, index: Int[Tensor, "b s"]) -> Segment:
    """Returns the frames of each segment in another order, with all fields of each frame."""
    b, t = segment.frames.shape[:2]
    flat = (index + t * torch.arange(b, device=index.device)[:, None]).flatten()
    return _over_frames(
        segment, lambda value: value.flatten(0, 1).index_select(0, flat).reshape(*index.shape, *value.shape[2:])
    )


def _of_length(segment: Segment, t: int) -> Segment:
    """Returns a segment of another length, only for its shape; it takes no memory."""
    return _over_frames(segment, lambda value: value[:, :1].expand(-1, t, *value.shape[2:]))


def _marked(segment: Segment, changed: Bool[Tensor, "b t"]) -> Segment:
    """Returns the segment with some frames marked as manipulated, in all of their pixels."""
    return segment.replace(
        mask=segment.mask.masked_fill(changed[:, :, None, None, None], 1),
        label=segment.label.masked_fill(changed.any(dim=1), 1),
        frame_label=segment.frame_label.masked_fill(changed, 1),
        patch_label=segment.patch_label.masked_fill(changed[:, :, None, None], 1),
    )


@AUGMENTATIONS.register("freeze")
class Freeze(FrameIndex):
    """Repeats a frame: all frames of a run show the first frame of the run. Label-preserving, frame grain.

    The default range is our own, not taken from a paper.

    Args:
        length_range: Length of the run in frames, including the first one; at most the whole segment.
    """

    def __init__(self, *, length_range: tuple[int, int] = (2, 5)) -> None:
        draw.check_counts("length_range", length_range, low=2)
        self.length_range = length_range

    def __repr__(self) -> str:
        return f"Freeze(length_range={self.length_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a run for each segment.

        Raises:
            ValueError: if segments are shorter than the shortest run.
        """
        draw.check_frames(self, segment, self.length_range[0])
        t = segment.frames.shape[1]
        start, length = draw.run(segment, self.length_range, generator)
        return FrameIndexParams(torch.where(draw.run_of(t, start, length), start[:, None], torch.arange(t)))


@AUGMENTATIONS.register("drop_frames")
class DropFrames(FrameIndex):
    """Drops frames, so segments become shorter. Label-preserving, frame grain.

    Args:
        count: Number of frames to drop.

    Raises:
        ValueError: if ``count`` is below 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count = count

    def __repr__(self) -> str:
        return f"DropFrames({self.count})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws the frames that stay.

        Raises:
            ValueError: if no frame would be left.
        """
        draw.check_frames(self, segment, self.count + 1)
        order = torch.rand(segment.frames.shape[:2], generator=generator).argsort(dim=1)
        return FrameIndexParams(order[:, self.count :].sort(dim=1).values)

    def shape_after(self, segment: Segment) -> Segment:
        """Returns a segment that is shorter by the dropped frames.

        Raises:
            ValueError: if no frame would be left.
        """
        draw.check_frames(self, segment, self.count + 1)
        return _of_length(segment, segment.frames.shape[1] - self.count)


@AUGMENTATIONS.register("stride")
class Stride(FrameIndex):
    """Takes every n-th frame, as in a video of a lower frame rate. Label-preserving, frame grain.

    Args:
        length: Number of output frames.
        stride_range: Distance from one frame to the next, in frames. Strides that do not fit into the segment are not
            drawn.

    Raises:
        ValueError: if ``length`` or a stride is below 1.
    """

    def __init__(self, length: int, *, stride_range: tuple[int, int] = (1, 3)) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        draw.check_counts("stride_range", stride_range, low=1)
        self.length, self.stride_range = length, stride_range

    def __repr__(self) -> str:
        return f"Stride({self.length}, stride_range={self.stride_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a stride and a start for each segment.

        Raises:
            ValueError: if segments are too short for the smallest stride.
        """
        low, high = self.stride_range
        steps = self.length - 1
        draw.check_frames(self, segment, steps * low + 1)
        t = segment.frames.shape[1]
        stride = draw.integers((len(segment),), low, min(high, (t - 1) // max(steps, 1)) if steps else low, generator)
        start = draw.between(0, t - 1 - steps * stride, generator)
        return FrameIndexParams(start[:, None] + stride[:, None] * torch.arange(self.length))

    def shape_after(self, segment: Segment) -> Segment:
        """Returns a segment of ``length`` frames."""
        return _of_length(segment, self.length)


@AUGMENTATIONS.register("reverse")
class Reverse(FrameIndex):
    """Reverses the order of the frames. Label-preserving, frame grain.

    Args:
        p: Probability that a segment is reversed.
    """

    def __init__(self, *, p: float = 0.5) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        return f"Reverse(p={self.p:g})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws which segments are reversed."""
        backwards = draw.chance((len(segment), 1), self.p, generator)
        order = torch.arange(segment.frames.shape[1])
        return FrameIndexParams(torch.where(backwards, order.flip(0), order))


@dataclass(frozen=True)
class TimeMaskParams(Params):
    """Which frames are blackened."""

    masked: Bool[Tensor, "b t"]


@AUGMENTATIONS.register("time_mask")
class TimeMask(Augmentation[TimeMaskParams]):
    """Blackens a run of frames. Label-preserving, frame grain; p 0.5, up to 12 of 25 frames [RealForensics, CVPR 2022].

    A black frame shows no face: it is not valid, and its mask and labels are 0.

    Args:
        p: Probability that a segment is masked.
        share_range: Share of the frames of the segment, rounded down.
    """

    def __init__(self, *, p: float = 0.5, share_range: tuple[float, float] = (0.0, 0.48)) -> None:
        draw.check_share("p", p)
        draw.check_range("share_range", share_range, low=0.0, high=1.0)
        self.p, self.share_range = p, share_range

    def __repr__(self) -> str:
        return f"TimeMask(p={self.p:g}, share_range={self.share_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> TimeMaskParams:
        """Draws a run for each segment."""
        b, t = segment.frames.shape[:2]
        length = draw.share_of(t, self.share_range, generator, (b,))
        run = draw.run_of(t, draw.between(0, t - length, generator), length)
        return TimeMaskParams(run & draw.chance((b, 1), self.p, generator))

    def apply(self, segment: Segment, params: TimeMaskParams) -> Segment:
        """Blackens the drawn frames. Only those frames are written."""
        flat = params.masked.flatten().nonzero()[:, 0].to(segment.frames.device, non_blocking=True)
        if len(flat) == 0:
            return segment

        def without(value: Tensor) -> Tensor:
            return value.flatten(0, 1).index_fill(0, flat, 0).reshape(value.shape)

        frame_label = without(segment.frame_label)
        return segment.replace(
            frames=without(segment.frames),
            valid=without(segment.valid),
            mask=without(segment.mask),
            label=label_left(segment.label, segment.frame_label, frame_label),
            frame_label=frame_label,
            patch_label=without(segment.patch_label),
        )


@AUGMENTATIONS.register("shuffle_window")
class ShuffleWindow(FrameIndex):
    """Permutes the frames of a window, never to their original order. Label-making, frame grain.

    The default range is our own, not taken from a paper.

    Args:
        window_range: Length of the window in frames; at most the whole segment.
    """

    makes_fakes = True

    def __init__(self, *, window_range: tuple[int, int] = (3, 5)) -> None:
        draw.check_counts("window_range", window_range, low=2)
        self.window_range = window_range

    def __repr__(self) -> str:
        return f"ShuffleWindow(window_range={self.window_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a window and an order for each segment.

        Raises:
            ValueError: if segments are shorter than the shortest window.
        """
        draw.check_frames(self, segment, self.window_range[0])
        b, t = segment.frames.shape[:2]
        start, length = draw.run(segment, self.window_range, generator)
        window = draw.run_of(t, start, length)
        start, length, order = start[:, None], length[:, None], torch.arange(t).expand(b, t)
        # Sorted by these keys, frames before and after the window keep their places.
        keys = start + torch.rand((b, t), generator=generator) * (length - 0.5)
        index = torch.where(window, keys, order.float()).argsort(dim=1)
        # One of the permutations is the original order. Then the window is rotated by one frame instead.
        turned = torch.where(window, start + (order - start + 1) % length, order)
        return FrameIndexParams(torch.where((index == order).all(dim=1, keepdim=True), turned, index))


@AUGMENTATIONS.register("splice_lag")
class SpliceLag(FrameIndex):
    """Replaces a run of frames by a run some frames earlier or later. Label-making, frame grain.

    The default ranges are our own, not taken from a paper.

    Args:
        length_range: Length of the run in frames. Lengths that do not fit into the segment are not drawn.
        lag_range: Distance in frames between the run and the frames that it shows.
    """

    makes_fakes = True

    def __init__(self, *, length_range: tuple[int, int] = (2, 6), lag_range: tuple[int, int] = (1, 3)) -> None:
        draw.check_counts("length_range", length_range, low=1)
        draw.check_counts("lag_range", lag_range, low=1)
        self.length_range, self.lag_range = length_range, lag_range

    def __repr__(self) -> str:
        return f"SpliceLag(length_range={self.length_range}, lag_range={self.lag_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a run for each segment, and the distance to the frames that it shows.

        Raises:
            ValueError: if segments are shorter than the shortest run and the smallest lag together.
        """
        (shortest, longest), (near, far) = self.length_range, self.lag_range
        draw.check_frames(self, segment, shortest + near)
        b, t = segment.frames.shape[:2]
        lag = draw.integers((b,), near, min(far, t - shortest), generator)
        length = draw.between(shortest, (t - lag).clamp_max(longest), generator)
        # Run and source together take up length + lag frames.
        first = draw.between(0, t - length - lag, generator)
        earlier = draw.chance((b,), 0.5, generator)
        run = draw.run_of(t, torch.where(earlier, first + lag, first), length)
        shift = torch.where(earlier, -lag, lag)[:, None]
        return FrameIndexParams(torch.arange(t) + shift * run)


@dataclass(frozen=True)
class BoundaryJitterParams(Params):
    """For every frame, the number of the frame that it is mixed with, and the share of that frame."""

    index: Int[Tensor, "b t"]
    weight: Float[Tensor, "b t"]


@AUGMENTATIONS.register("boundary_jitter")
class BoundaryJitter(Augmentation[BoundaryJitterParams]):
    """Mixes the frames on both sides of a cut. Label-making, frame grain.

    This augmentation is our own. Where a forged run was put into a video, its first and last frame may contain a faint
    copy of the neighbouring frame outside the run, or repeat it. Here a run is drawn. Its first frame is mixed with the
    frame before the run, and its last frame with the frame after the run, if there is one. Landmarks are mixed in the
    same way.

    Args:
        length_range: Length of the run in frames. Lengths that do not fit into the segment are not drawn.
        weight_range: Share of the neighbouring frame; 1 replaces the frame.
    """

    makes_fakes = True

    def __init__(
        self, *, length_range: tuple[int, int] = (2, 8), weight_range: tuple[float, float] = (0.4, 1.0)
    ) -> None:
        draw.check_counts("length_range", length_range, low=2)
        draw.check_range("weight_range", weight_range, low=0.05, high=1.0)
        self.length_range, self.weight_range = length_range, weight_range

    def __repr__(self) -> str:
        return f"BoundaryJitter(length_range={self.length_range}, weight_range={self.weight_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> BoundaryJitterParams:
        """Draws a run for each segment, and a share for each of its borders.

        Raises:
            ValueError: if segments are shorter than the shortest run plus one frame.
        """
        draw.check_frames(self, segment, self.length_range[0] + 1)
        b, t = segment.frames.shape[:2]
        low, high = self.length_range
        length = draw.integers((b,), low, min(high, t - 1), generator)
        start = draw.between(1, t - length, generator)[:, None]
        last = start + length[:, None] - 1
        share = draw.uniform((b, t), *self.weight_range, generator)
        order = torch.arange(t).expand(b, t)
        opens, closes = order == start, (order == last) & (order < t - 1)
        return BoundaryJitterParams(
            index=order - opens.long() + closes.long(), weight=share.masked_fill(~(opens | closes), 0.0)
        )

    def apply(self, segment: Segment, params: BoundaryJitterParams) -> Segment:
        """Mixes the frames at the borders of the run. Only those frames are written."""
        device, (b, t) = segment.frames.device, segment.frames.shape[:2]
        flat = params.weight.flatten().nonzero()[:, 0].to(device, non_blocking=True)
        params = params.to(device)
        index = _where_valid(params.index, segment.valid)
        other = (index + t * torch.arange(b, device=device)[:, None]).flatten()[flat]
        weight = params.weight.flatten()[flat]

        def mixed(value: Tensor) -> Tensor:
            rows = value.flatten(0, 1)
            share = weight.reshape(-1, *[1] * (rows.ndim - 1))
            # A frame mixed with itself stays bit-identical, also without a face.
            new = torch.lerp(rows[flat].float(), rows[other].float(), share).to(value.dtype)
            return rows.index_copy(0, flat, new).reshape(value.shape)

        jittered = segment.replace(frames=mixed(segment.frames), landmarks=mixed(segment.landmarks))
        return _marked(jittered, index != _in_order(index))
