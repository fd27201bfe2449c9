"""Segments as they are read from shards: one sample, and a batch of samples."""

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
        frames: RGB crops, channels-last in memory.
        landmarks: Landmarks in pixels of the crops.
        valid: True for frames in which at least 90 % of the landmarks are valid.
        mask: Manipulation masks: 255 where manipulated; None if the chunk has no masks.
        label: 0 real, 1 fake: whether any frame is fake. A fake video may be real in parts.
        frame_label: The same for each frame.
        frame_indices: Numbers of the frames in their video.
        key: Name of the chunk.
    """

    frames: UInt8[Tensor, "t 3 h w"]
    landmarks: Float[Tensor, "t k 2"]
    valid: Bool[Tensor, " t"]
    mask: UInt8[Tensor, "t 1 h w"] | None
    label: int
    frame_label: Int[Tensor, " t"]
    frame_indices: Int[Tensor, " t"]
    key: str

    def __repr__(self) -> str:
        t, _, h, w = self.frames.shape
        return f"SegmentSample({self.key}, {t} frames of {h}x{w}, label {self.label})"


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBatch:
    """A batch of segments on the CPU, as 8-bit images (fast to transfer). A sequence of SegmentSample.

    Attributes:
        frames: RGB crops, channels-last in memory.
        landmarks: Landmarks in pixels of the crops.
        valid: True for frames in which at least 90 % of the landmarks are valid.
        mask: Manipulation masks: 255 where manipulated; None if no segment of the batch has masks.
        has_mask: True for segments with masks; the mask of the others is 0.
        label: 0 real, 1 fake: whether any frame is fake. A fake video may be real in parts.
        frame_label: The same for each frame.
        frame_indices: Numbers of the frames in their video.
        keys: Names of the chunks.
        skipped: Number of draws that could not be read. They are missing from the batch.
    """

    frames: UInt8[Tensor, "b t 3 h w"]
    landmarks: Float[Tensor, "b t k 2"]
    valid: Bool[Tensor, "b t"]
    mask: UInt8[Tensor, "b t 1 h w"] | None
    has_mask: Bool[Tensor, " b"]
    label: Int[Tensor, " b"]
    frame_label: Int[Tensor, "b t"]
    frame_indices: Int[Tensor, "b t"]
    keys: tuple[str, ...]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> SegmentSample:
        """Returns one segment as a view; no data is copied."""
        return SegmentSample(
            key=self.keys[index],
            frames=self.frames[index],
            landmarks=self.landmarks[index],
            valid=self.valid[index],
            mask=self.mask[index] if self.mask is not None and self.has_mask[index] else None,
            label=int(self.label[index]),
            frame_label=self.frame_label[index],
            frame_indices=self.frame_indices[index],
        )

    def __iter__(self) -> Iterator[SegmentSample]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        b, t, _, h, w = self.frames.shape
        return f"SegmentBatch({b}x{t} frames of {h}x{w}, {self.skipped} skipped)"

    def pin_memory(self) -> SegmentBatch:
        """Returns the batch in page-locked memory. Copies from there to a GPU overlap with the computation."""
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        pinned: dict[str, Any] = {k: value.pin_memory() for k, value in columns.items() if isinstance(value, Tensor)}
        return replace(self, **pinned)

    def to_segment(self, device: torch.device | str = "cpu", *, grid: int = PATCH_GRID) -> Segment:
        """Moves the batch to a device and converts it to a Segment there.

        With masks, a frame is fake if any of its pixels is manipulated, and the label of a patch is the manipulated
        share of its pixels. Without masks, patches have the label of their frame. In a video that is fake in parts,
        the mask outside these parts is 0.

        Args:
            device: Device of the segment.
            grid: Number of patches per side of a frame.
        """

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        segment = Segment.of(
            move(self.frames), move(self.landmarks), valid=move(self.valid), label=move(self.label), grid=grid
        )
        fake = move(self.frame_label).to(segment.label)
        segment = segment.replace(
            frame_label=fake, patch_label=fake[:, :, None, None].expand_as(segment.patch_label).clone()
        )
        if self.mask is None:
            return segment
        mask, known = move(self.mask).float() / 255 * fake[:, :, None, None, None], move(self.has_mask)
        b, t = mask.shape[:2]
        patches = adaptive_avg_pool2d(mask.flatten(0, 1), grid).reshape(b, t, grid, grid)
        return segment.replace(
            mask=mask,
            frame_label=torch.where(known[:, None], (mask.amax(dim=(2, 3, 4)) > 0).float(), segment.frame_label),
            patch_label=torch.where(known[:, None, None, None], patches, segment.patch_label),
        )


def collate_segments(samples: SegmentBatch | Sequence[SegmentSample]) -> SegmentBatch:
    """Makes a batch of samples: the ``collate_fn`` of a DataLoader over segments.

    The default ``collate_fn`` of PyTorch calls it for SegmentSample.

    Args:
        samples: One or more samples. A SegmentBatch, which SegmentDataset returns, is returned unchanged.

    Raises:
        UsageError: if the samples differ in the size of the frames, or in the number of frames or landmarks.
    """
    if isinstance(samples, SegmentBatch):
        return samples
    shapes = {(*sample.frames.shape[-2:], *sample.landmarks.shape[:2]) for sample in samples}
    if len(shapes) > 1:
        given = "; ".join(f"{t} frames of {h}x{w} with {k} landmarks" for h, w, t, k in sorted(shapes))
        hint = "give a size to scale all of them to, and the same number of frames"
        raise UsageError(f"segments of different shapes cannot be batched: {given}", hint=hint)
    has_mask = [sample.mask is not None for sample in samples]
    empty = torch.zeros_like(samples[0].frames[:, :1], memory_format=torch.contiguous_format)
    masks = [empty if sample.mask is None else sample.mask for sample in samples] if any(has_mask) else []
    return SegmentBatch(
        # Stacking keeps the channels-last memory format of the samples.
        frames=torch.stack([sample.frames.movedim(1, -1) for sample in samples]).movedim(-1, 2),
        landmarks=torch.stack([sample.landmarks for sample in samples]),
        valid=torch.stack([sample.valid for sample in samples]),
        mask=torch.stack(masks) if masks else None,
        has_mask=torch.tensor(has_mask),
        label=torch.tensor([sample.label for sample in samples]),
        frame_label=torch.stack([sample.frame_label for sample in samples]),
        frame_indices=torch.stack([sample.frame_indices for sample in samples]),
        keys=tuple(sample.key for sample in samples),
    )


def _collate(
    samples: SegmentBatch | Sequence[SegmentSample],
    *,
    collate_fn_map: object = None,  # noqa: ARG001 (torch passes its table, for containers of other types)
) -> SegmentBatch:
    return collate_segments(samples)


# With this entry a DataLoader needs no collate_fn. The documentation of default_collate describes it as the way to
# add a type.
default_collate_fn_map[SegmentSample] = _collate
