"""The worst errors of a detector: real videos with high scores and fake videos with low scores, as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mgst_data.core import FAKE, REAL, ShardError, UsageError
from mgst_data.core.records import main_track
from mgst_data.shards import FaceChunk, ShardReader, encode_image
from mgst_model.evaluate.predictions import Predictions, VideoScore

# Side of a picture, pixels, and its JPEG quality.
_SIDE, _QUALITY = 176, 85


@dataclass(frozen=True, slots=True)
class Crop:
    """One frame of a face.

    Attributes:
        jpeg: The crop, as a small JPEG.
        frame: Number of the frame in the video.
        seconds: Time of the frame, seconds.
        video: Path of the video relative to its data set.
    """

    jpeg: bytes
    frame: int
    seconds: float
    video: str


def worst_videos(predictions: Predictions, *, count: int = 8) -> tuple[list[VideoScore], list[VideoScore]]:
    """Returns the real videos with the highest scores, and the fake videos with the lowest.

    Args:
        predictions: Scores of a detector. Videos without a face are left out.
        count: Largest number of videos of each kind.
    """
    scored = sorted((video.score, i) for i, video in enumerate(predictions.videos) if video.score is not None)
    real = [predictions.videos[i] for _, i in reversed(scored) if predictions.videos[i].label == REAL]
    fake = [predictions.videos[i] for _, i in scored if predictions.videos[i].label == FAKE]
    return real[:count], fake[:count]


class CropFinder:
    """Finds crops of videos in the shards that they were scored in.

    Args:
        locations: Folders of shards, by path or URL.
    """

    def __init__(self, locations: Sequence[str]) -> None:
        # Why there are no crops, or "".
        self.problem = "" if locations else "the scores do not name their shards"
        self._reader: ShardReader | None = None
        try:
            self._reader = ShardReader.open(list(locations)) if locations else None
        except (UsageError, ShardError) as error:
            self.problem = str(error)

    @staticmethod
    def of(predictions: Predictions) -> CropFinder:
        """Returns the finder of the shards that predictions were made from."""
        known = predictions.info.get("shards")
        places = [known] if isinstance(known, str) else known if isinstance(known, list) else []
        return CropFinder([str(place) for place in places])

    def __call__(self, video: VideoScore) -> Crop | None:
        """Returns the frame of a video that speaks most for the wrong verdict; None if it is not in the shards.

        That is the frame with the highest score of a real video, and with the lowest score of a fake one.

        Args:
            video: The video.
        """
        if self._reader is None:
            return None
        try:
            chunks = [chunk for chunk in self._chunks(video) if chunk.record.dataset == video.dataset]
            return _crop(chunks, video) if chunks else None
        except ShardError:
            return None

    def _chunks(self, video: VideoScore) -> Iterable[FaceChunk]:
        reader = self._reader
        if reader is None:
            return
        for number in (number for number, key in enumerate(reader.videos) if key == video.key):
            for row in (reader.video == number).nonzero()[:, 0].tolist():
                if video.source in ("", reader.sources[int(reader.source[row])].name):
                    yield reader[row]


def _crop(chunks: Sequence[FaceChunk], video: VideoScore) -> Crop:
    """Returns the crop of the wanted frame: of the main face if it has this frame, otherwise of any face."""
    areas: dict[int, float] = {}
    for chunk in chunks:
        areas[chunk.track] = areas.get(chunk.track, 0.0) + chunk.face_area
    main = main_track(areas)
    ordered = [chunk for chunk in chunks if chunk.track == main] + [chunk for chunk in chunks if chunk.track != main]
    position = int((np.argmax if video.label == REAL else np.argmin)(video.frames)) if video.frames else 0
    wanted = video.frame_indices[position] if video.frames else -1
    found = ((chunk, chunk.frame_indices.tolist().index(wanted)) for chunk in ordered if wanted in chunk.frame_indices)
    chunk, row = next(found, (ordered[0], len(ordered[0]) // 2))
    small = cv2.resize(next(iter(chunk.frames([row]))), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    jpeg = encode_image(np.ascontiguousarray(small), quality=_QUALITY)
    return Crop(jpeg, int(chunk.frame_indices[row]), float(chunk.pts[row]), chunk.record.video)
