"""From a folder of shards to the batches that are trained and validated on."""

from __future__ import annotations

from mgst_data.core import UsageError
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import SegmentDataset, SegmentLoader, SegmentSampler, ShardReader, warn_and_skip
from mgst_model.train.config import DataConfig

TRAIN, VAL = "train", "val"


def open_split(shards: str, data: DataConfig, split: str) -> ShardReader:
    """The chunks of a split that a training reads: real ones, and fakes where those are learnt.

    Raises:
        UsageError: if a kind of them is missing.
    """
    real = None if data.fakes != "blends" else 0
    methods = ("real", *data.methods) if data.methods else None
    reader = ShardReader.open(shards, split=split, label=real, methods=methods)
    wanted = {0} if real == 0 else {0, 1}
    missing = wanted - set(reader.label.tolist())
    if missing:
        kind = "real" if 0 in missing else "fake"
        hint = "training and validation read the splits train and val; give the data set splits when extracting"
        raise UsageError(f"has no {kind} videos in the split {split!r}", where=shards, hint=hint)
    return reader


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
        seed: Of the draws.
        rank: Number of this process.
        world: Number of processes.
        training: Shuffled, of full batches, and with ``data.stride``; otherwise the draws of the first epoch in their
            order, of consecutive frames, as videos are scored.
        pin: Put batches into page-locked memory.

    Raises:
        UsageError: if there is not one full batch to train on, or if all videos of a label are too short.
    """
    window = RandomWindow(data.frames, data.stride if training else 1)
    dataset = SegmentDataset(reader, window, size=data.size, on_error=warn_and_skip)
    lost = set(reader.label.tolist()) - set(dataset.reader.label.tolist())
    if lost:
        what = f"no {'fake' if 1 in lost else 'real'} chunk of {TRAIN if training else VAL} has {window.span} frames"
        raise UsageError(what, hint="lower data.frames or data.stride")
    sampler = SegmentSampler(
        dataset.reader,
        data.batch,
        seed=seed,
        rank=rank,
        world=world,
        shuffle=training,
        balance=training and data.fakes != "blends",
        per_video=data.per_video if training else data.val_per_video,
        drop_last=training,
    )
    if training and not len(sampler):
        hint = f"lower data.batch ({data.batch}) or raise data.per_video ({data.per_video})"
        raise UsageError(f"{sampler.draws} draws do not fill a batch for each of {world} processes", hint=hint)
    return SegmentLoader(dataset, sampler, workers=data.workers, pin_memory=pin)
