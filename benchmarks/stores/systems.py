"""Writes the same samples in the format of each system, and reads them from a store.

All systems give a sample as the bytes that a shard has of it, in random order, and all decode it with the same
functions: 8 frames, in batches of 8. So the figures differ only by how the bytes come from the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

# Must be set before torch is imported: every process uses one thread.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch.utils.data import DataLoader

from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import (
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
_WINDOW = RandomWindow(FRAMES)
_RANDOM = torch.Generator().manual_seed(0)


def decode(samples: Sequence[bytes]) -> SegmentBatch:
    """Decodes a batch of samples: packed members of a shard."""
    windows = []
    for sample in samples:
        members = {name.partition(".")[2]: data for name, data in tar.unpack(memoryview(sample))}
        windows.append(
            choose_window(decode_chunk(members), _WINDOW, int(torch.randint(2**31, (), generator=_RANDOM)), "")
        )
    batch = decode_windows(windows, None)
    assert batch is not None
    return batch


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


def _ours(url: str, cache: Path | None, workers: int) -> tuple[Iterable[Any], Callable[[], None]]:
    copies = None if cache is None else ShardCache(cache)
    dataset = SegmentDataset(ShardReader.open(url, cache=copies), _WINDOW)
    loader = SegmentLoader(dataset, SegmentSampler(dataset.reader, BATCH), workers=workers)
    return loader, (lambda: None) if copies is None else (lambda: _filled(copies, dataset.reader))


def _filled(cache: ShardCache, reader: ShardReader) -> None:
    end = time.monotonic() + 120
    while any(cache.find(shard) == shard for shard in reader.shards) and time.monotonic() < end:
        time.sleep(0.1)


def _litdata(url: str, cache: Path, workers: int) -> Iterable[Any]:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    # litdata refuses a store without encryption, and has no option for it.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
    storage = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    dataset = StreamingDataset(url, cache_dir=str(cache), shuffle=True, storage_options=storage)
    return StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=_collate,
                               **_kept(workers))  # fmt: skip


def _streaming(url: str, cache: Path, workers: int) -> Iterable[Any]:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    dataset = StreamingDataset(remote=url, local=str(cache), shuffle=True, batch_size=BATCH)
    # Its own loader counts the samples of a batch, for batches of another form.
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=_collate, **_kept(workers))


def _webdataset(url: str, cache: Path, workers: int) -> Iterable[Any]:
    import webdataset as wds

    reader = ShardReader.open(url)
    # The store of the benchmark lets everybody read, so curl needs no signature.
    base = os.environ["AWS_ENDPOINT_URL"]
    urls = [f"pipe:curl -s -f {base}/{shard.partition('://')[2]}" for shard in reader.shards]
    dataset = wds.WebDataset(urls, shardshuffle=len(urls), cache_dir=str(cache), seed=0, empty_check=False).shuffle(64)
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers, collate_fn=_collate_members, **_kept(workers))


def _kept(workers: int) -> dict[str, Any]:
    return {"persistent_workers": True} if workers else {}


def _collate(samples: list[dict[str, Any]]) -> SegmentBatch:
    return decode([bytes(sample["sample"]) for sample in samples])


def _collate_members(samples: list[dict[str, Any]]) -> SegmentBatch:
    windows = []
    for sample in samples:
        members = {name: data for name, data in sample.items() if not name.startswith("__")}
        windows.append(
            choose_window(decode_chunk(members), _WINDOW, int(torch.randint(2**31, (), generator=_RANDOM)), "")
        )
    batch = decode_windows(windows, None)
    assert batch is not None
    return batch


def run(name: str, url: str, cache: Path, workers: int) -> Iterator[dict[str, float]]:
    """Reads two epochs. The first one begins with an empty cache.

    Yields:
        Number of samples, seconds of the epoch, and seconds until its first batch.
    """
    for package in ("s3fs", "boto3", PACKAGES[name]):  # the time of imports does not count
        import_module(package)
    wait: Callable[[], None] = lambda: None  # noqa: E731
    began = time.perf_counter()
    if name.startswith("ours"):
        loader, wait = _ours(url, cache if name == "ours" else None, workers)
    else:
        loader = {"litdata": _litdata, "mosaicml-streaming": _streaming, "webdataset": _webdataset}[name](
            url, cache, workers
        )
    for _ in range(2):
        count, first = 0, 0.0
        for batch in loader:
            count += len(batch)
            first = first or time.perf_counter() - began
        yield {"samples": count, "seconds": time.perf_counter() - began, "first_batch": first}
        wait()
        began = time.perf_counter()
