"""Extracts chunks from a video with a reader, a detector, a tracker, a landmark model and a cutter."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from itertools import islice

import torch
from torch import Tensor

from mgst_data.core.errors import NoFaceError
from mgst_data.core.records import FAKE, Detections, FaceTrack, FrameBatch, VideoRecord, main_track
from mgst_data.extract.cutter import TrackCutter, VideoInfo
from mgst_data.extract.extract_config import ExtractConfig
from mgst_data.extract.masks import MaskFrames
from mgst_data.extract.prepared import PreparedCrops
from mgst_data.extract.selection import select_chunks
from mgst_data.extract.survey import TrackSurvey
from mgst_data.faces.detect import DETECTORS
from mgst_data.faces.landmarks import LANDMARK_MODELS
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.track import Tracker
from mgst_data.shards.schema import FaceChunk
from mgst_data.video import READERS, VideoReader, content_hash
from mgst_data.video.damage import CORRUPT_FRAMES

# Frames are scaled down until the smallest face to find has this side, pixels. It is about the input size of the second
# stage of the detector.
DETECTED_FACE = 20.0
# Frames of a batch; batches of large frames are shorter, because the reader limits the bytes of a batch.
_BATCH = 32
# If no face is found, smaller faces are searched in the first frame of this number of batches, for the error message.
_LOOKS = 4


class Extractor:
    """Extracts the face tracks of videos, one video after another, with the same models.

    Args:
        config: Configuration of the extraction.
        device: Device of the networks.
        decode_threads: Number of threads that decode one video; 0 uses one per core.
    """

    def __init__(self, config: ExtractConfig, *, device: torch.device | str = "cpu", decode_threads: int = 1) -> None:
        self.config = config
        self.scale = min(1.0, DETECTED_FACE / config.min_face)
        self.reader = READERS.get(config.reader)(threads=decode_threads)
        self.detector = DETECTORS.get(config.detector)(min_face=config.min_face * self.scale, device=device)
        self.refiner = BoxRefiner(device=device)
        self.landmarks = LANDMARK_MODELS.get(config.landmarks)(path=config.landmark_model or None)
        name = getattr(self.detector, "name", config.detector)
        self.models = {
            "detector": f"{name} (facenet-pytorch {version('facenet-pytorch')})",
            "landmarks": self.landmarks.name,
        }

    def with_config(self, config: ExtractConfig) -> Extractor:
        """Returns an extractor with the same models and other options.

        Args:
            config: New configuration. Its reader, detector, landmark model and ``min_face`` are the same as before.

        Raises:
            ValueError: if the configuration needs other models.
        """
        models = ("reader", "detector", "landmarks", "landmark_model", "min_face")
        if any(getattr(config, name) != getattr(self.config, name) for name in models):
            raise ValueError(f"config must not change {', '.join(models)}; make a new Extractor")
        other = copy.copy(self)
        other.config = config
        return other

    def __call__(self, record: VideoRecord, *, reader: VideoReader | None = None) -> Extraction:
        """Returns the extraction of a video. The video is read when the result is iterated.

        Args:
            record: Record of the video.
            reader: Reader of the video; by default, the reader of the configuration.
        """
        return Extraction(self, record, reader or self.reader)


class Extraction:
    """Yields the chunks of one video while it is decoded. It can be iterated once.

    Args:
        extractor: Models and configuration.
        record: Record of the video.
        reader: Reader of the video.

    Attributes:
        frames: Number of frames decoded so far.
        damaged: Number of these frames that were decoded from damaged data.
        tracks: Number of tracks with chunks so far.
        prepared: Number of crops so far that the data set ships with landmarks, and that were stored as they are.
        notes: Reason code and text of defects that did not prevent the extraction.

    Raises:
        VideoError: while iterating, if the video cannot be read.
        NoFaceError: at the end, if there are no chunks. Its reason is "no_face", "faces_too_small", "faces_too_brief",
            "only_damaged_frames" or "no_manipulated_face".
    """

    def __init__(self, extractor: Extractor, record: VideoRecord, reader: VideoReader) -> None:
        self.extractor, self.record, self.reader = extractor, record, reader
        self.frames = 0
        self.damaged = 0
        self.tracks = 0
        self.prepared = 0
        self.notes: list[tuple[str, str]] = []
        config = extractor.config
        self._tracker = Tracker(
            extractor.detector, extractor.refiner, scale=extractor.scale, min_face=float(config.min_face)
        )
        self._followed = 0
        # Whether a face was found in a frame that is not damaged.
        self._seen_whole = False
        self._by_mask = config.masks and bool(record.mask_path) and record.label == FAKE
        self._survey = TrackSurvey(record, by_mask=self._by_mask)

    def content(self) -> str:
        """Returns the hash of the video file; see :func:`mgst_data.video.content_hash`.

        Raises:
            VideoError: if the file cannot be read.
        """
        return content_hash(self.record.path)

    def __iter__(self) -> Iterator[FaceChunk]:
        config = self.extractor.config
        chunks = self._survey.watch(self._all_chunks())
        if config.chunks or config.tracks == "main" or self._by_mask:
            chunks = select_chunks(chunks, count=config.chunks, choose=self._choose)
        seen: set[int] = set()
        for chunk in chunks:
            seen.add(chunk.track)
            self.tracks = len(seen)
            yield chunk
        self.notes += self._survey.notes(longest_run=config.frames)
        if not seen:
            raise self._no_face()

    def _choose(self, areas: Mapping[int, float]) -> Collection[int]:
        """Returns the tracks to keep: manipulated ones if there is a mask, and the main one of them if asked for."""
        kept = self._survey.manipulated()
        if self.extractor.config.tracks == "main" and kept:
            return {main_track({track: area for track, area in areas.items() if track in kept})}
        return kept

    def _all_chunks(self) -> Iterator[FaceChunk]:
        """Yields the prepared crops of the data set if they can be used, or else the faces that are detected."""
        if self.record.landmarks_path:
            extractor = self.extractor
            crops = PreparedCrops(extractor.config, self.record, refiner=extractor.refiner, model=extractor.landmarks)
            masks = self._masks()
            crops.read(self.reader, masks)
            if not crops.doubt:
                self.frames, self._followed, self._seen_whole = crops.frames, 1, True
                self._note_defects(crops.damage, masks)
                for chunk in crops.chunks(extractor.models):
                    self.prepared += len(chunk)
                    yield chunk
                return
            what = f"the faces were detected, because the prepared landmarks were not used: {crops.doubt}"
            self.notes.append(("landmarks_not_used", f"{self.record.video}: {what}"))
        yield from self._detected_chunks()

    def _masks(self) -> MaskFrames | None:
        wanted = self.extractor.config.masks and self.record.mask_path
        return MaskFrames(self.reader, self.record) if wanted else None

    def _note_defects(self, damage: str, masks: MaskFrames | None) -> None:
        if damage or self.damaged:
            self.notes.append((damage or CORRUPT_FRAMES, f"{self.record.video}: {self._damage_in_words()}"))
        if masks:
            self.notes += masks.notes

    def _detected_chunks(self) -> Iterator[FaceChunk]:
        extractor = self.extractor
        cutters: dict[int, TrackCutter] = {}
        masks = self._masks()
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
        self._note_defects(damage, masks)

    def _add_landmarks(self, batch: FrameBatch, tracks: list[FaceTrack]) -> list[FaceTrack]:
        """Predicts the landmarks of all faces of a batch in one call."""
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
        words = f"the video is damaged; {self.frames} frames were decoded"
        if not self.damaged:
            return words
        fate = "dropped" if self.extractor.config.damaged == "drop" else "kept"
        return f"{words}, {self.damaged} of them from damaged data ({fate})"

    def _no_face(self) -> NoFaceError:
        config, video = self.extractor.config, self.record.video
        if self._survey.tracks:
            return NoFaceError(
                f"none of {self._survey.tracks} faces overlaps the manipulation mask",
                where=video,
                hint="look at the mask; extract without --masks to keep all faces",
                reason="no_manipulated_face",
            )
        dropped = self.damaged if config.damaged == "drop" else 0
        if self._followed and dropped and not self._seen_whole:
            return NoFaceError(
                f"faces were found only in frames from damaged data ({dropped} of {self.frames} frames)",
                where=video,
                hint="copy or download the video again, or keep damaged frames with --damaged keep",
                reason="only_damaged_frames",
            )
        if self._followed:
            also = f", or use --damaged keep: {dropped} frames from damaged data were dropped" if dropped else ""
            return NoFaceError(
                f"no face was detected clearly in {config.min_frames} consecutive frames",
                where=video,
                hint=f"lower --min-frames to keep shorter tracks, or --min-score to keep uncertain faces{also}",
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
        """Whether some frames contain faces that are smaller than ``min_face``."""
        extractor = self.extractor
        detector = DETECTORS.get(extractor.config.detector)(min_face=DETECTED_FACE)
        batches = islice(self.reader.chunks(self.record.path, _BATCH), _LOOKS)
        return any(len(detector(batch.frames[:1])) for batch in batches)
