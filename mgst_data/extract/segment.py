"""From one video, or one chunk, straight to a segment in memory: to look at, or to score."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mgst_data.core import NoFaceError, Segment, VideoRecord
from mgst_data.datasets.keys import video_key
from mgst_data.extract.config import ExtractConfig
from mgst_data.extract.extractor import Extractor
from mgst_data.faces.crop import resize
from mgst_data.shards import FaceChunk
from mgst_data.shards.loader import VALID_SHARE

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


def segment_from_video(
    path: str, *, frames: int = 16, size: int = 256, searched: int = SEARCHED, device: torch.device | str = "cpu"
) -> Clip:
    """Extracts consecutive frames of the main face of a video or picture; nothing is written.

    The main face is the one with the largest sum of areas over the frames that are searched. Of the runs of ``frames``
    frames that show it within one crop, the middle one is taken; if there is none, the longest of the shorter ones.

    Args:
        path: Of a video or picture, as readers open it.
        frames: Wanted; there are fewer if the video is shorter, or the face moves too fast for one crop.
        size: Side of the crops, pixels; small faces are enlarged.
        searched: Frames to look at; later ones only if these show no face.
        device: Where the networks run.

    Raises:
        VideoError: if the video cannot be read.
        NoFaceError: if there is no face in it.
    """
    record = VideoRecord(video_key(path), path, path, dataset="", split="", label=0, method="real")
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
        sides = (chunk.boxes[:, 2:] - chunk.boxes[:, :2]) / float(chunk.crop_from_frame[0, 0])
        area[chunk.track] = area.get(chunk.track, 0.0) + float(sides.prod(dim=1).sum())
    main = max(sorted(area), key=area.__getitem__)
    mine = [chunk for chunk in chunks if chunk.track == main]
    longest = min(frames, max(map(len, mine)))
    mine = [chunk for chunk in mine if len(chunk) >= longest]
    return mine[(len(mine) - 1) // 2]
