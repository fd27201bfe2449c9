"""Reads shards: any chunk by its number, without reading what lies before it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mgst_data.core import ShardError, UsageError
from mgst_data.core.errors import check_name
from mgst_data.core.locations import join
from mgst_data.core.records import SPLITS
from mgst_data.shards import tar
from mgst_data.shards.folder import ShardFolder
from mgst_data.shards.schema import Data, FaceChunk, decode_chunk, split_key
from mgst_data.shards.storage import DAMAGED, read_span


def read_sample(shard: str, offset: int, size: int) -> tuple[str, dict[str, Data]]:
    """Name and members of the sample at a place in a shard; local shards are not copied.

    Raises:
        ShardError: if there is no sample at this place, or more than one.
    """
    where = f"{shard}, byte {offset}"
    try:
        members = list(tar.unpack(read_span(shard, offset, size)))
    except ShardError as error:
        raise ShardError(error.what, where=error.where or where, hint=error.hint or DAMAGED) from error
    key = members[0][0].partition(".")[0] if members else ""
    begin = len(key) + 1
    if not all(name.startswith(f"{key}.") for name, _ in members):
        raise ShardError(f"members of other samples lie within {key!r}", where=where, hint=DAMAGED)
    return key, {name[begin:]: data for name, data in members}


def read_chunk(shard: str, offset: int, size: int) -> FaceChunk:
    """The chunk at a place in a shard; raises ShardError, naming the file, if it is damaged."""
    key, members = read_sample(shard, offset, size)
    return checked_chunk(members, key, where=f"{shard}: {key}")


def checked_chunk(members: Mapping[str, Data], key: str, *, where: str) -> FaceChunk:
    """The chunk of a sample of that name; raises ShardError that says where, if it is damaged or of another name."""
    try:
        chunk = decode_chunk(members)
    except ShardError as error:
        raise ShardError(error.what, where=where, hint=error.hint or DAMAGED) from error
    if chunk.key != key:
        raise ShardError(f"its JSON names it {chunk.key!r}", where=where, hint=DAMAGED)
    return chunk


@dataclass(frozen=True, slots=True, eq=False)
class ShardReader:
    """The chunks of a folder of shards, as flat columns of length n; sorted by video, track and chunk.

    Attributes:
        location: The folder, by path or URL.
        shards: Path or URL of every shard.
        videos: Key of every video that has chunks.
        shard: Index into ``shards``.
        video: Index into ``videos``.
        track: Number of the face within the video.
        offset: First byte of the sample in its shard.
        size: Bytes of the sample.
        frames: Number of frames.
        label: 0 real, 1 fake.
    """

    location: str
    shards: tuple[str, ...]
    videos: tuple[str, ...]
    shard: Int[Tensor, " n"]
    video: Int[Tensor, " n"]
    track: Int[Tensor, " n"]
    offset: Int[Tensor, " n"]
    size: Int[Tensor, " n"]
    frames: Int[Tensor, " n"]
    label: Int[Tensor, " n"]

    @staticmethod
    def open(
        location: str | Path,
        *,
        split: str | None = None,
        label: int | None = None,
        methods: Collection[str] | None = None,
    ) -> ShardReader:
        """Opens a folder of shards by path or fsspec URL. Only its reports are read.

        Args:
            location: The folder.
            split: Only videos of this split ("" for those without one).
            label: Only real (0) or only fake (1) videos.
            methods: Only these methods; "real" is one of them.

        Raises:
            UsageError: if there are no shards, some are not complete yet, or a method or split is not a name of one.
        """
        folder = ShardFolder.read(location)
        reports = list(folder.reports())
        if len(reports) < len(folder.plan):
            what = f"{len(folder.plan) - len(reports)} of {len(folder.plan)} shards are not complete"
            hint = "run the same mgst-data extract again: it makes what is missing"
            raise UsageError(what, where=location, hint=hint)
        there = {"real", *(video.method for report in reports for video in report.videos)}
        for name in methods or ():
            check_name(name, sorted(there), "method", location)
        if split:
            check_name(split, SPLITS, "split", location)
        shards: list[str] = []
        videos: list[str] = []
        rows: list[tuple[int, ...]] = []
        for report in reports:
            wanted = {
                video.key: video
                for video in report.videos
                if video.chunks
                and split in (None, video.split)
                and label in (None, video.label)
                and (methods is None or video.method in methods)
            }
            numbers = {key: len(videos) + i for i, key in enumerate(wanted)}
            videos += wanted
            for sample in report.samples:
                key, track, chunk = split_key(sample.key)
                if key in wanted:
                    place = (len(shards), sample.offset, sample.size, sample.frames)
                    rows.append((numbers[key], track, chunk, *place, wanted[key].label))
            shards.append(join(str(location), f"{report.name}.tar"))
        columns = torch.tensor(sorted(rows), dtype=torch.long).reshape(-1, 8).unbind(1)
        video_, track_, _, shard_, offset, size, frames, label_ = columns
        return ShardReader(
            str(location), tuple(shards), tuple(videos), shard_, video_, track_, offset, size, frames, label_
        )

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, index: int) -> FaceChunk:
        """Reads a chunk; its pictures are decoded when asked for. Raises ShardError if it is damaged."""
        return read_chunk(self.shards[self.shard[index]], int(self.offset[index]), int(self.size[index]))

    def __iter__(self) -> Iterator[FaceChunk]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        fakes = int(self.label.sum())
        return f"ShardReader({len(self)} chunks of {len(self.videos)} videos; {len(self) - fakes} real, {fakes} fake)"

    def where(self, chosen: Bool[Tensor, " n"]) -> ShardReader:
        """Only the chosen chunks."""
        columns = {
            column.name: getattr(self, column.name)[chosen]
            for column in dataclasses.fields(self)
            if column.name not in ("location", "shards", "videos")
        }
        return dataclasses.replace(self, **columns)

    @property
    def digest(self) -> str:
        """Tells whether two readers hold the same chunks in the same order."""
        content = "\n".join(self.videos).encode() + torch.stack((self.video, self.offset, self.size)).numpy().tobytes()
        return hashlib.blake2b(content, digest_size=8).hexdigest()
