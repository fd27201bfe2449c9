"""Time of whole segments: frames that are repeated, dropped, blackened, exchanged."""

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
    """For every frame that comes out, the number of the frame that it shows."""

    index: Int[Tensor, "b t"]


class FrameIndex(Augmentation[FrameIndexParams]):
    """What all augmentations share that show the frames of a segment in another order; they differ in what they draw.

    Preserving ones take landmarks, mask, labels and ``valid`` along; where no manipulated frame is left, the segment's
    label falls. Making ones mark frames that now show another one: all of their pixels are displaced in time, so mask
    and labels are 1. A frame without a usable face stays, and so does the frame that should have shown it.
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
    """Every frame where it was."""
    return torch.arange(index.shape[1], device=index.device).expand_as(index)


def _where_valid(index: Int[Tensor, "b t"], valid: Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Leaves frames where they are unless both, the frame itself and the one it would show, are usable."""
    return torch.where(valid & valid.gather(1, index), index, _in_order(index))


def _over_frames(segment: Segment, change: Callable[[Tensor], Tensor]) -> Segment:
    """Does the same to frames and to everything that is known of each frame."""
    names = ("frames", "landmarks", "valid", "mask", "frame_label", "patch_label")
    return segment.replace(**{name: change(getattr(segment, name)) for name in names})


def _take(segment: Segment, index: Int[Tensor, "b s"]) -> Segment:
    """The frames of each segment in another order, with everything that is known of them."""
    b, t = segment.frames.shape[:2]
    flat = (index + t * torch.arange(b, device=index.device)[:, None]).flatten()
    return _over_frames(
        segment, lambda value: value.flatten(0, 1).index_select(0, flat).reshape(*index.shape, *value.shape[2:])
    )


def _of_length(segment: Segment, t: int) -> Segment:
    """A segment of another length, for its shape; takes no memory."""
    return _over_frames(segment, lambda value: value[:, :1].expand(-1, t, *value.shape[2:]))


def _marked(segment: Segment, changed: Bool[Tensor, "b t"]) -> Segment:
    """The segment with some of its frames marked as manipulated, all of their pixels."""
    return segment.replace(
        mask=segment.mask.masked_fill(changed[:, :, None, None, None], 1),
        label=segment.label.masked_fill(changed.any(dim=1), 1),
        frame_label=segment.frame_label.masked_fill(changed, 1),
        patch_label=segment.patch_label.masked_fill(changed[:, :, None, None], 1),
    )


@AUGMENTATIONS.register("freeze")
class Freeze(FrameIndex):
    """Repeats a frame: all frames of a run show its first one. Label-preserving, per frame; the range is ours.

    Args:
        length_range: Frames of the run, the first included; the whole segment at most.

    Raises:
        ValueError: when drawing, if segments are shorter than the shortest run.
    """

    def __init__(self, *, length_range: tuple[int, int] = (2, 5)) -> None:
        draw.check_counts("length_range", length_range, low=2)
        self.length_range = length_range

    def __repr__(self) -> str:
        return f"Freeze(length_range={self.length_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a run for each segment."""
        draw.check_frames(self, segment, self.length_range[0])
        t = segment.frames.shape[1]
        start, length = draw.run(segment, self.length_range, generator)
        return FrameIndexParams(torch.where(draw.run_of(t, start, length), start[:, None], torch.arange(t)))


@AUGMENTATIONS.register("drop_frames")
class DropFrames(FrameIndex):
    """Leaves frames out, so that segments get shorter. Label-preserving, per frame.

    Args:
        count: How many.

    Raises:
        ValueError: when drawing, if no frame would be left.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count is 1 or more, not {count}")
        self.count = count

    def __repr__(self) -> str:
        return f"DropFrames({self.count})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws the frames that stay."""
        draw.check_frames(self, segment, self.count + 1)
        order = torch.rand(segment.frames.shape[:2], generator=generator).argsort(dim=1)
        return FrameIndexParams(order[:, self.count :].sort(dim=1).values)

    def shape_after(self, segment: Segment) -> Segment:
        """Shorter by the frames left out."""
        draw.check_frames(self, segment, self.count + 1)
        return _of_length(segment, segment.frames.shape[1] - self.count)


@AUGMENTATIONS.register("stride")
class Stride(FrameIndex):
    """Takes every n-th frame, as from a video of fewer frames per second. Label-preserving, per frame.

    Args:
        length: Frames that come out.
        stride_range: From one frame taken to the next; as far as segments allow.

    Raises:
        ValueError: when drawing, if segments are too short for the shortest stride.
    """

    def __init__(self, length: int, *, stride_range: tuple[int, int] = (1, 3)) -> None:
        if length < 1:
            raise ValueError(f"length is 1 or more, not {length}")
        draw.check_counts("stride_range", stride_range, low=1)
        self.length, self.stride_range = length, stride_range

    def __repr__(self) -> str:
        return f"Stride({self.length}, stride_range={self.stride_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a stride for each segment, and where it starts."""
        low, high = self.stride_range
        steps = self.length - 1
        draw.check_frames(self, segment, steps * low + 1)
        t = segment.frames.shape[1]
        stride = draw.integers((len(segment),), low, min(high, (t - 1) // max(steps, 1)) if steps else low, generator)
        start = draw.between(0, t - 1 - steps * stride, generator)
        return FrameIndexParams(start[:, None] + stride[:, None] * torch.arange(self.length))

    def shape_after(self, segment: Segment) -> Segment:
        """As long as was asked for."""
        return _of_length(segment, self.length)


@AUGMENTATIONS.register("reverse")
class Reverse(FrameIndex):
    """Shows a segment backwards. Label-preserving, per frame.

    Args:
        p: How likely.
    """

    def __init__(self, *, p: float = 0.5) -> None:
        draw.check_share("p", p)
        self.p = p

    def __repr__(self) -> str:
        return f"Reverse(p={self.p:g})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws who runs backwards."""
        backwards = draw.chance((len(segment), 1), self.p, generator)
        order = torch.arange(segment.frames.shape[1])
        return FrameIndexParams(torch.where(backwards, order.flip(0), order))


@dataclass(frozen=True)
class TimeMaskParams(Params):
    """Frames that are blackened."""

    masked: Bool[Tensor, "b t"]


@AUGMENTATIONS.register("time_mask")
class TimeMask(Augmentation[TimeMaskParams]):
    """Blackens a run of frames. Label-preserving, per frame; p 0.5, up to 12 of 25 frames [RealForensics, CVPR 2022].

    A black frame shows nobody: it is not valid, and neither its mask nor its labels say fake.

    Args:
        p: How likely a segment is masked.
        share_range: Share of its frames, rounded down.
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
        """Blackens what was drawn; only those frames are written."""
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
    """Permutes the frames of a window, never back into their order. Label-making, per frame; the range is ours.

    Args:
        window_range: Frames of the window; the whole segment at most.

    Raises:
        ValueError: when drawing, if segments are shorter than the shortest window.
    """

    makes_fakes = True

    def __init__(self, *, window_range: tuple[int, int] = (3, 5)) -> None:
        draw.check_counts("window_range", window_range, low=2)
        self.window_range = window_range

    def __repr__(self) -> str:
        return f"ShuffleWindow(window_range={self.window_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a window for each segment, and an order."""
        draw.check_frames(self, segment, self.window_range[0])
        b, t = segment.frames.shape[:2]
        start, length = draw.run(segment, self.window_range, generator)
        window = draw.run_of(t, start, length)
        start, length, order = start[:, None], length[:, None], torch.arange(t).expand(b, t)
        # Sorted by these keys, frames before and after the window keep their places.
        keys = start + torch.rand((b, t), generator=generator) * (length - 0.5)
        index = torch.where(window, keys, order.float()).argsort(dim=1)
        # The order that was is one of the permutations; the window is turned by one frame instead.
        turned = torch.where(window, start + (order - start + 1) % length, order)
        return FrameIndexParams(torch.where((index == order).all(dim=1, keepdim=True), turned, index))


@AUGMENTATIONS.register("splice_lag")
class SpliceLag(FrameIndex):
    """Replaces a run of frames by one some frames earlier or later. Label-making, per frame; the ranges are ours.

    Args:
        length_range: Frames of the run; as many as segments allow.
        lag_range: Frames between the run and what it shows.

    Raises:
        ValueError: when drawing, if segments are shorter than the shortest run and the smallest lag together.
    """

    makes_fakes = True

    def __init__(self, *, length_range: tuple[int, int] = (2, 6), lag_range: tuple[int, int] = (1, 3)) -> None:
        draw.check_counts("length_range", length_range, low=1)
        draw.check_counts("lag_range", lag_range, low=1)
        self.length_range, self.lag_range = length_range, lag_range

    def __repr__(self) -> str:
        return f"SpliceLag(length_range={self.length_range}, lag_range={self.lag_range})"

    def sample(self, segment: Segment, generator: torch.Generator) -> FrameIndexParams:
        """Draws a run for each segment, and how far off its frames come from."""
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
    """For every frame the number of the frame that it is mixed with, and that one's share."""

    index: Int[Tensor, "b t"]
    weight: Float[Tensor, "b t"]


@AUGMENTATIONS.register("boundary_jitter")
class BoundaryJitter(Augmentation[BoundaryJitterParams]):
    """Lets the frames on either side of a cut run into each other. Label-making, per frame. Ours.

    Where a forged run was put into a video, its first and last frame may carry a ghost of their neighbour outside, or
    show it a second time. Here a run is drawn; its first frame is mixed with the one before the run, its last one with
    the one after it, if there is one. Landmarks are mixed alike.

    Args:
        length_range: Frames of the run; as many as segments allow.
        weight_range: Share of the neighbour; 1 replaces the frame.

    Raises:
        ValueError: when drawing, if segments are shorter than the shortest run and one frame.
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
        """Draws a run for each segment, and a share for each of its borders."""
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
        """Mixes the frames at the borders; only those are written."""
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
