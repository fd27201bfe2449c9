"""Makes segments for a preview from a video, a picture or shards."""

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
# Numbers of landmarks for which the face regions are defined.
_KNOWN = (68, 81)
# Number of frames that are searched for the main face. If they contain no face, more frames are searched.
SEARCHED = 150
# An extraction drops short tracks, but a picture has a track of one frame.
_MIN_FRAMES = 1


@dataclass(frozen=True, slots=True)
class Clip:
    """A segment and its source.

    Attributes:
        segment: The segment (batch size 1).
        source: Path of the video as the user gave it, or key of the chunk.
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
    """Extracts consecutive frames of the main face of a video or picture. No file is written.

    The main face is the one with the largest sum of areas over the searched frames. The clip is the middle one of the
    runs with ``frames`` frames; if there are none, the longest shorter run.

    Args:
        path: Path or URL of a video or picture.
        frames: Maximum number of frames. There are fewer if the video is shorter, or if the face moves too fast for
            one crop.
        size: Side of the crops, pixels; small faces are enlarged.
        searched: Number of frames to search. Later frames are searched only if these contain no face.
        device: Device of the networks.

    Raises:
        VideoError: if the video cannot be read.
        NoFaceError: if the video contains no face.
        UsageError: if the path is a folder or a shard.
    """
    if path.endswith(_TAR) or Path(path, "dataset.json").is_file():
        raise UsageError("not a video but shards", where=path, hint="add --shard to use faces from shards")
    if Path(path).is_dir():
        hint = "give one video or picture, or add --shard if the folder contains shards"
        raise UsageError("not a video but a folder", where=path, hint=hint)
    record = VideoRecord.unlabelled(path, key=video_key(path))
    config = ExtractConfig(size=size, upsample=True, frames=frames, min_frames=_MIN_FRAMES, image_format="png")
    extraction = Extractor(config, device=device)(record)
    chunks: list[FaceChunk] = []
    try:
        # The generator is closed at once, so that the reader stops decoding ahead.
        with closing(cast("Generator[FaceChunk]", iter(extraction))) as found:
            for chunk in found:
                chunks.append(chunk)
                if extraction.frames >= searched:
                    break
    except NoFaceError as error:
        # The hint of an extraction names options that do not exist here.
        hint = "use a video or picture with a clearly visible face"
        raise NoFaceError(error.what, where=error.where, hint=hint, reason=error.reason) from error
    return clip_from_chunk(_main(chunks, frames), frames=frames, size=size, source=path)


def clip_from_chunk(chunk: FaceChunk, *, frames: int, size: int, source: str = "") -> Clip:
    """Makes a clip of the first frames of a chunk, without its masks.

    Args:
        chunk: Chunk to decode.
        frames: Maximum number of frames.
        size: Side that the crops are scaled to, with their landmarks, pixels.
        source: Source of the clip; by default, the key of the chunk.

    Raises:
        ShardError: if a crop is damaged.
    """
    positions = range(min(frames, len(chunk)))
    crops = np.stack([resize(crop, size) for crop in chunk.frames(positions)])
    mine = slice(0, len(positions))
    segment = Segment.of(
        torch.from_numpy(crops).permute(0, 3, 1, 2)[None],
        # Pixel centres have whole coordinates, but scaling keeps the corner of the first pixel at (-0.5, -0.5).
        (chunk.landmarks[None, mine] + 0.5) * (size / chunk.crop_size) - 0.5,
        valid=chunk.valid[None, mine].float().mean(dim=-1) >= VALID_SHARE,
        label=torch.tensor([chunk.record.label]),
    )
    return Clip(segment, source or chunk.key, chunk.frame_indices[mine])


def _main(chunks: list[FaceChunk], frames: int) -> FaceChunk:
    """Returns the middle one of the longest chunks of the main face."""
    area: dict[int, float] = {}
    for chunk in chunks:
        area[chunk.track] = area.get(chunk.track, 0.0) + chunk.face_area
    main = main_track(area)
    mine = [chunk for chunk in chunks if chunk.track == main]
    longest = min(frames, max(map(len, mine)))
    mine = [chunk for chunk in mine if len(chunk) >= longest]
    return mine[(len(mine) - 1) // 2]


def clips_from_shards(location: str, *, count: int, frames: int, size: int) -> list[Clip]:
    """Makes one clip from each of the first ``count`` real videos.

    A clip is the beginning of the first chunk with ``frames`` frames, or of the longest chunk if all are shorter.

    Args:
        location: Path or URL of a folder of shards, or path of one shard.
        count: Maximum number of clips.
        frames: Maximum number of frames of each clip.
        size: Side that crops are scaled to, pixels.

    Raises:
        UsageError: if there is no chunk of a real video, or if a chunk does not have 68 or 81 landmarks.
        ShardError: if a shard is damaged.
    """
    chunks = _from_tar(location, count, frames) if location.endswith(_TAR) else _from_folder(location, count, frames)
    if not chunks:
        hint = "self-blends are made from real faces; give shards of real videos"
        raise UsageError("no chunk of a real video", where=location, hint=hint)
    for chunk in chunks:
        k = chunk.landmarks.shape[1]
        if k not in _KNOWN:
            raise UsageError(
                f"has {k} landmarks, not 68 or 81",
                where=chunk.key,
                hint="extract again with --landmark-model FILE, a model of 68 or 81 landmarks",
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
    """Yields all chunks of one shard. Its report is not needed.

    Raises:
        ShardError: if the shard is not a tar file, or is damaged.
        UsageError: if the file cannot be read.
    """
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
