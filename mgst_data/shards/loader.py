"""From shards to batches of segments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torch.utils.data import DataLoader, Dataset

from mgst_data.core import Segment, ShardError, UsageError, generator_for
from mgst_data.core.errors import MgstWarning
from mgst_data.core.sampling import FrameSampler
from mgst_data.core.segment import PATCH_GRID
from mgst_data.shards.images import scale_image
from mgst_data.shards.reader import ShardReader
from mgst_data.shards.sampler import Draw, SegmentSampler
from mgst_data.shards.schema import FaceChunk

T = TypeVar("T")

# A jaw point beyond the border spoils no mask; a face of which a tenth is missing does.
VALID_SHARE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBatch:
    """Segments as they come from the disk: small to send, still on the CPU.

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


def reraise(error: ShardError) -> None:
    """Error handler: a damaged chunk ends the run."""
    raise error


def warn_and_skip(error: ShardError) -> None:
    """Error handler: a damaged chunk is left out of its batch, counted there, and named in a warning."""
    warnings.warn(str(error), MgstWarning, stacklevel=2)


class SegmentDataset(Dataset[SegmentBatch]):
    """Maps a list of draws to a batch: reads the chunks, chooses frames, decodes those and no others.

    Args:
        reader: The chunks; those with fewer frames than the sampler's span are left out.
        choose: Chooses the frames of a segment.
        size: Side that crops are scaled to, landmarks and masks with them; None keeps crops that are all of one size.
        on_error: Called with the ShardError of a chunk that cannot be read; if it returns, the chunk is left out.

    Raises:
        UsageError: if no chunk is long enough.
    """

    def __init__(
        self,
        reader: ShardReader,
        choose: FrameSampler,
        *,
        size: int | None = None,
        on_error: Callable[[ShardError], None] = reraise,
    ) -> None:
        self.reader = reader.where(reader.frames >= choose.span)
        self.choose, self.size, self.on_error = choose, size, on_error
        if len(reader) and not len(self.reader):
            longest = int(reader.frames.max())
            what = f"no chunk has {choose.span} frames; the longest has {longest}"
            hint = f"take fewer frames or a smaller stride, or extract longer chunks with --frames {choose.span}"
            raise UsageError(what, where=reader.location, hint=hint)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, draws: Sequence[Draw]) -> SegmentBatch:
        """Reads a batch; raises ShardError if not one of its chunks can be read."""
        chosen = [found for draw in draws if (found := self._attempt(self._choose, draw))]
        size = self.size or self._common_size(chunk for chunk, _ in chosen)
        shape = (len(chosen), len(chosen[0][1]) if chosen else 0, size, size)
        frames = np.empty((*shape, 3), dtype=np.uint8)
        masks = np.zeros(shape, dtype=np.uint8)
        whole = [i for i, found in enumerate(chosen) if self._attempt(_decode, *found, frames[i], masks[i])]
        if not whole:
            what = f"none of the {len(draws)} chunks of a batch can be read"
            raise ShardError(what, where=self.reader.location, hint="find the damage with mgst-data inspect --verify")
        if len(whole) < len(chosen):
            chosen, frames, masks = [chosen[i] for i in whole], frames[whole], masks[whole]
        scales = torch.tensor([size / chunk.crop_size for chunk, _ in chosen])
        landmarks = torch.stack([chunk.landmarks[positions] for chunk, positions in chosen])
        valid = torch.stack([chunk.valid[positions] for chunk, positions in chosen])
        has_mask = torch.tensor([bool(chunk.masks) for chunk, _ in chosen])
        return SegmentBatch(
            frames=torch.from_numpy(frames).permute(0, 1, 4, 2, 3),
            # As pictures are scaled: about the corner of the first pixel, whose centre is 0.
            landmarks=(landmarks + 0.5) * scales[:, None, None, None] - 0.5,
            valid=valid.float().mean(dim=-1) >= VALID_SHARE,
            mask=torch.from_numpy(masks)[:, :, None] if bool(has_mask.any()) else None,
            has_mask=has_mask,
            label=torch.tensor([chunk.record.label for chunk, _ in chosen]),
            frame_indices=torch.stack([chunk.frame_indices[positions] for chunk, positions in chosen]),
            keys=tuple(chunk.key for chunk, _ in chosen),
            skipped=len(draws) - len(chosen),
        )

    def _choose(self, draw: Draw) -> tuple[FaceChunk, list[int]]:
        chunk = self.reader[draw.chunk]
        try:
            positions = self.choose(len(chunk), torch.Generator().manual_seed(draw.seed))
        except ValueError as error:
            raise ShardError(str(error), where=f"{self.reader.location}: {chunk.key}") from error
        return chunk, list(positions)

    def _common_size(self, chunks: Iterable[FaceChunk]) -> int:
        sizes = sorted({chunk.crop_size for chunk in chunks})
        if len(sizes) > 1:
            what = f"crops of {', '.join(map(str, sizes))} pixels cannot be batched as they are"
            raise UsageError(what, where=self.reader.location, hint="give a size that all are scaled to")
        return sizes[0] if sizes else 0

    def _attempt(self, read: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return read(*arguments)
        except ShardError as error:
            self.on_error(error)
            return None


class SegmentLoader:
    """Iterates over the batches that are left of an epoch, then stands at the beginning of the next.

    Workers read ahead, but what counts is what was handed out: ``state_dict`` called after the n-th batch leads to
    exactly the batches after it. Batches come in the sampler's order, so they do not depend on the number of workers.

    Args:
        dataset: Turns draws into batches.
        sampler: Makes the draws; over the reader of the dataset.
        workers: Processes that read and decode; 0 does so in this one.
        pin_memory: Whether batches are put into page-locked memory.
    """

    def __init__(
        self, dataset: SegmentDataset, sampler: SegmentSampler, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        if sampler.reader.digest != dataset.reader.digest:
            raise ValueError("the sampler is not over the reader of the dataset")
        self.sampler, self.skipped = sampler, 0
        # The sampler makes batches of draws itself, and the dataset reads them as a whole: batch_size is None.
        self._batches = DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            generator=generator_for(sampler.seed, "workers"),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SegmentBatch]:
        sampler, begin = self.sampler, self.sampler.position
        with _without_opencv_threads():
            batches = iter(self._batches)  # starts the workers
        for number, batch in enumerate(batches, start=1):
            sampler.position = begin + number * sampler.stride
            self.skipped += batch.skipped
            yield batch
        sampler.epoch, sampler.position = sampler.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands; the same for every process."""
        sampler = self.sampler
        return {
            "epoch": sampler.epoch,
            "position": sampler.position,
            "seed": sampler.seed,
            "chunks": sampler.reader.digest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to where another iteration stood; batch size and number of processes may have changed since.

        Raises:
            UsageError: if the state is of other chunks or another seed.
        """
        mine = self.state_dict()
        if any(state[name] != mine[name] for name in ("seed", "chunks")):
            hint = "go on with the shards and the seed that it was saved with"
            raise UsageError(
                "the state is of other shards or another seed", where=self.sampler.reader.location, hint=hint
            )
        self.sampler.epoch, self.sampler.position = state["epoch"], state["position"]


def _decode(
    chunk: FaceChunk, positions: list[int], frames: UInt8[ndarray, "t h w 3"], masks: UInt8[ndarray, "t h w"]
) -> bool:
    for decoded, target in ((chunk.frames(positions), frames), (chunk.mask_frames(positions), masks)):
        for image, out in zip(decoded, target, strict=False):
            if image.shape == out.shape:
                out[...] = image
            else:
                scale_image(image, len(out), out)
    return True


@contextmanager
def _without_opencv_threads() -> Iterator[None]:
    """Ends OpenCV's threads for a while: a forked process inherits the pool but not its threads, and waits for them.

    A process that is forked meanwhile keeps OpenCV on one thread, as suits one process a core.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
