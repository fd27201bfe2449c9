"""From a video, a picture or shards to the segments that a preview shows."""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mgst_data.core import REAL, NoFaceError, Segment, ShardError, UsageError, VideoRecord
from mgst_data.core.records import main_track
from mgst_data.datasets.keys import video_key
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.faces.crop import resize
from mgst_data.shards import FaceChunk, ShardReader
from mgst_data.shards.loader import VALID_SHARE
from mgst_data.shards.reader import checked_chunk
from mgst_data.shards.storage import DAMAGED

_TAR = ".tar"
# Numbers of landmarks of which the regions of a face are known.
_KNOWN = (68, 81)
# Frames of a video that are searched for its main face; more, if none of them shows one.
SEARCHED = 150
# For tracks that a data set would leave out, such as the one frame of a picture.
_MIN_FRAMES = 1


@dataclass(frozen=True, slots=True)
class Clip:
    """A segment, and where it comes from.

    Attributes:
        segment: One segment.
        source: Video or chunk, as the user knows it.
        frame_indices: Numbers of the frames in their video.
    """

    segment: Segment
    source: str
    frame_indices: Int[Tensor, " t"]

    def __len__(self) -> int:
        return len(self.frame_indices)


def clip_from_video(
    path: str, *, frames: int = 16, size: int = 256, searched: int = SEARCHED, device: torch.device | str = "cpu"
) -> Clip:
    """Extracts consecutive frames of the main face of a video or picture; nothing is written.

    The main face is the one with the largest sum of areas over the frames that are searched. Of the runs of ``frames``
    frames that show it within one crop, the middle one is taken; if there is none, the longest of the shorter ones.

    Args:
        path: Path or URL of a video or picture.
        frames: Wanted; there are fewer if the video is shorter, or the face moves too fast for one crop.
        size: Side of the crops, pixels; small faces are enlarged.
        searched: Frames to look at; later ones only if these show no face.
        device: Where the networks run.

    Raises:
        VideoError: if the video cannot be read.
        NoFaceError: if there is no face in it.
        UsageError: if these are shards, or a folder.
    """
    if path.endswith(_TAR) or Path(path, "dataset.json").is_file():
        raise UsageError("looks like shards", where=path, hint="add --shard to take faces from shards")
    if Path(path).is_dir():
        raise UsageError("is a folder", where=path, hint="give one video or picture, or add --shard if it holds shards")
    record = VideoRecord.unlabelled(path, key=video_key(path))
    config = ExtractConfig(size=size, upsample=True, frames=frames, min_frames=_MIN_FRAMES, image_format="png")
    extraction = Extractor(config, device=device)(record)
    chunks: list[FaceChunk] = []
    try:
        # Closed at once: what decodes ahead should not go on when enough has been seen.
        with closing(cast("Generator[FaceChunk]", iter(extraction))) as found:
            for chunk in found:
                chunks.append(chunk)
                if extraction.frames >= searched:
                    break
    except NoFaceError as error:
        # The options that an extraction would point to are not asked for here.
        hint = "take one in which a face can be seen clearly"
        raise NoFaceError(error.what, where=error.where, hint=hint, reason=error.reason) from error
    return clip_from_chunk(_main(chunks, frames), frames=frames, size=size, source=path)


def clip_from_chunk(chunk: FaceChunk, *, frames: int, size: int, source: str = "") -> Clip:
    """The first frames of a chunk.

    Args:
        chunk: Its masks are left out.
        frames: At most so many.
        size: Side that the crops are scaled to, pixels, and the landmarks with them.
        source: What to call it; its key by default.

    Raises:
        ShardError: if a picture is damaged.
    """
    positions = range(min(frames, len(chunk)))
    crops = np.stack([resize(crop, size) for crop in chunk.frames(positions)])
    mine = slice(0, len(positions))
    segment = Segment.of(
        torch.from_numpy(crops).permute(0, 3, 1, 2)[None],
        # As pictures are scaled: about the corner of the first pixel, whose centre is 0.
        (chunk.landmarks[None, mine] + 0.5) * (size / chunk.crop_size) - 0.5,
        valid=chunk.valid[None, mine].float().mean(dim=-1) >= VALID_SHARE,
        label=torch.tensor([chunk.record.label]),
    )
    return Clip(segment, source or chunk.key, chunk.frame_indices[mine])


def _main(chunks: list[FaceChunk], frames: int) -> FaceChunk:
    """The middle one of the longest chunks of the main face."""
    area: dict[int, float] = {}
    for chunk in chunks:
        area[chunk.track] = area.get(chunk.track, 0.0) + chunk.face_area
    main = main_track(area)
    mine = [chunk for chunk in chunks if chunk.track == main]
    longest = min(frames, max(map(len, mine)))
    mine = [chunk for chunk in mine if len(chunk) >= longest]
    return mine[(len(mine) - 1) // 2]


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
                yield checked_chunk(sample, key, where=f"{path}: {key}")
    except tarfile.TarError as error:
        raise ShardError("not a tar file, or damaged", where=path, hint=DAMAGED) from error
    except OSError as error:
        raise UsageError((error.strerror or "cannot be read").lower(), where=path, hint="check the path") from error
