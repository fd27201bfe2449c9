"""From a video, a picture or shards to the segments that a preview shows."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from mgst_data.core import REAL, ShardError, UsageError
from mgst_data.extract.segment import Clip, clip_from_chunk, segment_from_video
from mgst_data.shards import FaceChunk, ShardReader, decode_chunk
from mgst_data.shards.storage import DAMAGED

_TAR = ".tar"
# Numbers of landmarks of which the regions of a face are known.
_KNOWN = (68, 81)


def clip_from_video(path: str, *, frames: int, size: int) -> Clip:
    """A clip of the main face of a video or picture; see :func:`mgst_data.extract.segment.segment_from_video`.

    Raises:
        UsageError: if these are shards, or a folder.
    """
    local = Path(path)
    if path.endswith(_TAR) or Path(path, "dataset.json").is_file():
        raise UsageError("looks like shards", where=path, hint="add --shard to take faces from shards")
    if local.is_dir():
        raise UsageError("is a folder", where=path, hint="give one video or picture, or add --shard if it holds shards")
    return segment_from_video(path, frames=frames, size=size)


def clips_from_shards(location: str, *, count: int, frames: int, size: int) -> list[Clip]:
    """The beginnings of chunks of real videos, one for each of the first ``count`` videos.

    Args:
        location: A folder of shards, by path or URL, or one shard.
        count: At most so many.
        frames: At most so many of each; of a video, the first chunk that has them is taken, or its longest.
        size: Side that crops are scaled to, pixels.

    Raises:
        UsageError: if there is no chunk of a real video, or its landmarks are not known.
        ShardError: if a shard is damaged.
    """
    chunks = _from_tar(location, count, frames) if location.endswith(_TAR) else _from_folder(location, count, frames)
    if not chunks:
        raise UsageError("holds no chunk of a real video", where=location, hint="self-blends are made of real faces")
    for chunk in chunks:
        k = chunk.landmarks.shape[1]
        if k not in _KNOWN:
            raise UsageError(
                f"has {k} landmarks of a face, not 68 or 81",
                where=chunk.key,
                hint="extract again with --landmark-model FILE, a model of 68 or 81 points",
            )
    return [clip_from_chunk(chunk, frames=frames, size=size) for chunk in chunks]


def _from_folder(location: str, count: int, frames: int) -> list[FaceChunk]:
    reader = ShardReader.open(location, label=REAL)
    chunks = []
    for video in range(min(count, len(reader.videos))):
        mine = (reader.video == video).nonzero()[:, 0]
        lengths = reader.frames[mine].clamp_max(frames)
        chunks.append(reader[int(mine[int(lengths.argmax())])])  # the first of the longest
    return chunks


def _from_tar(path: str, count: int, frames: int) -> list[FaceChunk]:
    chosen: dict[str, FaceChunk] = {}
    for chunk in _chunks(path):
        key, long_enough = chunk.record.key, all(len(other) >= frames for other in chosen.values())
        if len(chosen) == count and long_enough:
            break
        if chunk.record.label != REAL or (key not in chosen and len(chosen) == count):
            continue
        if key not in chosen or len(chosen[key]) < min(frames, len(chunk)):
            chosen[key] = chunk
    return list(chosen.values())


def _chunks(path: str) -> Iterator[FaceChunk]:
    """All chunks of one shard, without its report."""
    try:
        with tarfile.open(path) as archive:
            for key, members in groupby(archive, key=lambda member: member.name.partition(".")[0]):
                files = ((member.name, archive.extractfile(member)) for member in members)
                sample = {name[len(key) + 1 :]: file.read() for name, file in files if file is not None}
                yield _decoded(sample, f"{path}: {key}")
    except tarfile.TarError as error:
        raise ShardError("not a tar file, or damaged", where=path, hint=DAMAGED) from error
    except OSError as error:
        raise UsageError((error.strerror or "cannot be read").lower(), where=path, hint="check the path") from error


def _decoded(sample: dict[str, bytes], where: str) -> FaceChunk:
    try:
        return decode_chunk(sample)
    except ShardError as error:
        raise ShardError(error.what, where=where, hint=error.hint) from error
