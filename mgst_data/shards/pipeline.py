"""Reads shards sequentially as a webdataset pipeline, from every source that webdataset or fsspec supports."""

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
from mgst_data.shards.cache import ShardCache
from mgst_data.shards.loader import SegmentDataset, choose_window, decode_windows, reraise
from mgst_data.shards.reader import ShardReader, checked_chunk
from mgst_data.shards.schema import FaceChunk
from mgst_data.shards.storage import DAMAGED

if TYPE_CHECKING:
    from webdataset import FluidWrapper
else:
    # At run time beartype warns that the bases of torch.utils.data.IterableDataset are deprecated.
    FluidWrapper = object

Handler = Callable[[ShardError], bool | None]
# Upper limit of the worker processes of one DataLoader.
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
    cache: ShardCache | None = None,
) -> FluidWrapper:
    """Makes a webdataset pipeline of SegmentSamples. Its pixels are identical to those of SegmentDataset.

    The shards are divided among the processes of a training, and the shards of a process among the workers of its
    DataLoader. The order and the windows depend on the seed and on the epoch, which every worker counts: iterating
    again gives another order and other windows. The order also depends on the number of processes and workers. They may
    get different numbers of segments; ``pipeline.with_epoch(n)`` gives n segments to each. To make batches, use
    ``DataLoader(pipeline, batch_size=8, num_workers=4)`` or ``pipeline.batched(8, collation_fn=collate_segments)``.

    Args:
        shards: A folder of shards by path or URL; shards by path, URL, brace pattern (``train-{000000..000009}.tar``)
            or command (``pipe:...``); or a list of these. webdataset opens the schemes that it knows, and fsspec opens
            other URLs.
        frames: Number of consecutive frames of a segment, at a random position, or a sampler that chooses the frames.
            Shorter chunks are omitted.
        size: Side that crops are scaled to, with their landmarks and masks, pixels; None does not scale.
        split: Keeps only videos of this split ("" for videos without one); None keeps all.
        label: Keeps only real (0) or only fake (1) videos; None keeps both.
        methods: Keeps only videos of these methods; "real" is one of them. None keeps all.
        shuffle: Number of encoded chunks in the shuffle buffer; shards are shuffled too. 0 keeps the stored order.
        seed: Seed of the order and of the windows.
        epoch: Number of the first epoch, to resume a training.
        handler: Called with the ShardError of a damaged sample or shard. If it returns False, reading ends. Otherwise
            reading continues; after a damaged header, with the next shard. ``webdataset.warn_and_continue`` is such a
            handler.
        cache: Keeps local copies of the shards of folders behind URLs.

    Returns:
        The pipeline; more stages can be added to it.

    Raises:
        UsageError: if there are no shards, or if no chunk of a folder is long enough. While iterating: if no chunk
            matches the filters; if there are several workers, a worker warns instead, because others may have matches.
    """
    given = [shards] if isinstance(shards, str | Path) else shards
    where = ", ".join(map(str, given))
    if split:
        check_name(split, SPLITS, "split", where)
    choose = RandomWindow(frames) if isinstance(frames, int) else frames
    wanted = {"split": split, "label": label, "methods": methods}
    urls = [url for location in given for url in _shards_of(location, choose, wanted, cache)]
    if cache is not None:
        cache.fetch(urls)
    if not urls:
        hint = "check the list of shards, the split, the label and the methods"
        raise UsageError("no shards to read", where=where, hint=hint)
    drawing = partial(_Drawing, seed=seed, epoch=epoch)
    return wds.FluidWrapper(wds.SimpleShardList(urls)).compose(
        wds.split_by_node,
        wds.split_by_worker,
        drawing("shards", partial(_shuffled, held=len(urls) if shuffle else 0)),
        partial(_samples, handler=handler, cache=cache),
        partial(_chunks, span=choose.span, wanted=wanted, handler=handler),
        drawing("chunks", partial(_shuffled, held=shuffle)),
        drawing("frames", partial(_segments, choose=choose, size=size, handler=handler)),
    )


class _Drawing:
    """A stage that gets a new seed in every iteration.

    Every worker counts its own iterations. The counts are in shared memory: a worker is a copy of the process that
    starts it, and a worker that is started for the next epoch must continue the count.
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


def _shards_of(
    location: str | Path, choose: FrameSampler, wanted: Mapping[str, Any], cache: ShardCache | None
) -> Iterator[str]:
    """Yields the path or URL of every shard; of a folder, only of shards with matching chunks."""
    for url in [str(location)] if isinstance(location, Path) else expand_urls(location):
        if url.startswith("pipe:") or {".tar", ".tgz"} & set(PurePosixPath(urlparse(url).path).suffixes):
            yield url
        else:
            reader = SegmentDataset(ShardReader.open(url, **wanted, cache=cache), choose).reader
            yield from (reader.shards[i] for i in sorted(set(reader.shard.tolist())))


def _shuffled(items: Iterable[Any], seed: int, *, held: int) -> Iterator[Any]:
    yield from wds.shuffle(held, initial=held, rng=random.Random(seed))(iter(items))  # noqa: S311


def _samples(
    sources: Iterable[Mapping[str, str]], *, handler: Handler, cache: ShardCache | None
) -> Iterator[dict[str, Any]]:
    """Opens the shards one after another and yields the members of every sample."""
    for source in sources:
        url = source["url"]
        try:
            with _open(url if cache is None else cache.find(url)) as stream:
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
    """Yields the members in the form that webdataset groups.

    Raises:
        ReadError: if the archive is damaged or truncated.
    """
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_StrictTarInfo) as archive:
        while member := archive.next():
            if member.isreg() and (file := archive.extractfile(member)):
                yield {"fname": member.name, "data": file.read(), "__url__": url}
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all in memory
        rest: Any = archive.fileobj
        while data := rest.read(2**20):
            if data.strip(b"\0"):
                raise tarfile.ReadError(
                    "data after the end of the archive: a header is zeroed, or archives are concatenated"
                )


class _StrictTarInfo(tarfile.TarInfo):
    """Raises an error for a damaged or missing header, which Python takes for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        """Reads a header. A block of zeros is the end of the archive.

        Args:
            buf: The block of the header, 512 bytes.
            encoding: Encoding of the names.
            errors: What to do with names that cannot be decoded.

        Raises:
            ReadError: if the header is damaged or truncated.
            HeaderError: at the end of the archive.
        """
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise
            raise tarfile.ReadError("damaged header" if buf else "truncated") from error


def _chunks(
    samples: Iterable[Mapping[str, Any]], *, span: int, wanted: Mapping[str, Any], handler: Handler
) -> Iterator[tuple[str, FaceChunk]]:
    """Yields the shard and the chunk of every matching sample.

    Raises:
        UsageError: if no chunk matches, and there are no other workers.
    """
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
        hint = "use fewer frames, or check the split, the label and the methods"
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
