"""Builds the batches for training and validation from a folder of shards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from lightning.fabric import Fabric

from mgst_data.core import REAL, UsageError
from mgst_data.core.errors import check_name
from mgst_data.core.sampling import RandomWindow
from mgst_data.processes import available_cores
from mgst_data.shards import (
    PeopleTable,
    SegmentBatch,
    SegmentDataset,
    SegmentLoader,
    SegmentSampler,
    ShardFolder,
    ShardReader,
    warn_and_skip,
)
from mgst_data.shards.report import latest
from mgst_model.train.experiment import DataConfig

TRAIN, VAL = "train", "val"
# More reading processes rarely make a training faster.
_MOST_WORKERS = 8
# Identities are counted in at most this number of videos, because each video costs one read.
_COUNTED_VIDEOS = 500


@runtime_checkable
class Loader(Protocol):
    """The methods of a loader that :class:`~mgst_model.train.Trainer` uses.

    :class:`~mgst_data.shards.SegmentLoader` has them.
    """

    def __len__(self) -> int:
        """Number of batches that are left in the epoch; the same in every complete epoch."""

    def __iter__(self) -> Iterator[SegmentBatch]:
        """Yields the batches that are left in the epoch. The loader is then at the start of the next epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the position as plain values, with ``epoch`` (from 0) among them."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the position."""


def make_loaders(
    shards: str, data: DataConfig, *, seed: int = 0, fabric: Fabric | None = None
) -> tuple[SegmentLoader, SegmentLoader]:
    """Builds the loaders of the splits train and val for this process.

    Args:
        shards: Folder of shards, by path or URL.
        data: Options of the data.
        seed: Seed of the sampling.
        fabric: Fabric of the training, which has the number of processes. None for one process on a CPU.

    Returns:
        The loader of the training and the loader of the validation.

    Raises:
        UsageError: if a split has too few videos, or lacks the real or fake videos that the training needs.
    """
    share: dict[str, Any] = {}
    if fabric is not None:
        pin = fabric.device.type == "cuda"
        share = {"rank": fabric.global_rank, "world": fabric.world_size, "pin": pin}
    training, validation = (open_split(shards, data, split) for split in (TRAIN, VAL))
    return (
        make_loader(training, data, seed=seed, training=True, **share),
        make_loader(validation, data, seed=seed, training=False, **share),
    )


def open_split(shards: str, data: DataConfig, split: str) -> ShardReader:
    """Opens the chunks of a split that a training reads: real ones, and fakes if the training uses them.

    Args:
        shards: Folder of shards, by path or URL.
        data: Options of the data.
        split: "train" or "val".

    Raises:
        UsageError: if there are no such chunks, or a method is unknown.
    """
    real = None if data.fakes != "blends" else REAL
    methods = ("real", *data.methods) if data.methods else None
    if data.methods and real is None:
        reports = latest(ShardFolder.read(shards).reports()).values()
        there = dict.fromkeys(sorted(video.method for video in reports if video.label and not video.skipped))
        for name in data.methods:
            check_name(name, there, "fake method", f"{shards}, data.methods")
    reader = ShardReader.open(shards, split=split, label=real, methods=methods)
    wanted = {0} if real == REAL else {0, 1}
    missing = wanted - set(reader.label.tolist())
    if missing:
        kind = "real" if 0 in missing else "fake"
        raise UsageError(f"no {kind} videos in the split {split!r}", where=shards, hint=_splits_there(shards, data))
    return reader


def trained_on(shards: str, reader: ShardReader) -> dict[str, Any]:
    """Returns facts about the training set, for the card of the weights.

    Args:
        shards: Folder of shards.
        reader: The chunks of the split train.

    Returns:
        ``real_videos``: number of real videos by data set. ``people``: number of identities in the real videos; of
            persons, if the data set does not name them and ``mgst-data people`` has found them; None if neither is
            known, or if there are too many videos to read.
    """
    keys = set(reader.videos)
    real = [video for video in latest(ShardFolder.read(shards).reports()).values() if video.key in keys]
    real = [video for video in real if video.label == REAL]
    people: set[str] | None = set() if len(real) <= _COUNTED_VIDEOS else None
    if people is not None:
        first = {int(video): row for row, video in reversed(list(enumerate(reader.video.tolist())))}
        rows = [row for row in first.values() if int(reader.label[row]) == REAL]
        named = [reader[row].record.target_key for row in rows]
        people = set(named) if all(named) else None
    table = PeopleTable.read(shards) if people is None else None
    if table is not None:
        persons = table.main_persons()
        people = {persons.get(video.key, video.key) for video in real}
    return {
        "real_videos": dict(sorted(Counter(video.dataset for video in real).items())),
        "people": None if people is None else len(people),
    }


def make_loader(
    reader: ShardReader,
    data: DataConfig,
    *,
    seed: int,
    rank: int = 0,
    world: int = 1,
    training: bool,
    pin: bool = False,
) -> SegmentLoader:
    """Builds the loader of one process.

    Args:
        reader: The chunks of a split.
        data: Options of the data.
        seed: Seed of the sampling.
        rank: Number of this process, from 0.
        world: Number of processes.
        training: True: shuffled, only full batches, and with ``data.stride``. False: the samples of the first epoch in
            their order, with consecutive frames, as in scoring.
        pin: Whether batches are copied to page-locked memory.

    Raises:
        UsageError: if there is no full batch to train on, or if all videos of a label are too short.
    """
    stride = data.stride if training else 1
    window = RandomWindow(data.frames, stride)
    split = TRAIN if training else VAL
    longest = {label: int(reader.frames[reader.label == label].max()) for label in sorted(set(reader.label.tolist()))}
    for label, frames in longest.items():
        if frames < window.span:
            what = f"no {'fake' if label else 'real'} chunk of the split {split!r} has {window.span} consecutive frames"
            lower = "data.frames or data.stride" if stride > 1 else "data.frames"
            hint = f"the longest has {frames}: lower {lower} (--set data.frames={max(1, frames // stride)})"
            raise UsageError(what, where=reader.location, hint=hint)
    dataset = SegmentDataset(reader, window, size=data.size, on_error=warn_and_skip)
    sampler = SegmentSampler(
        dataset.reader,
        data.batch_size,
        seed=seed,
        rank=rank,
        world=world,
        shuffle=training,
        balance=training and data.fakes != "blends",
        per_video=data.draws_per_video if training else data.val_draws_per_video,
        drop_last=training,
    )
    if training and not len(sampler):
        what = f"an epoch has {sampler.draws} segments, too few for one batch in each of {world} processes"
        hint = f"lower data.batch_size ({data.batch_size}) or raise data.draws_per_video ({data.draws_per_video})"
        raise UsageError(what, where=reader.location, hint=hint)
    workers = _workers(world) if data.workers is None else data.workers
    return SegmentLoader(dataset, sampler, workers=workers, pin_memory=pin)


def _workers(world: int) -> int:
    """Returns the number of reading processes per training process. All processes share the cores."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return max(1, min(_MOST_WORKERS, available_cores() // here - 1))


def _splits_there(shards: str, data: DataConfig) -> str:
    """Returns the hint for a missing split: the existing splits, and what to do."""
    kept = [video for video in latest(ShardFolder.read(shards).reports()).values() if not video.skipped]
    table = PeopleTable.read(shards)
    assigned = table.splits if table else {}
    splits = [video.split or assigned.get(video.key) or "no split" for video in kept]
    counts = Counter((split, "fake" if video.label else "real") for split, video in zip(splits, kept, strict=True))
    there = ", ".join(f"{split}: {number:,} {kind}" for (split, kind), number in sorted(counts.items()))
    needed = "real videos" if data.fakes == "blends" else "real and fake videos"
    where = f"videos here: {there}; " if there else "there are no videos here; "
    how = f"run mgst-data people {shards} --split-by people, or extract again with a manifest that has them"
    return f"{where}a training needs {needed} in the splits train and val: {how}"
