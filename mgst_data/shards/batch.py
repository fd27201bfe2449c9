"""Segments as they come from the disk, one by one and as a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch.utils.data._utils.collate import default_collate_fn_map

from mgst_data.core import Segment, UsageError
from mgst_data.core.segment import PATCH_GRID


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSample:
    """One segment: t frames of one face, on the CPU.

    Attributes:
        frames: RGB; stored channels-last.
        landmarks: Pixels of the frames.
        valid: Frames of which at least 90 % of the landmarks are valid.
        mask: 255 where manipulated; None if there are no masks.
        label: 0 real, 1 fake.
        frame_indices: Numbers of the frames in their video.
        key: Name of the chunk.
    """

    frames: UInt8[Tensor, "t 3 h w"]
    landmarks: Float[Tensor, "t k 2"]
    valid: Bool[Tensor, " t"]
    mask: UInt8[Tensor, "t 1 h w"] | None
    label: int
    frame_indices: Int[Tensor, " t"]
    key: str

    def __repr__(self) -> str:
        t, _, h, w = self.frames.shape
        return f"SegmentSample({self.key}, {t} frames of {h}x{w}, label {self.label})"


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBatch:
    """Segments as they come from the disk: small to send, still on the CPU. A sequence of SegmentSample.

    Attributes:
        frames: RGB; stored channels-last.
        landmarks: Pixels of the frames.
        valid: Frames of which at least 90 % of the landmarks are valid.
        mask: 255 where manipulated; None if no segment of the batch has masks.
        has_mask: Segments with masks; the mask of the others is 0.
        label: 0 real, 1 fake.
        frame_indices: Numbers of the frames in their video.
        keys: Names of the chunks.
        skipped: Draws that could not be read and are missing here.
    """

    frames: UInt8[Tensor, "b t 3 h w"]
    landmarks: Float[Tensor, "b t k 2"]
    valid: Bool[Tensor, "b t"]
    mask: UInt8[Tensor, "b t 1 h w"] | None
    has_mask: Bool[Tensor, " b"]
    label: Int[Tensor, " b"]
    frame_indices: Int[Tensor, "b t"]
    keys: tuple[str, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> SegmentSample:
        """One segment; nothing is copied."""
        return SegmentSample(
            key=self.keys[index],
            frames=self.frames[index],
            landmarks=self.landmarks[index],
            valid=self.valid[index],
            mask=self.mask[index] if self.mask is not None and self.has_mask[index] else None,
            label=int(self.label[index]),
            frame_indices=self.frame_indices[index],
        )

    def __iter__(self) -> Iterator[SegmentSample]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        b, t, _, h, w = self.frames.shape
        return f"SegmentBatch({b}x{t} frames of {h}x{w}, {self.skipped} skipped)"

    def pin_memory(self) -> SegmentBatch:
        """The same in page-locked memory, from which copies to a GPU run beside the computation."""
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        pinned: dict[str, Any] = {k: value.pin_memory() for k, value in columns.items() if isinstance(value, Tensor)}
        return replace(self, **pinned)

    def to_segment(self, device: torch.device | str = "cpu", *, grid: int = PATCH_GRID) -> Segment:
        """Moves the batch to a device and makes a Segment of it there.

        A frame with a mask is a fake if anything in it is manipulated, and the label of a patch is its manipulated
        share; without masks, frames and patches have the label of their segment.
        """

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        segment = Segment.of(
            move(self.frames), move(self.landmarks), valid=move(self.valid), label=move(self.label), grid=grid
        )
        if self.mask is None:
            return segment
        mask, known = move(self.mask).float() / 255, move(self.has_mask)
        b, t = mask.shape[:2]
        patches = adaptive_avg_pool2d(mask.flatten(0, 1), grid).reshape(b, t, grid, grid)
        return segment.replace(
            mask=mask,
            frame_label=torch.where(known[:, None], (mask.amax(dim=(2, 3, 4)) > 0).float(), segment.frame_label),
            patch_label=torch.where(known[:, None, None, None], patches, segment.patch_label),
        )


def collate_segments(samples: SegmentBatch | Sequence[SegmentSample]) -> SegmentBatch:
    """Makes a batch of samples: the ``collate_fn`` of any DataLoader over segments, and what its default one does.

    Args:
        samples: At least one. What is a batch already, as SegmentDataset reads it, is returned as it is.

    Raises:
        UsageError: if the samples differ in the size of the frames, or the number of frames or landmarks.
    """
    if isinstance(samples, SegmentBatch):
        return samples
    shapes = {(*sample.frames.shape[-2:], *sample.landmarks.shape[:2]) for sample in samples}
    if len(shapes) > 1:
        given = "; ".join(f"{t} frames of {h}x{w} with {k} landmarks" for h, w, t, k in sorted(shapes))
        hint = "give a size that all are scaled to, and the same number of frames"
        raise UsageError(f"segments of different shapes cannot be batched: {given}", hint=hint)
    has_mask = [sample.mask is not None for sample in samples]
    empty = torch.zeros_like(samples[0].frames[:, :1], memory_format=torch.contiguous_format)
    masks = [empty if sample.mask is None else sample.mask for sample in samples] if any(has_mask) else []
    return SegmentBatch(
        # Stacked channels-last, as they are stored.
        frames=torch.stack([sample.frames.movedim(1, -1) for sample in samples]).movedim(-1, 2),
        landmarks=torch.stack([sample.landmarks for sample in samples]),
        valid=torch.stack([sample.valid for sample in samples]),
        mask=torch.stack(masks) if masks else None,
        has_mask=torch.tensor(has_mask),
        label=torch.tensor([sample.label for sample in samples]),
        frame_indices=torch.stack([sample.frame_indices for sample in samples]),
        keys=tuple(sample.key for sample in samples),
    )


def _collate(
    samples: SegmentBatch | Sequence[SegmentSample],
    *,
    collate_fn_map: object = None,  # noqa: ARG001 (torch hands over its table, for types that hold others)
) -> SegmentBatch:
    return collate_segments(samples)


# So that a DataLoader needs no collate_fn; the documentation of default_collate names this way to add a type.
default_collate_fn_map[SegmentSample] = _collate
