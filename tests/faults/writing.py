"""Shards of synthetic chunks, written by a work that can be sent to other processes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from shards.synthetic_shards import CONFIG, chunks_of, record_of, report_of

from mgst_data.extract.executors import EXECUTORS, Event
from mgst_data.shards import Part, ShardStore, ShardTask, ShardWriter, open_folder

RECORDS = [record_of(f"v{number}", label=number % 2) for number in range(5)]


@dataclass(frozen=True)
class WriteShards:
    """Writes the shard of a task, in place of an extraction."""

    store: ShardStore

    def __call__(self, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
        with ShardWriter(self.store, task.name, [record.key for record in task.records]) as shard:
            yield from shard.kept
            for record in task.records[len(shard.kept) :]:
                chunks = list(chunks_of(record))
                for chunk in chunks:
                    shard.write(chunk)
                report = report_of(record, chunks)
                shard.end_video(report)
                yield report
        yield shard.report


def write(
    out: Path | str, *, executor: str = "serial", workers: int | None = None, part: str = "", stop: int = -1
) -> None:
    """Makes the missing shards of a folder.

    Args:
        out: Folder or URL.
        executor: Name of an executor.
        workers: Number of workers.
        part: Part of the shards, such as "1/2"; "" for all.
        stop: Number of events after which the run is interrupted; -1 for none.
    """
    chosen = Part.parse(part) if part else None
    with open_folder(out, CONFIG, RECORDS, videos_per_shard=2, part=chosen) as folder:
        events = EXECUTORS.get(executor)(workers=workers).map(WriteShards(folder.store), folder.missing(RECORDS))
        with closing(events):
            for number, _ in enumerate(events):
                if number == stop:
                    raise KeyboardInterrupt
        folder.finish()


def contents(out: Path | str) -> dict[str, bytes]:
    """Returns all files of a folder by name, without the times that reports hold."""
    store = ShardStore.at(out)
    return {name: re.sub(rb'"seconds": [0-9.e-]+', b"", store.read(name)) for name in store.names()}


def hash_of(out: Path | str) -> str:
    """Returns one hash of all files of a folder."""
    digest = hashlib.sha256()
    for name, data in sorted(contents(out).items()):
        digest.update(f"{name} {len(data)} ".encode() + data)
    return digest.hexdigest()
