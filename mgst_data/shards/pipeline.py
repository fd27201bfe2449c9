"""Shards as a webdataset pipeline: read from front to back, from wherever webdataset or fsspec reads."""

from __future__ import annotations

import random
import tarfile
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import fsspec
import torch
import webdataset as wds
from torch.utils.data import get_worker_info
from webdataset.shardlists import expand_urls
from webdataset.tariterators import group_by_keys
from webdataset.utils import pytorch_worker_info

from mgst_data.core import FrameSampler, RandomWindow, ShardError, UsageError, seed_for
from mgst_data.core.errors import MgstWarning, check_name, first_line
from mgst_data.core.records import SPLITS
from mgst_data.shards.batch import SegmentSample
from mgst_data.shards.loader import SegmentDataset, choose_window, decode_windows, reraise
from mgst_data.shards.reader import ShardReader, checked_chunk
from mgst_data.shards.schema import FaceChunk
from mgst_data.shards.storage import DAMAGED

if TYPE_CHECKING:
    from webdataset import FluidWrapper
else:
    FluidWrapper = object  # a torch.utils.data.IterableDataset, whose bases beartype finds deprecated

Handler = Callable[[ShardError], bool | None]
# More worker processes than one DataLoader has.
_MOST_WORKERS = 4096


def webdataset_pipeline(
    shards: str | Path | Sequence[str | Path],
    *,
    frames: int | FrameSampler = 16,
    size: int | None = 224,
    split: str | None = None,
    label: int | None = None,
    methods: Collection[str] | None = None,
    shuffle: int = 100,
    seed: int = 0,
    epoch: int = 0,
    handler: Handler = reraise,
) -> FluidWrapper:
    """Makes a webdataset pipeline of SegmentSamples, with the pixels that SegmentDataset reads.

    Shards are dealt to the processes of a training, and those of each to the workers of its DataLoader. Everything that
    is random depends on the seed and the epoch, which every worker counts for itself: iterating again gives another
    order and other windows. Order also depends on the number of processes and workers, and they may get different
    numbers of segments: ``pipeline.with_epoch(n)`` gives n to each. Batches are made by
    ``DataLoader(pipeline, batch_size=8, num_workers=4)``, or by ``pipeline.batched(8, collation_fn=collate_segments)``.

    Args:
        shards: A folder of shards by path or URL; shards by path, URL, brace pattern (``train-{000000..000009}.tar``)
            or command (``pipe:...``); or a list of these. webdataset opens what it knows, and fsspec other URLs.
        frames: Consecutive frames of a segment, at a random place; or what chooses them. Shorter chunks are left out.
        size: Side that crops are scaled to, landmarks and masks with them; None keeps them.
        split: Only videos of this split ("" for those without one).
        label: Only real (0) or only fake (1) videos.
        methods: Only these methods; "real" is one of them.
        shuffle: Chunks that are held, encoded, to draw the next one from; shards are shuffled too. 0 keeps the order
            that is stored.
        seed: Of order and windows.
        epoch: Number of the first epoch, to go on with a training.
        handler: Called with the ShardError of a damaged sample or shard. If it returns False, the reading ends;
            otherwise it goes on, after a damaged header with the next shard. ``webdataset.warn_and_continue`` is one.

    Returns:
        The pipeline; its stages may be added to.

    Raises:
        UsageError: if there are no shards, or no chunk of a folder is long enough; when iterated, if no chunk is asked
            for. One worker of several warns instead, as others may have some.
    """
    given = [shards] if isinstance(shards, str | Path) else shards
    where = ", ".join(map(str, given))
    if split:
        check_name(split, SPLITS, "split", where)
    choose = RandomWindow(frames) if isinstance(frames, int) else frames
    wanted = {"split": split, "label": label, "methods": methods}
    urls = [url for location in given for url in _shards_of(location, choose, wanted)]
    if not urls:
        hint = "check the list of shards, and the split, label and methods that are asked for"
        raise UsageError("no shards to read", where=where, hint=hint)
    drawing = partial(_Drawing, seed=seed, epoch=epoch)
    return wds.FluidWrapper(wds.SimpleShardList(urls)).compose(
        wds.split_by_node,
        wds.split_by_worker,
        drawing("shards", partial(_shuffled, held=len(urls) if shuffle else 0)),
        partial(_samples, handler=handler),
        partial(_chunks, span=choose.span, wanted=wanted, handler=handler),
        drawing("chunks", partial(_shuffled, held=shuffle)),
        drawing("frames", partial(_segments, choose=choose, size=size, handler=handler)),
    )


class _Drawing:
    """A stage that gets another seed every time that it is iterated over.

    Every worker counts for itself. The counts are in memory that processes share, because a worker is a copy of the
    process that starts it, and one that is started for the next epoch has to go on counting.
    """

    def __init__(
        self, name: str, stage: Callable[[Iterable[Any], int], Iterator[Any]], *, seed: int, epoch: int
    ) -> None:
        self.name, self.stage, self.seed = name, stage, seed
        self.epochs = torch.full((_MOST_WORKERS + 1,), epoch).share_memory_()  # type: ignore[no-untyped-call]

    def __call__(self, items: Iterable[Any]) -> Iterator[Any]:
        worker = get_worker_info()
        place = worker.id if worker else -1
        epoch = int(self.epochs[place])
        self.epochs[place] += 1
        return self.stage(items, seed_for(self.seed, self.name, epoch))


def _shards_of(location: str | Path, choose: FrameSampler, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Path or URL of every shard; of a folder, of those that hold what is wanted."""
    for url in [str(location)] if isinstance(location, Path) else expand_urls(location):
        if url.startswith("pipe:") or {".tar", ".tgz"} & set(PurePosixPath(urlparse(url).path).suffixes):
            yield url
        else:
            reader = SegmentDataset(ShardReader.open(url, **wanted), choose).reader
            yield from (reader.shards[i] for i in sorted(set(reader.shard.tolist())))


def _shuffled(items: Iterable[Any], seed: int, *, held: int) -> Iterator[Any]:
    yield from wds.shuffle(held, initial=held, rng=random.Random(seed))(iter(items))  # noqa: S311


def _samples(sources: Iterable[Mapping[str, str]], *, handler: Handler) -> Iterator[dict[str, Any]]:
    """The members of every sample of shards that are opened one after the other."""
    for source in sources:
        url = source["url"]
        try:
            with _open(url) as stream:
                yield from group_by_keys(_members(stream, url))
            continue
        except FileNotFoundError:
            damage = ShardError("no such file", where=url)
        except OSError as error:
            damage = ShardError(error.strerror or first_line(error), where=url)
        except (tarfile.TarError, ValueError) as error:
            damage = ShardError(str(error.args[0]), where=url, hint=DAMAGED)
        if handler(damage) is False:
            return


def _open(url: str) -> Any:
    known = ("", "file", *wds.gopen_schemes)
    return wds.gopen(url) if urlparse(url).scheme in known else fsspec.open(url, "rb").open()


def _members(stream: Any, url: str) -> Iterator[dict[str, Any]]:
    """Members as webdataset groups them. Raises TarError where an archive is damaged or cut short."""
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_StrictTarInfo) as archive:
        while member := archive.next():
            if member.isreg() and (file := archive.extractfile(member)):
                yield {"fname": member.name, "data": file.read(), "__url__": url}
            archive.members.clear()  # type: ignore[attr-defined]  # it keeps them all
        rest: Any = archive.fileobj
        while data := rest.read(2**20):
            if data.strip(b"\0"):
                raise tarfile.ReadError("zeros instead of a header; or another archive behind this one")


class _StrictTarInfo(tarfile.TarInfo):
    """Makes an error of a header that is damaged or missing, where Python takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        """Reads a header; a block of zeros is the end."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise
            raise tarfile.ReadError("damaged header" if buf else "cut short") from error


def _chunks(
    samples: Iterable[Mapping[str, Any]], *, span: int, wanted: Mapping[str, Any], handler: Handler
) -> Iterator[tuple[str, FaceChunk]]:
    """Shard and chunk of every sample that is asked for."""
    seen = kept = 0
    for sample in samples:
        try:
            chunk = _chunk(sample)
        except ShardError as error:
            if handler(error) is False:
                return
            continue
        seen += 1
        if len(chunk) >= span and _is_wanted(chunk, **wanted):
            kept += 1
            yield sample["__url__"], chunk
    if seen and not kept:
        asked = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value is not None)
        what = f"none of {seen} chunks has {span} frames{asked and ' and '}{asked}"
        hint = "take fewer frames, or check the split, label and methods that are asked for"
        _, processes, _, workers = pytorch_worker_info()
        if processes * workers == 1:
            raise UsageError(what, hint=hint)
        warnings.warn(f"{what}, in the shards of one worker ({hint})", MgstWarning, stacklevel=2)


def _chunk(sample: Mapping[str, Any]) -> FaceChunk:
    members = {name: data for name, data in sample.items() if not name.startswith("__")}
    key = PurePosixPath(sample["__key__"]).name
    return checked_chunk(members, key, where=f"{sample['__url__']}: {sample['__key__']}")


def _is_wanted(chunk: FaceChunk, split: str | None, label: int | None, methods: Collection[str] | None) -> bool:
    record = chunk.record
    return (
        split in (None, record.split)
        and label in (None, record.label)
        and (methods is None or record.method in methods)
    )


def _segments(
    chunks: Iterable[tuple[str, FaceChunk]], seed: int, *, choose: FrameSampler, size: int | None, handler: Handler
) -> Iterator[SegmentSample]:
    for shard, chunk in chunks:
        try:
            window = choose_window(chunk, choose, seed_for(seed, chunk.key), shard)
            batch = decode_windows([window], size or chunk.crop_size)
        except ShardError as error:
            if handler(error) is False:
                return
        else:
            yield from batch or ()
