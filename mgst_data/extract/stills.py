"""Extracts the faces of still pictures. Pictures of any size go through the models in batches.

A batch is read in the order of its records, and ends after a fixed number of pictures or bytes. Every picture is padded
to the next one of a few sizes. Within a batch, detector, refiner and landmark model each run once for all pictures of
one size. The padding of a picture depends on its own size only, so its faces do not depend on the other pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mgst_data.core.errors import NoFaceError
from mgst_data.core.geometry import box_size
from mgst_data.core.locations import is_picture
from mgst_data.core.records import FaceTrack, FrameBatch, VideoRecord
from mgst_data.extract.cutter import TrackCutter, VideoInfo
from mgst_data.extract.extractor import DETECTED_FACE, Extractor
from mgst_data.extract.masks import MaskFrames
from mgst_data.faces.detect import DETECTORS, FaceDetector
from mgst_data.faces.track import Tracker
from mgst_data.shards.schema import FaceChunk
from mgst_data.video import content_hash
from mgst_data.video.files import is_folder
from mgst_data.video.reader import MAX_BYTES
from mgst_data.video.stills import Still, read_still

# Pictures that share batches: the blocks of a task. A block that was interrupted is read again from its beginning.
BLOCK = 64
# Sides of padded pictures are powers of two and this number of steps between them, pixels.
_STEPS = 4


def is_still(record: VideoRecord) -> bool:
    """Returns whether the record is a still picture: its path names a picture, and is not a folder."""
    return is_still_path(record.path)


def is_still_path(path: str) -> bool:
    """Returns whether a path names a still picture; see :func:`is_still`."""
    return is_picture(path) and not is_folder(path)


class StillBatch:
    """Reads pictures, finds the faces of all of them at once, and yields the chunks of each.

        batch = StillBatch(extractor)
        for record in records:
            batch.read(record)
        for record in records:
            chunks = list(batch.extraction(record))

    Args:
        extractor: Models and configuration.
    """

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        config = extractor.config
        self.config = replace(config, min_frames=1)
        self._tracker = Tracker(
            extractor.detector,
            extractor.refiner,
            scale=extractor.scale,
            min_face=float(config.min_face),
            start_score=config.min_score,
        )
        self._pictures: dict[str, Still] = {}
        self._bytes = 0
        self._groups: dict[str, tuple[str, ...]] = {}
        self._faces: dict[str, list[FaceTrack]] = {}

    @property
    def full(self) -> bool:
        """Whether the batch has enough pictures."""
        return len(self._pictures) >= BLOCK or self._bytes >= MAX_BYTES

    def read(self, record: VideoRecord) -> None:
        """Reads the next picture.

        Args:
            record: Record of the picture.

        Raises:
            VideoError: if it cannot be read.
        """
        picture = read_still(record.path)
        self._pictures[record.key] = picture
        self._bytes += picture.rgb.nbytes

    def extraction(self, record: VideoRecord) -> StillExtraction:
        """Returns the extraction of a picture. The models run when the first one of its padded size is iterated.

        Args:
            record: Record of a picture of this batch.
        """
        return StillExtraction(self, record, self._pictures[record.key])

    def faces(self, record: VideoRecord) -> list[FaceTrack]:
        """Returns the faces of a picture, each as a track of one frame with landmarks.

        Args:
            record: Record of a picture of this batch.
        """
        if not self._groups:
            sizes = {key: padded_size(picture.rgb.shape[:2]) for key, picture in self._pictures.items()}
            for size in set(sizes.values()):
                together = tuple(key for key in sizes if sizes[key] == size)
                self._groups |= dict.fromkeys(together, together)
        # One group after another: if a huge picture ends the process, it is the cause, and not the first picture.
        if record.key not in self._faces:
            self._faces |= dict(self._find(self._groups[record.key]))
        return self._faces[record.key]

    def _find(self, keys: Sequence[str]) -> Iterator[tuple[str, list[FaceTrack]]]:
        """Yields the faces of some pictures, found together."""
        frames = padded([self._pictures[key].rgb for key in keys])
        found = self._tracker.apart(frames)
        landmarks = self.extractor.landmarks(frames, found)
        first = torch.zeros(1, dtype=torch.long)
        for i, key in enumerate(keys):
            rows = [slice(row, row + 1) for row in (found.frame == i).nonzero().flatten().tolist()]
            yield (
                key,
                [
                    FaceTrack(number, first, found.boxes[row], found.scores[row], found.points[row], landmarks[row])
                    for number, row in enumerate(rows)
                ],
            )


class StillExtraction:
    """Yields the chunks of one picture: one chunk of one frame for each face.

    Args:
        batch: Batch of the picture.
        record: Record of the picture.
        picture: The picture.

    Attributes:
        frames: Number of pictures: 1.
        tracks: Number of faces with a chunk so far.
        notes: Reason code and text of defects that did not prevent the extraction.

    Raises:
        NoFaceError: at the end, if there are no chunks. Its reason is "no_face", "faces_too_small" or "unclear_faces".
    """

    def __init__(self, batch: StillBatch, record: VideoRecord, picture: Still) -> None:
        self.batch, self.record, self.picture = batch, record, picture
        self.frames, self.tracks = 1, 0
        self.notes = [(reason, f"{record.video}: {text}") for reason, text in picture.notes]

    def content(self) -> str:
        """Returns the hash of the file; see :func:`mgst_data.video.content_hash`.

        Raises:
            VideoError: if the file cannot be read.
        """
        return content_hash(self.record.path)

    def __iter__(self) -> Iterator[FaceChunk]:
        config, faces = self.batch.config, self.batch.faces(self.record)
        chunks = [chunk for face in faces for chunk in self._cut(face, self.picture.rgb)]
        most = 1 if config.tracks == "main" else config.chunks or len(chunks)
        largest = sorted(chunks, key=lambda chunk: -chunk.face_area)[:most]
        for chunk in chunks:
            if chunk in largest:
                self.tracks += 1
                yield chunk
        if not chunks:
            raise self._no_face(self.picture.rgb, unclear=bool(faces))

    def _cut(self, face: FaceTrack, rgb: UInt8[np.ndarray, "h w 3"]) -> Iterator[FaceChunk]:
        extractor = self.batch.extractor
        first = torch.zeros(1, dtype=torch.long)
        frame = FrameBatch(torch.from_numpy(rgb[None]).permute(0, 3, 1, 2), first, first.double(), fps=0.0)
        info = VideoInfo(self.record, 0.0, (rgb.shape[1], rgb.shape[0]), extractor.models)
        cutter = TrackCutter(self.batch.config, info, face.id)
        yield from cutter.add(face, frame, self._masks(frame))
        yield from cutter.finish()

    def _masks(self, frame: FrameBatch) -> list[UInt8[np.ndarray, "h w"] | None]:
        if not (self.batch.config.masks and self.record.mask_path):
            return [None]
        masks = MaskFrames(self.batch.extractor.reader, self.record)
        found = masks(frame)
        self.notes += [note for note in masks.notes if note not in self.notes]
        return found

    def _no_face(self, rgb: UInt8[np.ndarray, "h w 3"], *, unclear: bool) -> NoFaceError:
        config, video = self.batch.config, self.record.video
        sizes = box_size(_finest(config.detector)(padded([rgb])).boxes).prod(dim=1).sqrt()
        if unclear or bool((sizes >= config.min_face).any()):
            return NoFaceError(
                "no face was detected clearly",
                where=video,
                hint="lower --min-score to keep uncertain faces",
                reason="unclear_faces",
            )
        if len(sizes):
            what, hint = f"all faces are smaller than {config.min_face} pixels", "lower --min-face to keep them"
            return NoFaceError(what, where=video, hint=hint, reason="faces_too_small")
        return NoFaceError("no face in the picture", where=video)


@lru_cache(maxsize=1)
def _finest(name: str) -> FaceDetector:
    """Loads a detector for the smallest faces, which an error message needs, once per process."""
    return DETECTORS.get(name)(min_face=DETECTED_FACE)


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns the size to which a picture is padded: each side is the next power of two, or a step between two of them.

    Args:
        size: Height and width of the picture, pixels.
    """
    height, width = (math.ceil(2 ** (math.ceil(_STEPS * math.log2(side)) / _STEPS)) for side in size)
    return height, width


def padded(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[Tensor, "n 3 h w"]:
    """Stacks pictures of one padded size, with black on the right and below. Coordinates stay the same.

    Args:
        pictures: RGB pictures, [0, 255].
    """
    height, width = padded_size(pictures[0].shape[:2])
    frames = np.zeros((len(pictures), height, width, 3), np.uint8)
    for frame, picture in zip(frames, pictures, strict=True):
        frame[: picture.shape[0], : picture.shape[1]] = picture
    return torch.from_numpy(frames).permute(0, 3, 1, 2)
