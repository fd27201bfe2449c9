"""Builds the batches for training and validation from folders of shards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from lightning.fabric import Fabric

from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.errors import check_name, printable
from mgst_data.core.sampling import RandomWindow
from mgst_data.processes import available_cores
from mgst_data.shards import (
    PeopleTable,
    SegmentBatch,
    SegmentDataset,
    SegmentLoader,
    SegmentSampler,
    ShardCache,
    ShardFolder,
    ShardReader,
    Source,
    VideoReport,
    sources_of,
    warn_and_skip,
)
from mgst_data.shards.report import latest
from mgst_data.shards.sources import Places
from mgst_model.train.experiment import DataConfig

TRAIN, VAL = "train", "val"
# More reading processes rarely make a training faster.
_MOST_WORKERS = 8
# Reports of earlier versions name no persons. They are read from the chunks of at most this number of videos.
_READ_VIDEOS = 5000


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
    shards: Places,
    data: DataConfig,
    *,
    seed: int = 0,
    fabric: Fabric | None = None,
    cache: ShardCache | None = None,
) -> tuple[SegmentLoader, SegmentLoader | dict[str, SegmentLoader]]:
    """Builds the loaders of the splits train and val for this process.

    Args:
        shards: Folder of shards, by path or URL; or several folders, see :func:`mgst_data.shards.sources_of`.
        data: Options of the data.
        seed: Seed of the sampling.
        fabric: Fabric of the training, which has the number of processes. None for one process on a CPU.
        cache: Keeps local copies of shards behind URLs; None reads them from their store.

    Returns:
        The loader of the training, and the loader of the validation; if there are several sources, or segments and
        stills, one loader for each by name.

    Raises:
        UsageError: if a split has too few videos, or lacks the real or fake videos that the training needs.
    """
    share: dict[str, Any] = {}
    if fabric is not None:
        pin = fabric.device.type == "cuda"
        share = {"rank": fabric.global_rank, "world": fabric.world_size, "pin": pin}
    training, validation = (open_split(shards, data, split, cache=cache) for split in (TRAIN, VAL))
    loader = make_loader(training, data, seed=seed, training=True, **share)
    parts = validation_parts(validation, data)
    others = {name: make_loader(part, data, seed=seed, training=False, **share) for name, part in parts.items()}
    return loader, others if len(others) > 1 or len(training.sources) > 1 else others.popitem()[1]


def open_split(shards: Places, data: DataConfig, split: str, *, cache: ShardCache | None = None) -> ShardReader:
    """Opens the chunks of a split that a training reads: real ones, and fakes if the training uses them.

    Args:
        shards: Folder of shards, by path or URL; or several folders.
        data: Options of the data.
        split: "train" or "val". A source without videos in the split val is not validated.
        cache: Keeps local copies of shards behind URLs; None reads them from their store.

    Raises:
        UsageError: if there are no such chunks, or a method is unknown.
    """
    sources = sources_of(shards)
    real = None if data.fakes != "blends" else REAL
    methods = ("real", *data.methods) if data.methods else None
    if data.methods and real is None:
        where = ", ".join(source.location for source in sources)
        there = dict.fromkeys(sorted(video.method for video in _kept(sources) if video.label))
        for name in data.methods:
            check_name(name, there, "fake method", f"{where}, data.methods")
    reader = ShardReader.open(sources, split=split, label=real, methods=methods, cache=cache)
    wanted = {0} if real == REAL else {0, 1}
    missing = wanted - set(reader.label.tolist())
    if missing:
        kind = "real" if 0 in missing else "fake"
        hint = _splits_there(sources, data)
        raise UsageError(f"no {kind} videos in the split {split!r}", where=reader.location, hint=hint)
    for number, source in enumerate(sources):
        if split == TRAIN and not bool((reader.source == number).any()):
            what = f"the source {printable(source.name)} has no videos to train on in the split {split!r}"
            raise UsageError(what, where=source.location, hint=_splits_there([source], data))
    unknown = sum(person is None for person in reader.persons)
    return reader.with_persons() if unknown <= _READ_VIDEOS else reader


def validation_parts(reader: ShardReader, data: DataConfig) -> dict[str, ShardReader]:
    """Divides the split val into the parts that are validated separately: the sources, and their segments and stills.

    A part without both labels is left out, because it has no AUC: blends make both of real videos.

    Args:
        reader: The chunks of the split val.
        data: Options of the data.

    Returns:
        The parts by name.

    Raises:
        UsageError: if there is no part with both labels.
    """
    if len(reader.sources) == 1 and not bool(reader.stills.any()):
        return {reader.sources[0].name: reader}
    needed = {0, 1} if data.fakes == "videos" else {0}
    parts: dict[str, ShardReader] = {}
    for number, source in enumerate(reader.sources):
        mine = reader.of_source(number)
        kinds = {"": mine.frames >= data.frames, " stills": mine.stills & (mine.frames < data.frames)}
        there = {kind: mine.where(rows) for kind, rows in kinds.items() if needed <= set(mine.label[rows].tolist())}
        parts |= {source.name + (kind if len(there) > 1 else ""): part for kind, part in there.items()}
    if not parts:
        what = f"no source has {'real and fake' if data.fakes == 'videos' else 'real'} videos in the split 'val'"
        hint = f"videos must have {data.frames} consecutive frames (data.frames), or be pictures"
        raise UsageError(what, where=reader.location, hint=f"{hint}; {_splits_there(reader.sources, data)}")
    return parts


def reports_of(reader: ShardReader) -> list[VideoReport]:
    """Returns the reports of the videos of a reader, source by source, with the persons that the reader knows."""
    there = sorted({(s, v) for s, v in zip(reader.source.tolist(), reader.video.tolist(), strict=True)})
    known = [{video.key: video for video in _kept([source])} for source in reader.sources]
    found = ((known[source][reader.videos[video]], reader.persons[video]) for source, video in there)
    return [video if person is None else replace(video, target_key=person) for video, person in found]


def trained_on(reader: ShardReader) -> dict[str, Any]:
    """Returns facts about the training set, for the card of the weights.

    Args:
        reader: The chunks of the split train.

    Returns:
        ``real_videos``: number of real videos by data set. ``people``: number of identities in the real videos; of
            persons, if the data set does not name them and ``mgst-data people`` has found them; None if neither is
            known.
    """
    real = [video for video in reports_of(reader) if video.label == REAL]
    people = {video.target_key for video in real}
    return {
        "real_videos": dict(sorted(Counter(video.dataset for video in real).items())),
        "people": len(people) if all(people) else None,
    }


def has_stills(shards: Places, data: DataConfig) -> bool:
    """Returns whether a training has batches of stills beside batches of segments.

    Args:
        shards: Folder of shards, by path or URL; or several folders.
        data: Options of the data.

    Raises:
        UsageError: if a split has too few videos, or lacks the real or fake videos that the training needs.
    """
    return data.frames > 1 and bool(open_split(shards, data, TRAIN).stills.any())


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
        training: True: shuffled, only full batches, with ``data.stride``, and with batches of stills if there are
            pictures. False: the samples of the first epoch in their order, with consecutive frames, as in scoring;
            single frames if all chunks are pictures.
        pin: Whether batches are copied to page-locked memory.

    Raises:
        UsageError: if there is no full batch to train on, or if all videos of a label are too short.
    """
    only_stills = not training and bool((reader.frames == 1).all())
    window = RandomWindow(1 if only_stills else data.frames, data.stride if training else 1)
    _check_lengths(reader, data, window, training=training)
    # The face crop of the task scales frames that keep their size here.
    size = data.size if data.face_margin is None else None
    dataset = SegmentDataset(reader, window, size=size, stills=training, on_error=warn_and_skip)
    sampler = SegmentSampler(
        dataset.reader,
        data.batch_size,
        seed=seed,
        rank=rank,
        world=world,
        shuffle=training,
        balance=training and data.fakes != "blends",
        per_video=data.draws_per_video if training else data.val_draws_per_video,
        by_source=training and len(reader.sources) > 1,
        span=window.span,
        drop_last=training,
    )
    if training and not len(sampler):
        what = f"an epoch has {sampler.draws} segments, too few for one batch in each of {world} processes"
        hint = f"lower data.batch_size ({data.batch_size}) or raise data.draws_per_video ({data.draws_per_video})"
        raise UsageError(what, where=reader.location, hint=hint)
    workers = _workers(world) if data.workers is None else data.workers
    return SegmentLoader(dataset, sampler, workers=workers, pin_memory=pin)


def _check_lengths(reader: ShardReader, data: DataConfig, window: RandomWindow, *, training: bool) -> None:
    """Checks that every label has segments that are long enough.

    Fakes may all be stills if there are blends; a training from fake videos alone needs both labels of either kind.

    Raises:
        UsageError: if a label has none.
    """
    split, labels = TRAIN if training else VAL, sorted(set(reader.label.tolist()))
    long, stills = reader.frames >= window.span, reader.stills & (reader.frames < window.span)
    for label in labels:
        mine = reader.label == label
        replaced = training and label != REAL and data.fakes == "both" and bool((mine & stills).any())
        if not bool((mine & long).any()) and not replaced:
            frames = int(reader.frames[mine].max())
            what = f"no {'fake' if label else 'real'} chunk of the split {split!r} has {window.span} consecutive frames"
            lower = "data.frames or data.stride" if window.stride > 1 else "data.frames"
            set_to = max(1, frames // window.stride)
            hint = f"the longest has {frames}: lower {lower} (--set data.frames={set_to})"
            raise UsageError(what, where=reader.location, hint=hint)
    one_label = set(reader.label[stills].tolist())
    if training and data.fakes == "videos" and len(one_label) == 1:
        kind = "fake" if FAKE in one_label else "real"
        what = f"all pictures of the split {split!r} are {kind}: with data.fakes=videos, every picture would be {kind}"
        raise UsageError(what, where=reader.location, hint="use data.fakes=both, or omit the folder of pictures")


def _workers(world: int) -> int:
    """Returns the number of reading processes per training process. All processes share the cores."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return max(1, min(_MOST_WORKERS, available_cores() // here - 1))


def _kept(sources: Sequence[Source]) -> Iterator[VideoReport]:
    for source in sources:
        people = PeopleTable.read(source.location)
        kept = (video for video in latest(ShardFolder.read(source.location).reports()).values() if not video.skipped)
        yield from (video if people is None else people.completed(video) for video in kept)


def _splits_there(sources: Sequence[Source], data: DataConfig) -> str:
    """Returns the hint for a missing split: the existing splits, and what to do."""
    counts = Counter((video.split or "no split", "fake" if video.label else "real") for video in _kept(sources))
    there = ", ".join(f"{split}: {number:,} {kind}" for (split, kind), number in sorted(counts.items()))
    needed = "real videos" if data.fakes == "blends" else "real and fake videos"
    where = f"videos here: {there}; " if there else "there are no videos here; "
    names = " ".join(source.location for source in sources)
    how = f"run mgst-data people {names} --split-by people, or extract again with a manifest that has them"
    return f"{where}a training needs {needed} in the splits train and val: {how}"
