"""Some correct augmentations, and many that violate the contract in one point each."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mgst_data.augment import Augmentation, Params
from mgst_data.core import RealFakePair, Segment
from mgst_data.core.geometry import flip_landmarks
from mgst_data.core.labels import patches


@dataclass(frozen=True)
class ByParams(Params):
    by: Tensor


class Darker(Augmentation[ByParams]):
    """A correct augmentation. Each subclass below violates the contract in one point."""

    def __repr__(self):
        return type(self).__name__

    def sample(self, segment, generator):
        return ByParams(torch.rand(len(segment), generator=generator) * 0.4 + 0.3)

    def apply(self, segment, params):
        return segment.replace(frames=self.darker(segment.frames, params))

    def darker(self, frames, params):
        return frames * params.by.to(frames)[:, None, None, None, None]


class DrawsFromTorch(Darker):
    def sample(self, segment, generator):
        return ByParams(torch.rand(len(segment)))


class DrawsFromNumpy(Darker):
    def sample(self, segment, generator):
        return ByParams(torch.tensor(np.random.rand(len(segment)), dtype=torch.float32))  # noqa: NPY002


class DrawsFromRandom(Darker):
    def sample(self, segment, generator):
        return ByParams(torch.tensor([random.random() for _ in range(len(segment))]))


class DrawsLate(Darker):
    def apply(self, segment, params):
        return segment.replace(frames=segment.frames * torch.rand(()))


class DrawsByPixels(Darker):
    def sample(self, segment, generator):
        return ByParams(segment.frames.mean(dim=(1, 2, 3, 4)).float())


class DrawsOnceForAll(Darker):
    def sample(self, segment, generator):
        return ByParams(torch.rand(1, generator=generator))


class DrawsATuple(Darker):
    def sample(self, segment, generator):
        return (torch.rand(len(segment), generator=generator),)


class Remembers(Darker):
    def sample(self, segment, generator):
        self.drawn = super().sample(segment, generator)
        return self.drawn

    def apply(self, segment, params):
        return super().apply(segment, self.drawn if len(self.drawn) == 1 else params)


class Counts(Darker):
    count = 0

    def apply(self, segment, params):
        self.count += 1
        return segment.replace(frames=self.darker(segment.frames, params) / self.count)


class WritesIntoWhatItGets(Darker):
    def apply(self, segment, params):
        return segment.replace(frames=segment.frames.mul_(0.5))


class WritesIntoWhatItGave(Darker):
    buffer = torch.zeros(())

    def darker(self, frames, params):
        if self.buffer.shape != frames.shape:
            self.buffer = torch.empty_like(frames)
        return self.buffer.copy_(super().darker(frames, params))


class CallsAnother(Darker):
    def __call__(self, data, *, generator):
        return data


class LooksAtNeighbours(Darker):
    def apply(self, segment, params):
        return segment.replace(frames=segment.frames * segment.frames.mean())


class WidensHalf(Darker):
    def apply(self, segment, params):
        return segment.replace(frames=self.darker(segment.frames.float(), params))


class MissesHalf(Darker):
    def darker(self, frames, params):
        return super().darker(frames, params) * (1.0 if frames.dtype == torch.float32 else 0.5)


class RefusesHalf(Darker):
    def apply(self, segment, params):
        return super().apply(segment.replace(mask=segment.mask @ torch.eye(segment.mask.shape[-1])), params)


class LeavesNoFrame(Darker):
    def apply(self, segment, params):
        rest = ("frames", "landmarks", "valid", "mask", "frame_label", "patch_label")
        return segment.replace(**{name: getattr(segment, name)[:, :0] for name in rest})


class NeedsASegment(Darker):
    def darker(self, frames, params):
        return super().darker(frames, params).clamp_max(frames.detach().max())


class FollowsAutocast(Darker):
    """Gets its method after the class is made, so that the base class does not wrap it."""


def _by_a_matrix(self, segment, params):
    frames = self.darker(segment.frames, params)
    return segment.replace(frames=frames @ torch.eye(frames.shape[-1]).to(frames))


FollowsAutocast.apply_any = _by_a_matrix


class DrawsByAutocast(Darker):
    """Gets its method after the class is made too."""


def _by_a_product(self, segment, generator):
    return ByParams((torch.rand(len(segment), 4, generator=generator) @ torch.full((4, 1), 0.2))[:, 0].float())


DrawsByAutocast.sample = _by_a_product


class RoundsLandmarks(Darker):
    def apply(self, segment, params):
        out = super().apply(segment, params)
        return out.replace(landmarks=out.landmarks.half().double())


class LeavesTheRange(Darker):
    def darker(self, frames, params):
        return frames * 2


class DividesByNothing(Darker):
    def darker(self, frames, params):
        return super().darker(frames, params) / (frames - frames).abs()


class NeedsTwoFrames(Darker):
    def apply(self, segment, params):
        return segment.replace(frames=segment.frames[:, [1, *range(1, segment.frames.shape[1])]] * 0.5)


class CutsTheGradient(Darker):
    def darker(self, frames, params):
        return super().darker(frames, params).detach()


class Waits(Darker):
    def darker(self, frames, params):
        return super().darker(frames, params) if frames.amax().item() > 0 else frames


class DoesNothing(Darker):
    def darker(self, frames, params):
        return frames


class ForgetsLabels(Darker):
    def apply(self, segment, params):
        return Segment.of(self.darker(segment.frames, params), segment.landmarks, valid=segment.valid).to(
            dtype=segment.frames.dtype
        )


class ForgetsFakesWithoutMask(Darker):
    def apply(self, segment, params):
        fake = (segment.mask.flatten(1).amax(dim=1) > 0).to(segment.label)
        return super().apply(segment, params).replace(label=fake, frame_label=fake[:, None] * segment.frame_label)


class CallsRealFake(Darker):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(label=torch.ones_like(segment.label))


class ChangesTheFakeOnly(Darker):
    def apply_to_pair(self, pair, params):
        return RealFakePair(pair.real, self.apply(pair.fake, params))


class Mirrors(Darker):
    def apply(self, segment, params):
        mirrored = {name: getattr(segment, name).flip(-1) for name in ("frames", "mask", "patch_label")}
        return segment.replace(**mirrored, landmarks=flip_landmarks(segment.landmarks, segment.frames.shape[-1]))


class ForgetsTheMask(Mirrors):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(mask=segment.mask, patch_label=segment.patch_label)


class ForgetsPatches(Mirrors):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(patch_label=segment.patch_label)


class ForgetsLandmarks(Mirrors):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(landmarks=segment.landmarks)


class ForgetsTheOrder(Mirrors):
    def apply(self, segment, params):
        x, y = segment.landmarks.unbind(-1)
        mirrored = torch.stack((segment.frames.shape[-1] - 1 - x, y), dim=-1)
        return super().apply(segment, params).replace(landmarks=mirrored)


class MissesLandmarksByOne(Mirrors):
    def apply(self, segment, params):
        out = super().apply(segment, params)
        x, y = out.landmarks.unbind(-1)
        return out.replace(landmarks=torch.stack((x + 1, y), dim=-1))


class MissesTheMaskByOne(Mirrors):
    def apply(self, segment, params):
        out = super().apply(segment, params)
        mask = out.mask.roll(1, dims=-1)
        return out.replace(mask=mask, patch_label=patches(mask, out.patch_label.shape[-1]))


class Inverts(Darker):
    """A correct label-making augmentation: inverts the upper left quarter of the last frame."""

    makes_fakes = True

    def place(self, segment):
        b, t, _, h, w = segment.frames.shape
        rows, columns, last = torch.arange(h) < h // 2, torch.arange(w) < w // 2, torch.arange(t) == t - 1
        here = last[:, None, None, None] & rows[:, None] & columns
        return here.expand(b, t, 1, h, w).to(segment.frames)

    def apply(self, segment, params):
        here = self.place(segment)
        mask = torch.maximum(segment.mask, here)
        frame_label = (mask.flatten(2).amax(dim=2) > 0).to(mask)
        return segment.replace(
            frames=torch.lerp(segment.frames, 1 - segment.frames, here),
            mask=mask,
            label=torch.ones_like(segment.label),
            frame_label=torch.maximum(segment.frame_label, frame_label),
            patch_label=torch.maximum(segment.patch_label, patches(mask, segment.patch_label.shape[-1])),
        )


class MasksTooLittle(Inverts):
    def apply(self, segment, params):
        out, half = super().apply(segment, params), super().place(segment)
        half[..., : segment.frames.shape[-2] // 4, :] = 0
        mask = torch.maximum(segment.mask, half)
        patch_label = torch.maximum(segment.patch_label, patches(mask, out.patch_label.shape[-1]))
        return out.replace(mask=mask, patch_label=patch_label)


class ForgetsFrames(Inverts):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(frame_label=segment.frame_label)


class ForgetsTheSegment(Inverts):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(label=segment.label)


class MarksAllFrames(Inverts):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(frame_label=torch.ones_like(segment.frame_label))


class MarksAllPatches(Inverts):
    def apply(self, segment, params):
        return super().apply(segment, params).replace(patch_label=torch.ones_like(segment.patch_label))


class ChangesTheTwin(Inverts):
    def apply_to_pair(self, pair, params):
        return RealFakePair(self.apply(pair.real, params), self.apply(pair.fake, params))


BROKEN = {
    DrawsFromTorch: "sample draws from the global generator of torch",
    DrawsFromNumpy: "sample draws from the global generator of numpy",
    DrawsFromRandom: "same seed gives other draws",
    DrawsLate: "apply draws from the global generator of torch",
    DrawsByPixels: "other pixels give other draws",
    DrawsOnceForAll: r"draws by \(1,\) for 2 segments",
    DrawsATuple: "sample returns a tuple, not a Params",
    Remembers: "same params give another result the second time: frames differs by up to",
    Counts: "same params give another result the second time",
    WritesIntoWhatItGets: "apply modifies its input: frames differs",
    WritesIntoWhatItGave: "apply writes into an earlier result: frames differs",
    CallsAnother: "a call differs from sample and apply",
    LooksAtNeighbours: "the result of a segment differs in another batch: frames differs",
    WidensHalf: r"frames is torch\.float32 after apply, not torch\.float16",
    MissesHalf: r"torch\.float16 changes frames by 0\.\d+ on average",
    RefusesHalf: r"apply fails on frames of torch\.float16",
    RoundsLandmarks: r"apply fails on the batch that sample drew for: TypeError: landmarks must have dtype",
    LeavesNoFrame: "apply fails on the batch that .*: ValueError: frames must have at least one frame in each",
    NeedsASegment: "an empty batch fails: RuntimeError",
    FollowsAutocast: r"inside torch\.autocast the same params give another result: frames differs by up to",
    DrawsByAutocast: r"inside torch\.autocast the same seed gives other draws",
    LeavesTheRange: r"frames is in \[.*\] after apply, not in \[0, 1\]",
    DividesByNothing: "frames has values that are not finite after apply",
    NeedsTwoFrames: "a segment of one frame neither works nor raises ValueError: IndexError",
    CutsTheGradient: "no gradient reaches the frames",
    Waits: "apply reads values on the device",
    DoesNothing: "does nothing in 1 draws",
    ForgetsLabels: "mask does not move with the pixels",
    ForgetsFakesWithoutMask: "a fake without a mask becomes real although its pixels are left: frame_label is lowered",
    CallsRealFake: "a real segment has a label of 1 after apply",
    ChangesTheFakeOnly: "the two segments of a pair are equal before apply but differ after it: frames differs",
    ForgetsTheMask: "mask does not move with the pixels",
    ForgetsPatches: "patch_label and the mean of the mask over the patch differ by",
    ForgetsLandmarks: "landmarks do not move with the pixels",
    ForgetsTheOrder: "landmarks do not move with the pixels",
    MissesLandmarksByOne: r"landmarks do not move .*: they are \+1\.0 pixels right and [+-]0\.0 pixels down",
    MissesTheMaskByOne: r"mask is \+1\.0 pixels right and [+-]0\.0 pixels down",
    MasksTooLittle: r"\d+ pixels are changed where the mask is 0",
    ForgetsFrames: "frame_label is not 1 in frames whose mask is not 0",
    ForgetsTheSegment: "label and frame_label do not agree",
    MarksAllFrames: r"\d+ frames have a frame_label although nothing in them is changed",
    MarksAllPatches: "patch_label and the mean of the mask over the patch differ by 1",
    ChangesTheTwin: "the paired real segment is changed: frames differs",
}
