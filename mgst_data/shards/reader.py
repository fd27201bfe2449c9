"""Reads any chunk of folders of shards by its number (random access)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mgst_data.core import ShardError, UsageError
from mgst_data.core.errors import check_name
from mgst_data.core.locations import is_url, join
from mgst_data.core.records import SPLITS
from mgst_data.shards import tar
from mgst_data.shards.cache import ShardCache
from mgst_data.shards.folder import ShardFolder
from mgst_data.shards.people import PeopleTable
from mgst_data.shards.report import ShardReport, VideoReport
from mgst_data.shards.schema import Data, FaceChunk, decode_chunk, split_key
from mgst_data.shards.sources import Places, Source, sources_of
from mgst_data.shards.storage import DAMAGED, read_span, read_spans

# Default of ShardReader.source: the number of chunks is known only when a reader is made.
_ONE_SOURCE = torch.zeros(0, dtype=torch.long)


def read_sample(shard: str, offset: int, size: int) -> tuple[str, dict[str, Data]]:
    """Reads the sample at a position of a shard. The data of local shards is not copied.

    Args:
        shard: Path or URL of the shard.
        offset: First byte of the sample.
        size: Size of the sample, bytes.

    Returns:
        The name of the sample, and its members by extension.

    Raises:
        ShardError: if the shard has no sample at this position, or more than one.
    """
    return _unpacked(read_span(shard, offset, size), f"{shard}, byte {offset}")


def _unpacked(data: memoryview, where: str) -> tuple[str, dict[str, Data]]:
    try:
        members = list(tar.unpack(data))
    except ShardError as error:
        raise ShardError(error.what, where=error.where or where, hint=error.hint or DAMAGED) from error
    key = members[0][0].partition(".")[0] if members else ""
    begin = len(key) + 1
    if not all(name.startswith(f"{key}.") for name, _ in members):
        raise ShardError(f"sample {key!r} contains members of other samples", where=where, hint=DAMAGED)
    return key, {name[begin:]: data for name, data in members}


def read_chunk(shard: str, offset: int, size: int) -> FaceChunk:
    """Reads the chunk at a position of a shard.

    Args:
        shard: Path or URL of the shard.
        offset: First byte of the sample.
        size: Size of the sample, bytes.

    Raises:
        ShardError: if the chunk is damaged; the error names the shard.
    """
    return _chunk_in(read_span(shard, offset, size), shard, offset)


def _chunk_in(data: memoryview, shard: str, offset: int) -> FaceChunk:
    key, members = _unpacked(data, f"{shard}, byte {offset}")
    return checked_chunk(members, key, where=f"{shard}: {key}")


def checked_chunk(members: Mapping[str, Data], key: str, *, where: str) -> FaceChunk:
    """Decodes the chunk of a sample and checks its name.

    Args:
        members: Members of the sample by extension.
        key: Name of the sample.
        where: Place of the sample, for error messages.

    Raises:
        ShardError: if the sample is damaged, or its JSON has another name.
    """
    try:
        chunk = decode_chunk(members)
    except ShardError as error:
        raise ShardError(error.what, where=where, hint=error.hint or DAMAGED) from error
    if chunk.key != key:
        raise ShardError(f"the JSON has the name {chunk.key!r}", where=where, hint=DAMAGED)
    return chunk


@dataclass(frozen=True, slots=True, eq=False)
class ShardReader:
    """The chunks of folders of shards, as flat columns of length n, sorted by source, video, track and chunk.

    Attributes:
        location: Path or URL of the folder; of several folders, all of them, for error messages.
        shards: Path or URL of every shard.
        videos: Key of every video that has chunks. Videos of different sources may have the same key.
        shard: Shard of each chunk, as an index into ``shards``.
        video: Video of each chunk, as an index into ``videos``.
        track: Number of the track within the video.
        offset: First byte of the sample in its shard.
        size: Size of the sample, bytes.
        frames: Number of frames of each chunk.
        label: 0 real, 1 fake: whether the chunk has a fake frame. A fake video may be real in parts.
        source: Source of each chunk, as an index into ``sources``.
        sources: The folders.
        persons: Identity that each video shows; where the data set names none, the person that ``mgst-data people``
            has found; "" if neither is known, None if the report does not say, see :meth:`with_persons`.
        splits: Split of each video in ``videos``: the one of the data set; otherwise the one by person, see
            :class:`~mgst_data.shards.people.PeopleTable`; otherwise "".
        cache: Local copies of shards behind URLs; None reads them from their store.
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
    source: Int[Tensor, " n"] = _ONE_SOURCE
    sources: tuple[Source, ...] = ()
    persons: tuple[str | None, ...] = ()
    splits: tuple[str, ...] = ()
    cache: ShardCache | None = None

    def __post_init__(self) -> None:
        if self.source is _ONE_SOURCE:
            object.__setattr__(self, "source", torch.zeros_like(self.shard))
        if not self.sources:
            object.__setattr__(self, "sources", sources_of(self.location))

    @staticmethod
    def open(
        places: Places,
        *,
        split: str | None = None,
        label: int | None = None,
        methods: Collection[str] | None = None,
        cache: ShardCache | None = None,
    ) -> ShardReader:
        """Opens one or more folders of shards. Reads only the reports of the shards, and tables of persons.

        Args:
            places: Path or fsspec URL of a folder, a :class:`~mgst_data.shards.Source`, or a list of these.
            split: Keeps only videos of this split ("" for videos without one); None keeps all. The split of the data
                set wins over the split by person.
            label: Keeps only real (0) or only fake (1) videos; None keeps both.
            methods: Keeps only videos of these methods; "real" is one of them. None keeps all.
            cache: Keeps local copies of shards behind URLs. Local shards are read directly.

        Raises:
            UsageError: if a folder has no shards, if a shard is not complete, if a method or split is unknown, if a
                folder is given twice, or if the cache is smaller than a shard.
        """
        sources = sources_of(places)
        location = ", ".join(source.location for source in sources)
        reports = [_complete(source.location) for source in sources]
        there = {"real", *(video.method for some in reports for report in some for video in report.videos)}
        for name in methods or ():
            check_name(name, sorted(there), "method", location)
        if split:
            check_name(split, SPLITS, "split", location)
        shards: list[str] = []
        videos: list[VideoReport] = []
        rows: list[tuple[int, ...]] = []
        for number, (source, some) in enumerate(zip(sources, reports, strict=True)):
            people = PeopleTable.read(source.location)
            for report in some:
                known = (video if people is None else people.completed(video) for video in report.videos)
                wanted = {
                    video.key: video
                    for video in known
                    if video.chunks
                    and split in (None, video.split)
                    and label in (None, video.label)
                    and (methods is None or video.method in methods)
                }
                numbers = {key: len(videos) + i for i, key in enumerate(wanted)}
                videos += wanted.values()
                for sample in report.samples:
                    key, track, chunk = split_key(sample.key)
                    if key in wanted:
                        is_fake = int(wanted[key].label and sample.fakes != 0)
                        place = (len(shards), sample.offset, sample.size, sample.frames, is_fake, number)
                        rows.append((numbers[key], track, chunk, *place))
                shards.append(join(source.location, f"{report.name}.tar"))
                if cache is not None and report.files and is_url(shards[-1]):
                    cache.add(shards[-1], report.files[0])
        columns = torch.tensor(sorted(rows), dtype=torch.long).reshape(-1, 9).unbind(1)
        video_, track_, _, shard_, offset, size, frames, label_, source_ = columns
        return ShardReader(
            location=location,
            shards=tuple(shards),
            videos=tuple(video.key for video in videos),
            shard=shard_,
            video=video_,
            track=track_,
            offset=offset,
            size=size,
            frames=frames,
            label=label_,
            source=source_,
            sources=sources,
            persons=tuple(video.target_key for video in videos),
            splits=tuple(video.split for video in videos),
            cache=cache,
        )

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, index: int) -> FaceChunk:
        """Reads a chunk. Its images are not decoded yet. Raises ShardError if the chunk is damaged.

        The split of its record is the one in ``splits``.
        """
        (chunk,) = self.read([index])
        if isinstance(chunk, ShardError):
            raise chunk
        return chunk

    def read(self, indices: Sequence[int]) -> list[FaceChunk | ShardError]:
        """Reads several chunks. Those behind URLs are asked for at the same time.

        Args:
            indices: Numbers of the chunks.

        Returns:
            Each chunk, as ``reader[index]`` returns it, or why it cannot be read.
        """
        shards = [self.shards[self.shard[index]] for index in indices]
        return [self._decoded(*one) for one in zip(indices, shards, self.read_bytes(indices), strict=True)]

    def read_bytes(self, indices: Sequence[int]) -> list[memoryview | ShardError]:
        """Reads the stored bytes of several chunks: for each, the members of its sample as they are in the shard.

        Args:
            indices: Numbers of the chunks.

        Returns:
            The bytes of each chunk, or why they cannot be read.
        """
        spans = [(self.shards[self.shard[i]], int(self.offset[i]), int(self.size[i])) for i in indices]
        return read_spans(spans) if self.cache is None else self.cache.read(spans)

    def _decoded(self, index: int, shard: str, data: memoryview | ShardError) -> FaceChunk | ShardError:
        if isinstance(data, ShardError):
            return data
        try:
            chunk = _chunk_in(data, shard, int(self.offset[index]))
        except ShardError as error:
            return error
        split = self.splits[int(self.video[index])] if self.splits else chunk.record.split
        if chunk.record.split == split:
            return chunk
        return dataclasses.replace(chunk, record=dataclasses.replace(chunk.record, split=split))

    def __iter__(self) -> Iterator[FaceChunk]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        fakes = int(self.label.sum())
        several = f" of {len(self.sources)} sources" if len(self.sources) > 1 else ""
        counts = f"{len(self)} chunks of {len(self.videos)} videos{several}"
        return f"ShardReader({counts}; {len(self) - fakes} real, {fakes} fake)"

    def where(self, chosen: Bool[Tensor, " n"]) -> ShardReader:
        """Returns a reader of only the chosen chunks."""
        columns = {
            column.name: getattr(self, column.name)[chosen]
            for column in dataclasses.fields(self)
            if column.name not in ("location", "shards", "videos", "sources", "persons", "splits", "cache")
        }
        return dataclasses.replace(self, **columns)

    def of_source(self, number: int) -> ShardReader:
        """Returns a reader of only the chunks of a source, by its index in ``sources``."""
        return dataclasses.replace(self.where(self.source == number), location=self.sources[number].location)

    def with_persons(self) -> ShardReader:
        """Returns a reader that knows all persons. Reads one chunk of each video whose report does not name them.

        Raises:
            ShardError: if such a chunk is damaged.
        """
        persons = list(self.persons or [None] * len(self.videos))
        unknown = [number for number, person in enumerate(persons) if person is None]
        first = dict(zip(reversed(self.video.tolist()), reversed(range(len(self))), strict=True)) if unknown else {}
        for number in unknown:
            # A video whose chunks were all left out is not read.
            persons[number] = self[first[number]].record.target_key if number in first else ""
        return dataclasses.replace(self, persons=tuple(persons))

    @property
    def stills(self) -> Bool[Tensor, " n"]:
        """True for chunks of videos of a single frame: pictures."""
        longest = torch.zeros(len(self.videos), dtype=torch.long).scatter_reduce(0, self.video, self.frames, "amax")
        return longest[self.video] == 1

    @property
    def digest(self) -> str:
        """Hash that is equal for readers with the same chunks in the same order."""
        content = "\n".join(self.videos).encode() + torch.stack((self.video, self.offset, self.size)).numpy().tobytes()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


def _complete(location: str) -> list[ShardReport]:
    """Returns the reports of a folder.

    Raises:
        UsageError: if a shard is not complete.
    """
    folder = ShardFolder.read(location)
    reports = list(folder.reports())
    if len(reports) < len(folder.plan):
        what = f"{len(folder.plan) - len(reports)} of {len(folder.plan)} shards are not complete"
        hint = "run the same mgst-data extract command again; it makes the missing shards"
        raise UsageError(what, where=location, hint=hint)
    return reports
