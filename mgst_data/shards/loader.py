"""Reads shards as batches of segments."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from mgst_data.core.sampling import FrameSampler, RandomWindow
from mgst_data.processes import obey_parent
from mgst_data.shards.batch import SegmentBatch, SegmentSample, collate_segments
from mgst_data.shards.images import scale_image
from mgst_data.shards.reader import ShardReader
from mgst_data.shards.sampler import Draw, SegmentSampler
from mgst_data.shards.schema import FaceChunk
from mgst_data.shards.storage import DAMAGED

# A mask is still good if a single jaw point lies outside the picture, but not if a tenth of the face is missing.
VALID_SHARE = 0.9
_STILL = RandomWindow(1)


def reraise(error: ShardError) -> None:
    """Raises the error: with this error handler, a damaged chunk ends the run."""
    raise error


def warn_and_skip(error: ShardError) -> None:
    """Warns of the error: with this error handler, a damaged chunk is omitted from its batch and counted there."""
    warnings.warn(str(error), MgstWarning, stacklevel=2)


class SegmentDataset(Dataset[SegmentSample]):
    """The chunks of a reader as a map-style data set. It reads a chunk, chooses frames, and decodes only those frames.

    A DataLoader makes batches of the segments, with or without ``collate_fn=collate_segments``. The frames of
    ``dataset[i]`` depend on the seed, the epoch and ``i``. For different windows in every epoch, call ``set_epoch``
    before each epoch. As an alternative, use SegmentLoader with a SegmentSampler, which also balances labels and
    resumes within an epoch.

    Args:
        reader: Reader of the chunks. Chunks with fewer frames than ``choose.span`` are omitted.
        choose: Sampler that chooses the frames of a segment.
        size: Side that crops are scaled to, with their landmarks and masks, pixels. With None, crops are not scaled.
            The smaller crops of a batch are then extended to the right and downwards by repeating their outermost
            pixels; their masks are 0 there.
        seed: Seed of the choice of frames for an integer index; a Draw has its own seed.
        stills: Whether videos of a single frame (pictures) are kept too, as segments of one frame. They cannot be in a
            batch with longer segments: use a SegmentSampler with ``span=choose.span``.
        on_error: Called with the ShardError of a chunk that cannot be read. If it returns, the chunk is omitted from
            its batch.

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
        stills: bool = False,
        on_error: Callable[[ShardError], None] = reraise,
    ) -> None:
        long = reader.frames >= choose.span
        self.reader = reader.where(long | reader.stills if stills else long)
        self.choose, self.size, self.seed, self.on_error = choose, size, seed, on_error
        # Shared memory: persistent workers see a new epoch.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # type: ignore[no-untyped-call]
        if len(reader) and not len(self.reader):
            longest = int(reader.frames.max())
            what = f"no chunk has {choose.span} frames; the longest has {longest}"
            hint = f"use fewer frames or a smaller stride, or extract longer chunks with --frames {choose.span}"
            raise UsageError(what, where=reader.location, hint=hint)

    def __len__(self) -> int:
        return len(self.reader)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, so that ``dataset[i]`` chooses other frames. Running workers use the new epoch too."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: SupportsIndex | Draw) -> SegmentSample:
        """Reads one segment.

        Args:
            index: Number of a chunk (from the end if negative), or a draw.

        Raises:
            IndexError: if there is no chunk with this number.
            ShardError: if the chunk cannot be read, even if ``on_error`` returns.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[SupportsIndex | Draw]) -> SegmentBatch:
        """Reads a batch; DataLoader calls this method.

        Args:
            indices: Numbers of chunks, or draws.

        Raises:
            ShardError: if none of the chunks can be read.
            UsageError: if the chunks cannot be in one batch: segments and stills.
        """
        errors: list[ShardError] = []

        def left_out(error: ShardError) -> None:
            self.on_error(error)
            errors.append(error)

        windows, draws = [], [self._draw(index) for index in indices]
        for draw, chunk in zip(draws, self.reader.read([draw.chunk for draw in draws]), strict=True):
            if isinstance(chunk, ShardError):
                left_out(chunk)
                continue
            try:
                shard = self.reader.shards[self.reader.shard[draw.chunk]]
                choose = self.choose if int(self.reader.frames[draw.chunk]) >= self.choose.span else _STILL
                windows.append(choose_window(chunk, choose, draw.seed, shard))
            except ShardError as error:
                left_out(error)
        if len({len(window.positions) for window in windows}) > 1:
            hint = "make the batches with SegmentSampler(dataset.reader, ..., span=choose.span)"
            raise UsageError("segments and stills cannot be in one batch", where=self.reader.location, hint=hint)
        batch = decode_windows(windows, self.size, left_out)
        if batch is None:
            what = f"none of the {len(indices)} chunks of a batch can be read"
            hint = "find the damaged shards with mgst-data inspect --verify"
            raise errors[0] if len(indices) == 1 else ShardError(what, where=self.reader.location, hint=hint)
        return replace(batch, skipped=len(errors))

    def _draw(self, index: SupportsIndex | Draw) -> Draw:
        if isinstance(index, Draw):
            return index
        chunk, count = operator.index(index), len(self)
        if not -count <= chunk < count:
            raise IndexError(f"index {chunk} is out of range for a data set of {count} segments")
        return Draw(chunk % count, seed_for(self.seed, "sample", int(self._epoch), chunk % count))


class SegmentLoader:
    """Iterates over the remaining batches of an epoch. After the last batch, the next epoch begins.

    Workers read ahead, but ``state_dict`` counts only the batches that were returned: a state that was saved after
    batch n resumes at batch n + 1. Batches come in the order of the sampler and do not depend on the number of workers.

    Args:
        dataset: Data set that reads the draws of a batch.
        sampler: Sampler that makes the draws, over the reader of ``dataset``.
        workers: Number of processes that read and decode; 0 reads in this process.
        pin_memory: Whether batches are copied to page-locked memory.

    Raises:
        ValueError: if the sampler is over other chunks than the data set.
    """

    def __init__(
        self, dataset: SegmentDataset, sampler: SegmentSampler, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        if sampler.reader.digest != dataset.reader.digest:
            raise ValueError("sampler and dataset must have the same chunks; make the sampler with dataset.reader")
        self.sampler, self.skipped = sampler, 0
        self._batches: DataLoader[SegmentSample] = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate_segments,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=obey_parent if workers else None,
            generator=generator_for(sampler.seed, "workers"),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SegmentBatch]:
        sampler, begin = self.sampler, self.sampler.position
        cache = sampler.reader.cache
        if cache is not None:
            cache.fetch(sampler.shards())
        for number, batch in enumerate(self._batches, start=1):
            if cache is not None:
                cache.check()
            sampler.position = begin + number * sampler.stride
            self.skipped += batch.skipped
            yield batch
        sampler.epoch, sampler.position = sampler.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Returns the position of the iteration; it is the same in every process."""
        sampler = self.sampler
        return {
            "epoch": sampler.epoch,
            "position": sampler.position,
            "seed": sampler.seed,
            "chunks": sampler.reader.digest,
            # In such an epoch a position depends on the size of the batches.
            **({"stride": sampler.stride} if sampler.mixed else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes at a saved position.

        The batch size and the number of processes may differ from the saved run, unless there are segments and stills.

        Args:
            state: Position that ``state_dict`` returned.

        Raises:
            UsageError: if the state was saved with other chunks or another seed, or, with segments and stills, with
                another batch size or number of processes.
        """
        mine = self.state_dict()
        if state.get("stride") != mine.get("stride"):
            hint = "resume with the batch size and the number of processes of the saved state"
            what = "the state was saved with another batch size or number of processes"
            raise UsageError(what, where=self.sampler.reader.location, hint=hint)
        if any(state[name] != mine[name] for name in ("seed", "chunks")):
            hint = "resume with the shards and the seed of the saved state"
            what = "the state was saved with other shards or another seed"
            raise UsageError(what, where=self.sampler.reader.location, hint=hint)
        self.sampler.epoch, self.sampler.position = state["epoch"], state["position"]


class Window(NamedTuple):
    """The chosen frames of a chunk, and the path or URL of its shard for error messages."""

    chunk: FaceChunk
    positions: Sequence[int]
    shard: str


def choose_window(chunk: FaceChunk, choose: FrameSampler, seed: int, shard: str) -> Window:
    """Chooses the frames of a segment.

    Args:
        chunk: Chunk to choose from.
        choose: Sampler that chooses the frames.
        seed: Seed of the choice.
        shard: Path or URL of the shard, for error messages.

    Raises:
        ShardError: if the chunk has too few frames.
    """
    try:
        return Window(chunk, choose(len(chunk), torch.Generator().manual_seed(seed)), shard)
    except ValueError as error:
        raise ShardError(str(error), where=f"{shard}: {chunk.key}") from error


def decode_windows(
    windows: Sequence[Window], size: int | None, on_error: Callable[[ShardError], None] = reraise
) -> SegmentBatch | None:
    """Decodes only the chosen frames into one batch.

    Args:
        windows: Windows with the same number of frames.
        size: Side that crops are scaled to, pixels; None to extend them to the size of the largest one instead.
        on_error: Called with the error of a window that cannot be decoded. If it returns, the window is omitted.

    Returns:
        The batch; None if no window could be decoded.
    """
    side = size or max((window.chunk.crop_size for window in windows), default=0)
    shape = (len(windows), len(windows[0].positions) if windows else 0, side, side)
    frames = np.empty((*shape, 3), dtype=np.uint8)
    masks = np.zeros(shape, dtype=np.uint8)
    whole = []
    for i, window in enumerate(windows):
        try:
            _decode(window, frames[i], masks[i], scaled=size is not None)
            whole.append(i)
        except ShardError as error:
            on_error(ShardError(error.what, where=f"{window.shard}: {window.chunk.key}", hint=error.hint or DAMAGED))
    if not whole:
        return None
    if len(whole) < len(windows):
        windows, frames, masks = [windows[i] for i in whole], frames[whole], masks[whole]
    chunks = [(window.chunk, list(window.positions)) for window in windows]
    scales = torch.tensor([1.0 if size is None else size / chunk.crop_size for chunk, _ in chunks])
    landmarks = torch.stack([chunk.landmarks[positions] for chunk, positions in chunks])
    valid = torch.stack([chunk.valid[positions] for chunk, positions in chunks])
    has_mask = torch.tensor([bool(chunk.masks) for chunk, _ in chunks])
    fake = torch.stack([chunk.fake_frames[positions] for chunk, positions in chunks])
    return SegmentBatch(
        frames=torch.from_numpy(frames).permute(0, 1, 4, 2, 3),
        # Pixel centres have whole coordinates, but scaling keeps the corner of the first pixel at (-0.5, -0.5).
        landmarks=(landmarks + 0.5) * scales[:, None, None, None] - 0.5,
        valid=valid.float().mean(dim=-1) >= VALID_SHARE,
        mask=torch.from_numpy(masks)[:, :, None] if bool(has_mask.any()) else None,
        has_mask=has_mask,
        label=fake.any(dim=1).long(),
        frame_label=fake.long(),
        frame_indices=torch.stack([chunk.frame_indices[positions] for chunk, positions in chunks]),
        keys=tuple(chunk.key for chunk, _ in chunks),
    )


def _decode(window: Window, frames: UInt8[ndarray, "t h w 3"], masks: UInt8[ndarray, "t h w"], *, scaled: bool) -> None:
    chunk, positions = window.chunk, window.positions
    for decoded, target in ((chunk.frames(positions), frames), (chunk.mask_frames(positions), masks)):
        for image, out in zip(decoded, target, strict=False):
            if image.shape == out.shape:
                out[...] = image
            elif scaled:
                scale_image(image, len(out), out)
            else:
                side = len(image)
                out[:side, :side] = image
                if target is frames:
                    out[:side, side:] = image[:, -1:]
                    out[side:] = out[side - 1 : side]


# A forked process inherits the thread pool of OpenCV without its threads, and can then wait for them for ever.
# Therefore the pool is closed while a process forks. The child keeps one OpenCV thread: it has one core to itself.
_opencv_threads: list[int] = []


def _close_pool() -> None:
    _opencv_threads.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _open_pool() -> None:
    cv2.setNumThreads(_opencv_threads.pop())


os.register_at_fork(before=_close_pool, after_in_parent=_open_pool)
