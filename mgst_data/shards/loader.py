"""From shards to batches of segments."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, SupportsIndex

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch.utils.data import DataLoader, Dataset

from mgst_data.core import ShardError, UsageError, generator_for, seed_for
from mgst_data.core.errors import MgstWarning
from mgst_data.core.sampling import FrameSampler
from mgst_data.shards.batch import SegmentBatch, SegmentSample, collate_segments
from mgst_data.shards.images import scale_image
from mgst_data.shards.reader import ShardReader
from mgst_data.shards.sampler import Draw, SegmentSampler
from mgst_data.shards.schema import FaceChunk
from mgst_data.shards.storage import DAMAGED

# A jaw point beyond the border spoils no mask; a face of which a tenth is missing does.
VALID_SHARE = 0.9


def reraise(error: ShardError) -> None:
    """Error handler: a damaged chunk ends the run."""
    raise error


def warn_and_skip(error: ShardError) -> None:
    """Error handler: a damaged chunk is left out of its batch, counted there, and named in a warning."""
    warnings.warn(str(error), MgstWarning, stacklevel=2)


class SegmentDataset(Dataset[SegmentSample]):
    """The chunks of a reader as a map-style data set: reads a chunk, chooses frames, decodes those and no others.

    A DataLoader makes batches of them, with ``collate_fn=collate_segments`` or without. Which frames ``dataset[i]`` has
    depends on the seed, the epoch and i: for other windows in every epoch, call ``set_epoch`` before it, or take
    SegmentLoader with a SegmentSampler, which also balances labels and resumes in mid-epoch.

    Args:
        reader: The chunks; those with fewer frames than the sampler's span are left out.
        choose: Chooses the frames of a segment.
        size: Side that crops are scaled to, landmarks and masks with them; None keeps crops that are all of one size.
        seed: Seed of the choice of frames where an index is given; a Draw has a seed of its own.
        on_error: Called with the ShardError of a chunk that cannot be read; if it returns, the chunk is left out of its
            batch.

    Raises:
        UsageError: if no chunk is long enough.
    """

    def __init__(
        self,
        reader: ShardReader,
        choose: FrameSampler,
        *,
        size: int | None = None,
        seed: int = 0,
        on_error: Callable[[ShardError], None] = reraise,
    ) -> None:
        self.reader = reader.where(reader.frames >= choose.span)
        self.choose, self.size, self.seed, self.on_error = choose, size, seed, on_error
        # Shared, so that workers which persist from epoch to epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # type: ignore[no-untyped-call]
        if len(reader) and not len(self.reader):
            longest = int(reader.frames.max())
            what = f"no chunk has {choose.span} frames; the longest has {longest}"
            hint = f"take fewer frames or a smaller stride, or extract longer chunks with --frames {choose.span}"
            raise UsageError(what, where=reader.location, hint=hint)

    def __len__(self) -> int:
        return len(self.reader)

    def set_epoch(self, epoch: int) -> None:
        """Makes ``dataset[i]`` choose other frames; workers that are running already follow."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: SupportsIndex | Draw) -> SegmentSample:
        """Reads one segment: of the chunk with this number, from the end if negative, or of a draw.

        Raises:
            IndexError: if there is no chunk with this number.
            ShardError: if the chunk cannot be read, whether or not ``on_error`` returns.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[SupportsIndex | Draw]) -> SegmentBatch:
        """Reads a batch, as DataLoader asks for it; raises ShardError if not one of its chunks can be read."""
        errors: list[ShardError] = []

        def left_out(error: ShardError) -> None:
            self.on_error(error)
            errors.append(error)

        windows = []
        for draw in map(self._draw, indices):
            try:
                shard = self.reader.shards[self.reader.shard[draw.chunk]]
                windows.append(choose_window(self.reader[draw.chunk], self.choose, draw.seed, shard))
            except ShardError as error:
                left_out(error)
        batch = decode_windows(windows, self.size or self._common_size(windows), left_out)
        if batch is None:
            what = f"none of the {len(indices)} chunks of a batch can be read"
            hint = "find the damage with mgst-data inspect --verify"
            raise errors[0] if len(indices) == 1 else ShardError(what, where=self.reader.location, hint=hint)
        return replace(batch, skipped=len(errors))

    def _draw(self, index: SupportsIndex | Draw) -> Draw:
        if isinstance(index, Draw):
            return index
        chunk, count = operator.index(index), len(self)
        if not -count <= chunk < count:
            raise IndexError(f"there is no segment {chunk} in a data set of {count}")
        return Draw(chunk % count, seed_for(self.seed, "sample", int(self._epoch), chunk % count))

    def _common_size(self, windows: Iterable[Window]) -> int:
        sizes = sorted({window.chunk.crop_size for window in windows})
        if len(sizes) > 1:
            what = f"crops of {', '.join(map(str, sizes))} pixels cannot be batched as they are"
            raise UsageError(what, where=self.reader.location, hint="give a size that all are scaled to")
        return sizes[0] if sizes else 0


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
        self._batches: DataLoader[SegmentSample] = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate_segments,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            generator=generator_for(sampler.seed, "workers"),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SegmentBatch]:
        sampler, begin = self.sampler, self.sampler.position
        for number, batch in enumerate(self._batches, start=1):
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


class Window(NamedTuple):
    """Frames of a chunk that make a segment, and the path or URL of their shard, which errors name."""

    chunk: FaceChunk
    positions: Sequence[int]
    shard: str


def choose_window(chunk: FaceChunk, choose: FrameSampler, seed: int, shard: str) -> Window:
    """Chooses the frames of a segment; raises ShardError where they do not fit into the chunk."""
    try:
        return Window(chunk, choose(len(chunk), torch.Generator().manual_seed(seed)), shard)
    except ValueError as error:
        raise ShardError(str(error), where=f"{shard}: {chunk.key}") from error


def decode_windows(
    windows: Sequence[Window], size: int, on_error: Callable[[ShardError], None] = reraise
) -> SegmentBatch | None:
    """Decodes the chosen frames, and no others, into one batch.

    Args:
        windows: With the same number of frames.
        size: Side that crops are scaled to.
        on_error: Called with the error of a window that cannot be decoded; if it returns, the window is left out.

    Returns:
        The batch, or None where nothing is left of it.
    """
    shape = (len(windows), len(windows[0].positions) if windows else 0, size, size)
    frames = np.empty((*shape, 3), dtype=np.uint8)
    masks = np.zeros(shape, dtype=np.uint8)
    whole = []
    for i, window in enumerate(windows):
        try:
            _decode(window, frames[i], masks[i])
            whole.append(i)
        except ShardError as error:
            on_error(ShardError(error.what, where=f"{window.shard}: {window.chunk.key}", hint=error.hint or DAMAGED))
    if not whole:
        return None
    if len(whole) < len(windows):
        windows, frames, masks = [windows[i] for i in whole], frames[whole], masks[whole]
    chunks = [(window.chunk, list(window.positions)) for window in windows]
    scales = torch.tensor([size / chunk.crop_size for chunk, _ in chunks])
    landmarks = torch.stack([chunk.landmarks[positions] for chunk, positions in chunks])
    valid = torch.stack([chunk.valid[positions] for chunk, positions in chunks])
    has_mask = torch.tensor([bool(chunk.masks) for chunk, _ in chunks])
    return SegmentBatch(
        frames=torch.from_numpy(frames).permute(0, 1, 4, 2, 3),
        # As pictures are scaled: about the corner of the first pixel, whose centre is 0.
        landmarks=(landmarks + 0.5) * scales[:, None, None, None] - 0.5,
        valid=valid.float().mean(dim=-1) >= VALID_SHARE,
        mask=torch.from_numpy(masks)[:, :, None] if bool(has_mask.any()) else None,
        has_mask=has_mask,
        label=torch.tensor([chunk.record.label for chunk, _ in chunks]),
        frame_indices=torch.stack([chunk.frame_indices[positions] for chunk, positions in chunks]),
        keys=tuple(chunk.key for chunk, _ in chunks),
    )


def _decode(window: Window, frames: UInt8[ndarray, "t h w 3"], masks: UInt8[ndarray, "t h w"]) -> None:
    chunk, positions = window.chunk, window.positions
    for decoded, target in ((chunk.frames(positions), frames), (chunk.mask_frames(positions), masks)):
        for image, out in zip(decoded, target, strict=False):
            if image.shape == out.shape:
                out[...] = image
            else:
                scale_image(image, len(out), out)


# A forked process inherits OpenCV's pool of threads but not the threads, and now and then waits for them for ever. So
# the pool is closed while a process forks; the new one keeps OpenCV on one thread, as suits one process a core.
_opencv_threads: list[int] = []


def _close_pool() -> None:
    _opencv_threads.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _open_pool() -> None:
    cv2.setNumThreads(_opencv_threads.pop())


os.register_at_fork(before=_close_pool, after_in_parent=_open_pool)
