"""From a folder of shards to the batches that are trained and validated on."""

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
# Reading processes beyond this number rarely make a training faster.
_MOST_WORKERS = 8
# People are counted in at most so many videos: each costs one read.
_COUNTED_VIDEOS = 500


@runtime_checkable
class Loader(Protocol):
    """What :class:`~mgst_model.train.Trainer` needs of a loader; :class:`~mgst_data.shards.SegmentLoader` is one."""

    def __len__(self) -> int:
        """Batches that are left of the epoch, the same number in every whole epoch."""

    def __iter__(self) -> Iterator[SegmentBatch]:
        """The batches that are left of the epoch; at their end it stands at the beginning of the next epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as plain values; ``epoch`` among them, from 0."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to where it stood."""


def make_loaders(
    shards: str, data: DataConfig, *, seed: int = 0, fabric: Fabric | None = None
) -> tuple[SegmentLoader, SegmentLoader]:
    """Batches of the splits train and val, for this process.

    Args:
        shards: Folder of shards, by path or URL.
        data: Which segments are drawn.
        seed: Seed of the draws.
        fabric: That the training runs on: it knows how many processes share the draws. None for one process on a CPU.

    Raises:
        UsageError: if a split holds too little, or no real or fake videos where these are learnt.
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
    """The chunks of a split that a training reads: real ones, and fakes where those are learnt.

    Raises:
        UsageError: if there are none, or a method is not there.
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
        raise UsageError(f"has no {kind} videos in the split {split!r}", where=shards, hint=_splits_there(shards, data))
    return reader


def trained_on(shards: str, reader: ShardReader) -> dict[str, Any]:
    """What a training learns from, for the card of its weights.

    Args:
        shards: Folder of shards.
        reader: The chunks of the split train.

    Returns:
        ``real_videos`` by data set; ``people``, the number of different people in the real videos as far as the data
        set names them, or None where they are not named or the videos are too many to look into.
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
    """Batches of segments for one of several processes.

    Args:
        reader: The chunks of a split.
        data: Sizes and numbers.
        seed: Seed of the draws.
        rank: Number of this process.
        world: Number of processes.
        training: Shuffled, of full batches, and with ``data.stride``; otherwise the draws of the first epoch in their
            order, of consecutive frames, as videos are scored.
        pin: Put batches into page-locked memory.

    Raises:
        UsageError: if there is not one full batch to train on, or if all videos of a label are too short.
    """
    stride = data.stride if training else 1
    window = RandomWindow(data.frames, stride)
    split = TRAIN if training else VAL
    longest = {label: int(reader.frames[reader.label == label].max()) for label in sorted(set(reader.label.tolist()))}
    for label, frames in longest.items():
        if frames < window.span:
            what = f"no {'fake' if label else 'real'} clip of the split {split} has {window.span} consecutive frames"
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
        what = f"an epoch draws {sampler.draws} segments, too few for one batch in each of {world} processes"
        hint = f"lower data.batch_size ({data.batch_size}) or raise data.draws_per_video ({data.draws_per_video})"
        raise UsageError(what, where=reader.location, hint=hint)
    workers = _workers(world) if data.workers is None else data.workers
    return SegmentLoader(dataset, sampler, workers=workers, pin_memory=pin)


def _workers(world: int) -> int:
    """Reading processes for each process that trains: they share the cores, and each leaves one to its training."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return max(1, min(_MOST_WORKERS, available_cores() // here - 1))


def _splits_there(shards: str, data: DataConfig) -> str:
    """What to do where a split that trainings read is missing."""
    kept = [video for video in latest(ShardFolder.read(shards).reports()).values() if not video.skipped]
    counts = Counter((video.split or "no split", "fake" if video.label else "real") for video in kept)
    there = ", ".join(f"{split}: {number:,} {kind}" for (split, kind), number in sorted(counts.items()))
    needed = "real videos" if data.fakes == "blends" else "real and fake videos"
    where = f"here: {there}; " if there else "no video was kept here; "
    return f"{where}a training needs {needed} in the splits train and val: give them when extracting, by a manifest"
