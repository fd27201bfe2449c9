"""Writes the same samples in the format of each system, and reads them from a store.

All systems give a sample as the bytes that a shard has of it, in random order, in batches of 8. There are two kinds of
batches. *bytes*: a checksum of all bytes of every sample is computed where the batch is made. *decoded*: 8 frames of
every sample are decoded to a batch of tensors, with the same functions in all systems. So the figures differ only by
how the bytes come from the store.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

# Must be set before torch is imported: every process uses one thread.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch.utils.data import DataLoader, Dataset

from mgst_data.core import ShardError
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import (
    Draw,
    SegmentBatch,
    SegmentDataset,
    SegmentLoader,
    SegmentSampler,
    ShardCache,
    ShardReader,
    decode_chunk,
    tar,
)
from mgst_data.shards.loader import choose_window, decode_windows
from mgst_data.shards.storage import read_span

BATCH, FRAMES = 8, 8
# Package that each system needs.
PACKAGES = {"ours": "mgst_data", "ours, no cache": "mgst_data", "litdata": "litdata", "mosaicml-streaming": "streaming",
            "webdataset": "webdataset"}  # fmt: skip
MODES = ("bytes", "decoded")
_WINDOW = RandomWindow(FRAMES)
_RANDOM = torch.Generator().manual_seed(0)
Members = Mapping[str, bytes | memoryview]
Batch = SegmentBatch | list[int]


def members_of(sample: bytes | memoryview) -> Members:
    """Returns the members of a packed sample by extension."""
    return {name.partition(".")[2]: data for name, data in tar.unpack(memoryview(sample))}


def checksums(samples: Sequence[Members]) -> list[int]:
    """Reads all bytes of a batch of samples; returns one number for each sample."""
    found = []
    for sample in samples:
        checksum = 0
        for data in sample.values():
            checksum = zlib.crc32(data, checksum)
        found.append(checksum)
    return found


def decode(samples: Sequence[Members]) -> SegmentBatch:
    """Decodes a batch of samples to tensors."""
    windows = [
        choose_window(decode_chunk(sample), _WINDOW, int(torch.randint(2**31, (), generator=_RANDOM)), "")
        for sample in samples
    ]
    batch = decode_windows(windows, None)
    assert batch is not None
    return batch


MAKE: dict[str, Callable[[Sequence[Members]], Batch]] = {"bytes": checksums, "decoded": decode}


def write_all(shards: Path, out: Path) -> None:
    """Writes the samples of shards in the formats of the other systems that are installed, one file for each shard."""
    reader = ShardReader.open(shards)
    places = list(zip(reader.shard.tolist(), reader.offset.tolist(), reader.size.tolist(), strict=True))
    groups = [[bytes(read_span(reader.shards[shard], offset, size)) for shard, offset, size in places if shard == mine]
              for mine in range(len(reader.shards))]  # fmt: skip
    for name in installed():
        writer = {"litdata": _write_litdata, "mosaicml-streaming": _write_mds}.get(name)
        if writer is not None:
            writer(groups, out / name)


def installed() -> list[str]:
    """Returns the names of the systems whose package is installed; says which one is not."""
    from importlib.util import find_spec

    found = []
    for name, package in PACKAGES.items():
        if find_spec(package) is None:
            print(f"{name}: not measured, the package {package} is not installed")
        else:
            found.append(name)
    return found


def _write_litdata(groups: list[list[bytes]], out: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    out.mkdir(parents=True)
    writer = BinaryWriter(str(out), chunk_size=max(map(len, groups)))
    for number, sample in enumerate(sample for group in groups for sample in group):
        writer.add_item(number, {"sample": sample})
    writer.done()
    writer.merge()


def _write_mds(groups: list[list[bytes]], out: Path) -> None:
    from streaming import MDSWriter

    largest = max(sum(map(len, group)) for group in groups)
    with MDSWriter(columns={"sample": "bytes"}, out=str(out), size_limit=largest + 4096) as writer:
        for group in groups:
            for sample in group:
                writer.write({"sample": sample})


class _Stored(Dataset[int]):
    """The stored bytes of the chunks of a reader, as checksums."""

    def __init__(self, reader: ShardReader) -> None:
        self.reader = reader

    def __getitems__(self, draws: Sequence[Draw]) -> list[int]:
        found = self.reader.read_bytes([draw.chunk for draw in draws])
        return checksums([members_of(data) for data in found if not isinstance(data, ShardError)])


def _ours(url: str, cache: Path | None, workers: int, mode: str) -> tuple[Iterable[Any], Callable[[], None]]:
    copies = None if cache is None else ShardCache(cache)
    dataset = SegmentDataset(ShardReader.open(url, cache=copies), _WINDOW)
    sampler = SegmentSampler(dataset.reader, BATCH)
    wait: Callable[[], None] = (lambda: None) if copies is None else (lambda: _filled(copies, dataset.reader))
    if mode == "decoded":
        return SegmentLoader(dataset, sampler, workers=workers), wait
    if copies is not None:
        copies.fetch(sampler.shards())
    stored = _Stored(dataset.reader)
    return DataLoader(stored, batch_sampler=sampler, num_workers=workers, collate_fn=list, **_kept(workers)), wait


def _filled(cache: ShardCache, reader: ShardReader) -> None:
    end = time.monotonic() + 120
    while any(cache.find(shard) == shard for shard in reader.shards) and time.monotonic() < end:
        time.sleep(0.1)


def _litdata(url: str, cache: Path, workers: int, mode: str) -> Iterable[Any]:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    # litdata refuses a store without encryption, and has no option for it.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
    storage = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    dataset = StreamingDataset(url, cache_dir=str(cache), shuffle=True, storage_options=storage)
    return StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=partial(_collate, mode=mode),
                               **_kept(workers))  # fmt: skip


def _streaming(url: str, cache: Path, workers: int, mode: str) -> Iterable[Any]:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    dataset = StreamingDataset(remote=url, local=str(cache), shuffle=True, batch_size=BATCH)
    # Its own loader counts the samples of a batch, for batches of another form.
    return DataLoader(
        dataset, batch_size=BATCH, num_workers=workers, collate_fn=partial(_collate, mode=mode), **_kept(workers)
    )


def _webdataset(url: str, cache: Path, workers: int, mode: str, shards: Sequence[str]) -> Iterable[Any]:
    import webdataset as wds

    # The store of the benchmark lets everybody read, so curl needs no signature.
    base = f"{os.environ['AWS_ENDPOINT_URL']}/{url.partition('://')[2]}"
    urls = [f"pipe:curl -s -f {base}/{name}" for name in shards]
    dataset = wds.WebDataset(urls, shardshuffle=len(urls), cache_dir=str(cache), seed=0, empty_check=False).shuffle(64)
    collate = partial(_collate_members, mode=mode)
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=collate, **_kept(workers))


def _kept(workers: int) -> dict[str, Any]:
    return {"persistent_workers": True} if workers else {}


def _collate(samples: list[dict[str, Any]], *, mode: str) -> Batch:
    return MAKE[mode]([members_of(bytes(sample["sample"])) for sample in samples])


def _collate_members(samples: list[dict[str, Any]], *, mode: str) -> Batch:
    return MAKE[mode](
        [{name: data for name, data in sample.items() if not name.startswith("__")} for sample in samples]
    )


def run(name: str, url: str, cache: Path, workers: int, mode: str, shards: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Reads two epochs. The first one begins with an empty cache, and includes the time to open the data set.

    Args:
        name: Name of the system.
        url: URL of its samples.
        cache: Empty folder for its cache.
        workers: Number of processes that make batches; 0 makes them in this process.
        mode: Kind of the batches, one of ``MODES``.
        shards: Names of the shards, for systems that have no list of them.

    Yields:
        Number of samples, their checksum if the mode is "bytes", seconds of the epoch and until its first batch, and
        processor seconds of this process and all processes that it started.
    """
    for package in ("s3fs", "aiobotocore.httpxsession", "boto3", PACKAGES[name]):  # the time of imports does not count
        import_module(package)
    wait: Callable[[], None] = lambda: None  # noqa: E731
    began, used = time.perf_counter(), processor_seconds()
    loader: Iterable[Any]
    if name.startswith("ours"):
        loader, wait = _ours(url, cache if name == "ours" else None, workers, mode)
    elif name == "webdataset":
        loader = _webdataset(url, cache, workers, mode, shards)
    else:
        loader = {"litdata": _litdata, "mosaicml-streaming": _streaming}[name](url, cache, workers, mode)
    for _ in range(2):
        count, first, total = 0, 0.0, 0
        for batch in loader:
            count += len(batch)
            total += sum(batch) if mode == "bytes" else 0
            first = first or time.perf_counter() - began
        seconds = time.perf_counter() - began
        wait()
        yield {"samples": count, "checksum": total, "seconds": seconds, "first_batch": first,
               "processor": processor_seconds() - used}  # fmt: skip
        began, used = time.perf_counter(), processor_seconds()


def processor_seconds() -> float:
    """Returns the processor time of this process and of all processes that it has started, also of ended ones."""
    children: dict[int, list[tuple[int, int]]] = {}
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        # Numbers of the fields as in proc(5), from the state of the process: parent, then four times in clock ticks.
        children.setdefault(int(fields[1]), []).append((int(path.parent.name), sum(map(int, fields[11:15]))))
        if int(path.parent.name) == os.getpid():
            ticks = sum(map(int, fields[11:15]))
    todo = [os.getpid()]
    while todo:
        for child, time_ in children.get(todo.pop(), []):
            ticks += time_
            todo.append(child)
    return ticks / os.sysconf("SC_CLK_TCK")
