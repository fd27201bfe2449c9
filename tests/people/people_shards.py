"""Shards whose persons are given, without a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from face_shards import face_chunk
from shards.synthetic_shards import CONFIG, record_of, write_shard

from mgst_data.core import VideoRecord
from mgst_data.people import People, TrackFaces
from mgst_data.shards import open_folder


def person_record(key: str, *, label: int = 0, split: str = "", source: str = "", target: str = "") -> VideoRecord:
    return replace(record_of(key, label=label, split=split), source_key=source, target_key=target)


def write_records(out: Path, records: list[VideoRecord], chunk=face_chunk) -> Path:
    """Writes one track per video."""
    with open_folder(out, CONFIG, records, videos_per_shard=4) as folder:
        for task in folder.missing(records):
            write_shard(out, task, extract=lambda record: iter([chunk(record)]))
        folder.finish()
    return out


def people_of(out: Path, records: list[VideoRecord], persons: list[str]) -> People:
    """Writes the shards, and returns them with the given person of each video."""
    write_records(out, records)
    rows = sorted(zip(records, persons, strict=True), key=lambda row: row[0].key)
    codes = sorted(set(persons))
    embedding = torch.zeros(len(rows), 128)
    for i, (_, person) in enumerate(rows):
        embedding[i, codes.index(person)] = 1.0
    n = len(rows)
    faces = TrackFaces(
        str(out),
        tuple(record.key for record, _ in rows),
        (0,) * n,
        (True,) * n,
        tuple(record.source_key for record, _ in rows),
        tuple(record.target_key for record, _ in rows),
        (3,) * n,
        embedding,
    )
    return People((faces,), embedding, tuple(person for _, person in rows), torch.zeros(n), (), 0.5)


def many(count: int, persons: int, **more: object) -> tuple[list[VideoRecord], list[str]]:
    """Real videos; each person has about the same number of them."""
    records = [person_record(f"v{i:03d}", **more) for i in range(count)]  # type: ignore[arg-type]
    return records, [f"p{i % persons:02d}" for i in range(count)]


def splits_of_persons(people: People, splits: dict[tuple[int, str], str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for (video, _), person in zip(people.tracks(), people.person, strict=True):
        found.setdefault(person, Counter())[splits[video]] += 1
    return found
