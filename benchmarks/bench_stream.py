"""Compares streaming from an object store with litdata, mosaicml-streaming and webdataset: samples per second.

    mgst-data demo --out demo && mgst-data extract --src demo --out shards
    python benchmarks/bench_stream.py --shards shards

An S3 server runs on this machine, behind a proxy that delays every request by 30 ms. The samples of the shards are
repeated under other names, and stored in the format of each system that is installed: the same samples in the same
number of files. Every system reads two epochs in a process of its own: the first one with an empty cache, the second
one with a full cache. The samples are read as stored bytes, and decoded to tensors. The systems take turns, and the
store uses the same cores as they do.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from _common import RESULTS, write_result
from stores.systems import MODES, checksums, installed, members_of, run, write_all

from mgst_data.core import ShardError
from mgst_data.shards import ShardReader, ShardWriter, VideoReport, open_folder

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
from shards.object_store import s3_server  # noqa: E402 - the server of the tests

WORKERS = (0, 2)
DELAY_MS = 30


def repeat(source: Path, out: Path, copies: int, videos_per_shard: int) -> ShardReader:
    """Writes the videos of a folder of shards several times under other keys."""
    reader = ShardReader.open(source)
    by_video: dict[str, list[Any]] = {}
    for number in range(copies):
        for chunk in reader:
            record = replace(chunk.record, key=f"{chunk.record.key}_{number}", split="train")
            by_video.setdefault(record.key, []).append(replace(chunk, record=record))
    records = [chunks[0].record for chunks in by_video.values()]
    with open_folder(out, {}, records, videos_per_shard=videos_per_shard) as folder:
        for task in folder.missing(records):
            with ShardWriter(out, task.name) as shard:
                for record in task.records:
                    chunks = by_video[record.key]
                    for chunk in chunks:
                        shard.write(chunk)
                    shard.end_video(VideoReport.of(record, tracks=1, chunks=len(chunks), images=sum(map(len, chunks))))
    return ShardReader.open(out)


@contextmanager
def delayed_store(delay: float) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Runs an S3 server and a proxy.

    Args:
        delay: Delay of every request, milliseconds.

    Yields:
        Variables of the environment that lead to the server directly, and through the proxy.
    """
    with s3_server() as direct, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        target = direct["AWS_ENDPOINT_URL"].rpartition(":")[2]
        command = [sys.executable, "-m", "stores.proxy", str(port), target, str(delay)]
        proxy = subprocess.Popen(command, cwd=HERE)
        try:
            time.sleep(2)
            yield direct, {**direct, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        finally:
            proxy.kill()
            proxy.wait()


def upload(folder: Path) -> dict[str, str]:
    """Copies folders to the store; returns their URLs by name. Everybody may read the bucket."""
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket="bench", ACL="public-read")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_object(
                Bucket="bench", Key=str(path.relative_to(folder)), Body=path.read_bytes(), ACL="public-read"
            )
    return {name.name: f"s3://bench/{name.name}" for name in folder.iterdir()}


def one(name: str, url: str, environment: dict[str, str], **how: Any) -> list[dict[str, float]]:
    """Reads two epochs in a process of its own, with an empty cache. Returns nothing if the system fails."""
    cache = Path(tempfile.mkdtemp(prefix="bench-cache-"))
    context = multiprocessing.get_context("fork")
    mine, there = context.Pipe(duplex=False)

    def work() -> None:
        os.environ.update(environment)
        there.send(list(run(name, url, cache, **how)))
        os._exit(0)  # some systems leave threads that do not end

    process = context.Process(target=work)
    process.start()
    there.close()
    try:
        return mine.recv()  # type: ignore[no-any-return]
    except EOFError:
        return []
    finally:
        process.join()
        shutil.rmtree(cache, ignore_errors=True)


Runs = dict[tuple[str, str, int], list[list[dict[str, float]]]]


def check(name: str, mode: str, epochs: list[dict[str, float]], samples: int, checksum: int) -> None:
    """Checks that a system read every sample once, and the bytes that were stored.

    Raises:
        SystemExit: if it read something else.
    """
    for epoch in epochs:
        if epoch["samples"] != samples or (mode == "bytes" and epoch["checksum"] != checksum):
            raise SystemExit(f"{name} did not read the {samples} samples that were stored: {epoch}")


def figures(runs: Runs) -> list[dict[str, Any]]:
    """Returns samples per second and processor time of every system, by kind of batches, workers and epoch."""
    rows = []
    for (name, mode, workers), rounds in runs.items():
        for number, phase in enumerate(("empty", "full")):
            epochs = [two[number] for two in rounds]
            rates = [epoch["samples"] / epoch["seconds"] for epoch in epochs]
            milliseconds = [1000 * epoch["processor"] / epoch["samples"] for epoch in epochs]
            rows.append(
                {
                    "system": name,
                    "mode": mode,
                    "workers": workers,
                    "cache": phase,
                    "samples_per_s": round(statistics.median(rates), 2),
                    "low": round(min(rates), 2),
                    "high": round(max(rates), 2),
                    "processor_ms": round(statistics.median(milliseconds), 2),
                    "first_batch_s": round(statistics.median(epoch["first_batch"] for epoch in epochs), 2),
                    "rates": [round(rate, 2) for rate in rates],
                }
            )
    return rows


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns ours against the fastest other system: the median of the ratios in the rounds."""
    found = []
    for mode, workers, phase in dict.fromkeys((row["mode"], row["workers"], row["cache"]) for row in rows):
        here = [row for row in rows if (row["mode"], row["workers"], row["cache"]) == (mode, workers, phase)]
        mine = next((row for row in here if row["system"] == "ours"), None)
        others = [row for row in here if not row["system"].startswith("ours")]
        if mine is None or not others:
            continue
        best = max(others, key=lambda row: row["samples_per_s"])
        ratios = [a / b for a, b in zip(mine["rates"], best["rates"], strict=True)]
        ratio = statistics.median(ratios)
        spread = f"rounds: {min(ratios):.2f} to {max(ratios):.2f}"
        name = f"{mode}, {workers} workers, {phase} cache: ours / {best['system']} ({spread})"
        found.append({"name": name, "value": round(ratio, 3), "unit": "x", "target": "≥ 1", "reached": ratio >= 1})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, required=True, help="folder of shards, such as those of the demo")
    parser.add_argument("--copies", type=int, default=4, help="how often the videos are repeated")
    parser.add_argument("--videos-per-shard", type=int, default=4, help="number of videos in a shard")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; each has all systems")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="numbers of workers of the loaders")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES, help="kinds of batches")
    parser.add_argument("--cores", type=int, nargs="+", help="cores that everything runs on; all if not given")
    parser.add_argument("--systems", nargs="+", help="only these systems")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, options.cores)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    names = [name for name in installed() if options.systems is None or name in options.systems]
    with tempfile.TemporaryDirectory() as folder, delayed_store(DELAY_MS) as (direct, delayed):
        stored = Path(folder, "stored")
        reader = repeat(options.shards, stored / "ours", options.copies, options.videos_per_shard)
        read = reader.read_bytes(range(len(reader)))
        checksum = sum(checksums([members_of(data) for data in read if not isinstance(data, ShardError)]))
        write_all(stored / "ours", stored)
        os.environ.update(direct)
        urls = upload(stored)
        stored_names = [Path(shard).name for shard in reader.shards]
        runs: Runs = {}
        for turn in range(options.repeats):
            for mode, workers, name in itertools.product(options.modes, options.workers, names):
                url = urls.get(name, urls["ours"])
                found = one(name, url, delayed, workers=workers, mode=mode, shards=stored_names)
                if not found:
                    print(f"{name}, {mode}, {workers} workers: failed, not measured", flush=True)
                    continue
                check(name, mode, found, len(reader), checksum)
                runs.setdefault((name, mode, workers), []).append(found)
                shown = ", ".join(
                    f"{epoch['samples'] / epoch['seconds']:.1f}/s (processor {epoch['processor']:.2f} s, "
                    f"first batch {epoch['first_batch']:.1f} s)"
                    for epoch in found
                )
                print(f"round {turn + 1}, {mode}, {workers} workers, {name}: {shown}", flush=True)
            # A run that is stopped keeps its finished rounds.
            rows = figures(runs)
            result = {
                "delay_ms": DELAY_MS,
                "shards": len(reader.shards),
                "samples": len(reader),
                "bytes": int(reader.size.sum()),
                "rows": rows,
                "targets": targets(rows),
            }
            print(write_result("stream", result, folder=options.out))


if __name__ == "__main__":
    main()
