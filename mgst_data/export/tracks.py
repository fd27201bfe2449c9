"""The tracks of folders of shards as an export sees them: which frames are chosen, and what is known of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby

from mgst_data.core import ShardError, VideoRecord, evenly_spaced
from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.core.locations import is_url, join
from mgst_data.core.records import SPLITS
from mgst_data.shards import FaceChunk, PeopleTable, ShardFolder, ShardReader, Source
from mgst_data.shards.schema import Data
from mgst_data.shards.storage import DAMAGED, read_span

# Names of the labels 0 and 1, and of the split of videos without one.
LABELS = ("real", "fake")
UNSPLIT = "unsplit"
# All splits, in the order in which they are shown.
ALL_SPLITS = (*SPLITS, UNSPLIT)


Box = list[float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrackFrame:
    """One chosen frame of a track, as plain values: they are the same in all formats.

    Attributes:
        number: Number of the frame in the video, from 0.
        time: Presentation time, seconds.
        label: 0 real, 1 fake: of this frame, because a fake video may be real in parts.
        image: The crop, encoded as it is in the shard.
        mask: The manipulation mask as PNG (0 untouched, 255 manipulated); None if there is none.
        image_format: "jpg", "png" or "webp".
        size: Side of the crop, pixels.
        box: Face box ``x0, y0, x1, y1``, pixels of the crop. It may reach beyond the crop.
        frame_box: The same face box, pixels of the video.
        landmarks: Smoothed landmarks ``x, y``, pixels of the crop.
        valid: False for landmarks that lie outside the frame or jump.
        score: Probability of a face, [0, 1].
        damaged: Whether the frame was decoded from damaged data.
        crop_from_frame: Rows of the affine transform from pixels of the video to pixels of the crop.
    """

    number: int
    time: float
    label: int
    image: Data
    mask: Data | None
    image_format: str
    size: int
    box: Box
    frame_box: Box
    landmarks: list[list[float]]
    valid: list[bool]
    score: float
    damaged: bool
    crop_from_frame: list[list[float]]

    @property
    def file(self) -> str:
        """Name of the file of the crop."""
        return f"{self.number:06d}.{self.image_format}"

    @property
    def mask_file(self) -> str:
        """Name of the file of the mask."""
        return f"{self.number:06d}.png"

    @property
    def inner_box(self) -> Box:
        """The part of the face box that is inside the crop."""
        return [min(max(edge, 0.0), float(self.size)) for edge in self.box]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What all frames of a track have in common.

    Attributes:
        name: Name that is unique in the export: key of the video and number of the track, ``KEY-00``; with several
            folders of shards, ``FOLDER/KEY-00``.
        source: Name of the folder of shards.
        split: "train", "val", "test", or "unsplit".
        record: Record of the video.
        number: Number of the track within the video.
        person: Code of the person that ``mgst-data people`` has found; "" if it is not known.
        fps: Frames per second of the video; 0 if unknown.
        frame_size: Width and height of the video, pixels.
        models: Detector and landmark model.
        length: Number of frames in the shards, chosen or not.
    """

    name: str
    source: str
    split: str
    record: VideoRecord
    number: int
    person: str
    fps: float
    frame_size: tuple[int, int]
    models: str
    length: int


def read_tracks(
    reader: ShardReader, *, every: int = 1, frames: int | None = None
) -> Iterator[tuple[Track, Iterator[TrackFrame]]]:
    """Yields every track with its chosen frames. One chunk at a time is in memory.

    The frames of a track must be used before the next track is taken. Before the first chunk of a local shard is read,
    the shard is compared with its digest.

    Args:
        reader: Chunks to read.
        every: Takes every n-th frame of a track.
        frames: Largest number of frames of a track, evenly spaced; None for no limit.

    Raises:
        ShardError: if a shard is damaged.
    """
    shards, folders = _Intact(reader), folder_names(reader.sources)
    persons = [_persons(source) for source in reader.sources]
    places = zip(reader.source.tolist(), reader.video.tolist(), reader.track.tolist(), range(len(reader)), strict=True)
    for (source, _, number), group in groupby(places, key=lambda place: place[:3]):
        indices = [place[3] for place in group]
        lengths = reader.frames[indices].tolist()
        chosen = chosen_frames(lengths, every=every, frames=frames)
        some = [(i, positions) for i, positions in zip(indices, chosen, strict=True) if positions]
        chunks = ((shards.read(i), positions) for i, positions in some)
        first, positions = next(chunks)
        record = first.record
        track = Track(
            name=f"{folders[source]}{record.key}-{number:02d}",
            source=reader.sources[source].name,
            split=record.split or UNSPLIT,
            record=record,
            number=number,
            person=persons[source].get((record.key, number), ""),
            fps=first.fps,
            frame_size=first.frame_size,
            models=", ".join(first.models.values()),
            length=sum(lengths),
        )
        yield track, _frames(first, positions, chunks)


def chosen_frames(lengths: Sequence[int], *, every: int, frames: int | None) -> list[list[int]]:
    """Chooses frames of a track: every n-th, and of these some that are evenly spaced.

    Args:
        lengths: Number of frames of each chunk, at least 1.
        every: Takes every n-th frame.
        frames: Largest number of frames, at least 1; None for no limit.

    Returns:
        Positions in each chunk.
    """
    places = list(range(0, sum(lengths), every))
    if frames is not None and frames < len(places):
        places = [places[i] for i in evenly_spaced(len(places), frames)]
    wanted = iter(places)
    place = next(wanted, None)
    chosen: list[list[int]] = []
    for length, end in zip(lengths, accumulate(lengths), strict=True):
        chosen.append([])
        while place is not None and place < end:
            chosen[-1].append(place - (end - length))
            place = next(wanted, None)
    return chosen


def folder_names(sources: Sequence[Source]) -> list[str]:
    """Returns what is put before the names of tracks of each source: nothing for a single one, else ``NAME/``."""
    if len(sources) == 1:
        return [""]
    names: list[str] = []
    for source in sources:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", source.name)
        names.append(f"{plain}/" if f"{plain}/" not in names else f"{plain}-{len(names)}/")
    return names


def _persons(source: Source) -> dict[tuple[str, int], str]:
    table = PeopleTable.read(source.location)
    return {} if table is None else {(row.video, row.track): row.person for row in table.tracks}


def _frames(
    chunk: FaceChunk, positions: Sequence[int], rest: Iterator[tuple[FaceChunk, list[int]]]
) -> Iterator[TrackFrame]:
    for some, places in chain([(chunk, positions)], rest):
        yield from frames_of(some, places)


def frames_of(chunk: FaceChunk, positions: Sequence[int]) -> Iterator[TrackFrame]:
    """Yields frames of a chunk.

    Args:
        chunk: The chunk.
        positions: Positions in the chunk.
    """
    corners = chunk.boxes.double().reshape(-1, 2, 2)
    in_video = apply_transform(invert_transform(chunk.crop_from_frame), corners).flatten(1)
    # Each as a list with one item per frame: indexing lists is much faster than indexing tensors.
    columns = {
        "number": chunk.frame_indices,
        "time": chunk.pts,
        "label": chunk.fake_frames.long(),
        "box": chunk.boxes,
        "frame_box": in_video,
        "landmarks": chunk.landmarks,
        "valid": chunk.valid,
        "score": chunk.scores,
        "damaged": chunk.damaged,
    }
    lists = {name: column.tolist() for name, column in columns.items()}
    transform = chunk.crop_from_frame.tolist()
    for i in positions:
        yield TrackFrame(
            image=chunk.images[i],
            mask=chunk.masks[i] if chunk.masks else None,
            image_format=chunk.image_format,
            size=chunk.crop_size,
            crop_from_frame=transform,
            **{name: values[i] for name, values in lists.items()},
        )


class _Intact:
    """Reads chunks of shards whose files have not changed since they were written.

    Crops are copied without decoding them, so nothing else would notice a damaged one.
    """

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader
        self._unseen = {
            join(source.location, file.name): file
            for source in reader.sources
            if not is_url(source.location)
            for report in ShardFolder.read(source.location).reports()
            for file in report.files
        }

    def read(self, index: int) -> FaceChunk:
        path = self._reader.shards[int(self._reader.shard[index])]
        file = self._unseen.pop(path, None)
        if file is not None and hashlib.sha256(read_span(path, 0, file.bytes)).hexdigest() != file.sha256:
            raise ShardError("its content has changed since it was written", where=path, hint=DAMAGED)
        return self._reader[index]


def digest_of(reader: ShardReader) -> str:
    """Returns a hash that is equal for readers with the same chunks, splits and sources."""
    content = [reader.digest, *reader.splits, *(source.name for source in reader.sources)]
    return hashlib.blake2b("\n".join(content).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
