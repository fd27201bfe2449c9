"""Reader, detector, tracker, landmarks and crops, composed: a video goes in, chunks come out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import islice

import torch
from torch import Tensor

from mgst_data.core.errors import NoFaceError
from mgst_data.core.records import Detections, FaceTrack, FrameBatch, VideoRecord
from mgst_data.extract.cutter import TrackCutter, VideoInfo
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.masks import MaskFrames
from mgst_data.extract.selection import select_chunks
from mgst_data.faces.detect import DETECTORS
from mgst_data.faces.landmarks import LANDMARK_MODELS
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.track import Tracker
from mgst_data.shards.schema import FaceChunk
from mgst_data.video import READERS, VideoReader
from mgst_data.video.damage import CORRUPT_FRAMES

# Frames are reduced until the smallest face to be found has this side, pixels: about what the second stage looks at.
_DETECTED_FACE = 20.0
# Longest batch; batches of large frames are shorter, as the reader bounds their bytes.
_BATCH = 32
# Batches of a video without faces of which a frame is searched for smaller ones, to tell the user why.
_LOOKS = 4


class Extractor:
    """Extracts the face tracks of videos, one video after another, with the same models.

    Args:
        config: What the output depends on.
        device: Where the networks run.
        decode_threads: Threads that decode one video; 0 takes as many as there are cores.
    """

    def __init__(self, config: ExtractConfig, *, device: torch.device | str = "cpu", decode_threads: int = 1) -> None:
        self.config = config
        self.scale = min(1.0, _DETECTED_FACE / config.min_face)
        self.reader = READERS.get(config.reader)(threads=decode_threads)
        self.detector = DETECTORS.get(config.detector)(min_face=config.min_face * self.scale, device=device)
        self.refiner = BoxRefiner(device=device)
        self.landmarks = LANDMARK_MODELS.get(config.landmarks)(path=config.landmark_model or None)
        self.models = {
            "detector": f"{config.detector} (facenet-pytorch {version('facenet-pytorch')})",
            "landmarks": self.landmarks.name,
        }

    def with_config(self, config: ExtractConfig) -> Extractor:
        """An extractor with the same models and other options.

        Raises:
            ValueError: if the options ask for other models.
        """
        models = ("reader", "detector", "landmarks", "landmark_model", "min_face")
        if any(getattr(config, name) != getattr(self.config, name) for name in models):
            raise ValueError(f"other {', '.join(models)} need an extractor of their own")
        other = copy.copy(self)
        other.config = config
        return other

    def __call__(self, record: VideoRecord, *, reader: VideoReader | None = None) -> Extraction:
        """Begins a video; nothing is read before the result is iterated.

        Args:
            record: The video.
            reader: What reads it; that of the configuration by default.
        """
        return Extraction(self, record, reader or self.reader)


class Extraction:
    """The chunks of one video, made while they are iterated. Iterate once.

    Attributes:
        frames: Frames decoded so far.
        damaged: Those of them that come from damaged data.
        tracks: Faces of which a chunk has come out so far.
        notes: Reason code and text of defects that did not keep the video from being extracted.

    Raises:
        VideoError: while iterating, if the video cannot be read.
        NoFaceError: at the end, if no chunk came out; its reason is "no_face", "faces_too_small", "faces_too_brief" or
            "only_damaged_frames".
    """

    def __init__(self, extractor: Extractor, record: VideoRecord, reader: VideoReader) -> None:
        self.extractor, self.record, self.reader = extractor, record, reader
        self.frames = 0
        self.damaged = 0
        self.tracks = 0
        self.notes: list[tuple[str, str]] = []
        config = extractor.config
        self._tracker = Tracker(
            extractor.detector, extractor.refiner, scale=extractor.scale, min_face=float(config.min_face)
        )
        self._followed = 0
        # Whether a face was seen in a frame that is not damaged.
        self._seen_whole = False

    def __iter__(self) -> Iterator[FaceChunk]:
        config = self.extractor.config
        chunks = self._chunks()
        if config.chunks or config.tracks == "main":
            chunks = select_chunks(chunks, count=config.chunks, main_only=config.tracks == "main")
        seen: set[int] = set()
        for chunk in chunks:
            seen.add(chunk.track)
            self.tracks = len(seen)
            yield chunk
        if not seen:
            raise self._no_face()

    def _chunks(self) -> Iterator[FaceChunk]:
        extractor = self.extractor
        cutters: dict[int, TrackCutter] = {}
        masks = MaskFrames(self.reader, self.record) if extractor.config.masks and self.record.mask_path else None
        damage = ""
        for batch in self.reader.chunks(self.record.path, _BATCH):
            self.frames += len(batch)
            self.damaged += int(batch.damaged.sum())
            damage = batch.damage
            height, width = batch.frames.shape[2:]
            info = VideoInfo(self.record, batch.fps, (width, height), extractor.models)
            batch_masks = masks(batch) if masks else [None] * len(batch)
            tracks = self._add_landmarks(batch, self._tracker(batch))
            for ended in sorted(cutters.keys() - {track.id for track in tracks}):
                yield from cutters.pop(ended).finish()
            for track in tracks:
                whole = ~batch.damaged[torch.searchsorted(batch.index, track.frame)]
                self._seen_whole |= bool(whole.any())
                if track.id not in cutters:
                    cutters[track.id] = TrackCutter(extractor.config, info, track.id)
                    self._followed += 1
                yield from cutters[track.id].add(track, batch, batch_masks)
        for _, cutter in sorted(cutters.items()):
            yield from cutter.finish()
        if damage or self.damaged:
            self.notes.append((damage or CORRUPT_FRAMES, f"{self.record.video}: {self._damage_in_words()}"))
        if masks:
            self.notes += masks.notes

    def _add_landmarks(self, batch: FrameBatch, tracks: list[FaceTrack]) -> list[FaceTrack]:
        """Predicts the landmarks of all faces of a batch at once."""
        if not tracks:
            return []

        def column(name: str) -> Tensor:
            return torch.cat([getattr(track, name) for track in tracks])

        position = torch.searchsorted(batch.index, column("frame"))
        found = Detections(position, column("boxes"), column("scores"), column("points"))
        landmarks = self.extractor.landmarks(batch.frames, found)
        parts = torch.split(landmarks, [len(track) for track in tracks])
        return [replace(track, landmarks=part) for track, part in zip(tracks, parts, strict=True)]

    def _damage_in_words(self) -> str:
        words = f"damaged, {self.frames} frames could be read"
        if not self.damaged:
            return words
        fate = "left out" if self.extractor.config.damaged == "drop" else "kept"
        return f"{words}, {self.damaged} of them from damaged data ({fate})"

    def _no_face(self) -> NoFaceError:
        config, video = self.extractor.config, self.record.video
        dropped = self.damaged if config.damaged == "drop" else 0
        if self._followed and dropped and not self._seen_whole:
            return NoFaceError(
                f"faces are seen only in frames from damaged data ({dropped} of {self.frames})",
                where=video,
                hint="copy or download the video again, or keep such frames with --damaged keep",
                reason="only_damaged_frames",
            )
        if self._followed:
            also = f", or --damaged keep: {dropped} frames from damaged data are left out" if dropped else ""
            return NoFaceError(
                f"no face is seen clearly in {config.min_frames} frames on end",
                where=video,
                hint=f"lower --min-frames or --min-score to keep brief or doubtful faces{also}",
                reason="faces_too_brief",
            )
        if self._tracker.too_small or self._smaller_faces():
            return NoFaceError(
                f"all faces are smaller than {config.min_face} pixels",
                where=video,
                hint="lower --min-face to keep them",
                reason="faces_too_small",
            )
        return NoFaceError(f"no face in {self.frames} frames", where=video)

    def _smaller_faces(self) -> bool:
        """Whether a look at some frames finds faces that are too small to be looked for."""
        extractor = self.extractor
        detector = DETECTORS.get(extractor.config.detector)(min_face=_DETECTED_FACE)
        batches = islice(self.reader.chunks(self.record.path, _BATCH), _LOOKS)
        return any(len(detector(batch.frames[:1])) for batch in batches)
