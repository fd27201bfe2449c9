"""Verifies complete shards: digests, samples and images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from mgst_data.core import ShardError
from mgst_data.core.locations import join
from mgst_data.shards.reader import read_sample
from mgst_data.shards.report import SampleSpan, ShardReport
from mgst_data.shards.schema import decode_chunk, split_key, verify_sample
from mgst_data.shards.storage import DAMAGED, read_span


def verify_shard(location: str, report: ShardReport) -> Iterator[str]:
    """Checks the file of a shard, every sample, and their agreement with the report.

    Args:
        location: Path or fsspec URL of the folder of shards.
        report: Report of the shard.

    Yields:
        One line per problem.
    """
    for file in report.files:
        path = join(location, file.name)
        try:
            data = read_span(path, 0, file.bytes)
        except ShardError as error:
            yield str(error)
            return
        if hashlib.sha256(data).hexdigest() != file.sha256:
            yield f"{path}: its content has changed since it was written ({DAMAGED})"
    tar_path = join(location, f"{report.name}.tar")
    for key, count in Counter(sample.key for sample in report.samples).items():
        if count > 1:
            yield f"{tar_path}: {count} samples have the name {key}"
    chunks = Counter(split_key(sample.key)[0] for sample in report.samples)
    for video in report.videos:
        if video.chunks != chunks[video.key]:
            yield f"{tar_path}: has {chunks[video.key]} chunks of {video.key}, but {video.chunks} in the report"
    for sample in report.samples:
        yield from _verify_sample(tar_path, sample, report)


def _verify_sample(path: str, span: SampleSpan, report: ShardReport) -> Iterator[str]:
    try:
        key, members = read_sample(path, span.offset, span.size)
    except ShardError as error:
        yield str(error)
        return
    where = f"{path}: {key}"
    problems = verify_sample(members)
    yield from (f"{where}: {problem}" for problem in problems)
    if problems:
        return
    chunk = decode_chunk(members)
    if not key == chunk.key == span.key:
        yield f"{where}: has the name {chunk.key} in the JSON and {span.key} in the report"
    if len(chunk) != span.frames:
        yield f"{where}: has {len(chunk)} frames, but {span.frames} in the report"
    video = next((video for video in report.videos if video.key == chunk.record.key), None)
    if video is None or video.skipped:
        yield f"{where}: the report does not list its video as kept"
        return
    for name in ("dataset", "split", "label", "method"):
        stored, reported = getattr(chunk.record, name), getattr(video, name)
        if stored != reported:
            yield f"{where}: has {name} {stored!r}, but {reported!r} in the report"
