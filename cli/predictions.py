"""From a video to the scores of its faces: tracks, windows, network."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.core import NoFaceError, UsageError, VideoRecord
from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.datasets.keys import video_key
from mgst_data.extract import ExtractConfig
from mgst_data.extract.extractor import Extraction, Extractor
from mgst_data.preview.scores import ScoredTrack
from mgst_data.shards import FaceChunk, scale_image
from mgst_data.video.batches import ahead
from mgst_data.video.files import is_folder
from mgst_data.video.images import IMAGE_SUFFIXES
from mgst_model.evaluate.windows import RunScores, score_runs
from mgst_model.networks.checkpoint import LoadedNetwork

# Frames with one crop, as the shards have them that networks are trained on; more only where a window needs them.
_RUN = 32
# Shorter tracks are most often no faces.
_MIN_FRAMES = 8
# Runs that are extracted in a thread while the network is at one.
_AHEAD = 2
Saw = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive frames that the network saw at once.

    Attributes:
        first: Number of the first frame in the video.
        last: Of the last.
        score: Probability of a fake.
        patches: The same of each of g x g parts; None if nothing is known of parts.
    """

    first: int
    last: int
    score: float
    patches: Float[Tensor, "g g"] | None


@dataclass(slots=True)
class Prediction:
    """What was found in one video.

    Attributes:
        video: As the user knows it.
        tracks: Faces, in order of first appearance.
        windows: Those of each track.
        main: Position of the main face: the one with the largest sum of areas over its frames.
        frames: Of the video.
        fps: Of the video; 0 where unknown.
        size: Width and height.
        seconds: Length; 0 for a picture.
        precision: "bf16" or "fp32": how the network multiplied.
        unscored: Frames with a face in them that no window covers: those that have no neighbour in the same crop.
        notes: What is amiss with the video.
    """

    video: str
    tracks: list[ScoredTrack]
    windows: list[list[Window]]
    main: int
    frames: int
    fps: float
    size: tuple[int, int]
    seconds: float
    precision: str = "fp32"
    unscored: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def score(self) -> float:
        """That of the main face."""
        return self.tracks[self.main].overall

    @property
    def highest(self) -> int:
        """Position of the face that looks most fake."""
        return max(range(len(self.tracks)), key=lambda i: self.tracks[i].overall)


@dataclass(slots=True)
class _Parts:
    """What is known of one track so far, a part for each run."""

    chunks: list[_Seen] = field(default_factory=list)
    scores: list[RunScores] = field(default_factory=list)
    area: float = 0.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A chunk without its pictures."""

    track: int
    frame: Tensor
    time: Tensor
    boxes: Tensor
    square: Tensor
    fps: float
    size: tuple[int, int]

    @staticmethod
    def of(chunk: FaceChunk) -> _Seen:
        back = invert_transform(chunk.crop_from_frame)
        # Boxes are corners of areas; a crop reaches from half a pixel before its first pixel's middle on.
        side = chunk.crop_size - 0.5
        corners = apply_transform(back, torch.tensor([[-0.5, -0.5], [side, side]], dtype=torch.float64))
        boxes = apply_transform(back, chunk.boxes.double().reshape(-1, 2, 2)).reshape(-1, 4)
        return _Seen(
            chunk.track, chunk.frame_indices, chunk.pts, boxes, corners.reshape(4), chunk.fps, chunk.frame_size
        )


class Predictor:
    """Scores videos, one after another, with the same network and the same face models.

    Args:
        loaded: The network.
        stride: Frames from one window to the next; None for windows that do not overlap.
        batch: Windows per call of the network.
        device: Where the networks run.
        half: Whether the network multiplies in bfloat16.

    Raises:
        UsageError: if the stride leaves frames out.
    """

    def __init__(
        self,
        loaded: LoadedNetwork,
        *,
        stride: int | None = None,
        batch: int = 8,
        device: str = "cpu",
        half: bool = False,
    ) -> None:
        if stride is not None and stride > loaded.frames:
            what = f"windows of {loaded.frames} frames that begin every {stride} leave frames out"
            raise UsageError(what, where="--stride", hint=f"at most {loaded.frames}")
        self.loaded, self.stride, self.batch, self.device, self.half = loaded, stride, batch, device, half
        # Runs of whole windows: none has to reach back.
        run = loaded.frames * max(1, _RUN // loaded.frames)
        self.extractor = Extractor(ExtractConfig(frames=run, min_frames=_MIN_FRAMES), device=device)
        # The same models: a picture has a single frame.
        self._picture_extractor = copy.copy(self.extractor)
        self._picture_extractor.config = replace(self.extractor.config, min_frames=1)

    def __call__(self, path: str, *, saw: Saw = lambda _: None) -> Prediction:
        """Scores all faces of a video or picture.

        Args:
            path: As readers open it.
            saw: Called now and then with the number of frames that have been read.

        Raises:
            VideoError: if it cannot be read.
            NoFaceError: if no face in it can be scored.
            UsageError: for a picture, if the network needs more than one frame.
        """
        picture = is_picture(path)
        if picture and self.loaded.shortest > 1:
            what = f"is a single picture, and this network looks at {self.loaded.frames} frames"
            raise UsageError(what, where=path, hint="give a video, or weights of a network for pictures")
        record = VideoRecord(video_key(path), path, path, dataset="", split="", label=0, method="real")
        extraction = (self._picture_extractor if picture else self.extractor)(record)
        parts, unscored = self._score(extraction, saw)
        if not parts:
            what = "no face is seen in two frames on end"
            raise NoFaceError(what, where=path, hint=_HINT, reason="faces_too_brief")
        order = sorted(parts)
        tracks = [_track(i, parts[i]) for i in order]
        one = parts[order[0]].chunks[0]
        end = max(float(track.time[-1]) for track in tracks)
        rate = one.fps or 25.0
        return Prediction(
            video=path,
            tracks=tracks,
            windows=[_windows(parts[i]) for i in order],
            main=max(range(len(order)), key=lambda i: parts[order[i]].area),
            frames=extraction.frames,
            fps=one.fps,
            size=one.size,
            seconds=0.0 if picture else max(end + 1 / rate, extraction.frames / rate),
            precision="bf16" if self.half else "fp32",
            unscored=unscored,
            notes=[text for _, text in extraction.notes],
        )

    def _score(self, extraction: Extraction, saw: Saw) -> tuple[dict[int, _Parts], int]:
        """Runs the chunks through the network while the next ones are extracted."""
        waiting: deque[_Seen] = deque()
        parts: dict[int, _Parts] = {}
        least, size = self.loaded.shortest, self.loaded.size
        unscored = 0

        def runs() -> Generator[UInt8[Tensor, "n 3 h w"]]:
            nonlocal unscored
            # Closed at once, so that decoding ends where the network fails.
            with closing(cast("Generator[FaceChunk]", iter(extraction))) as chunks:
                for chunk in chunks:
                    saw(extraction.frames)
                    if len(chunk) < least:
                        unscored += len(chunk)
                        continue
                    waiting.append(_Seen.of(chunk))
                    yield torch.from_numpy(np.stack([scale_image(crop, size) for crop in chunk.frames()])).permute(
                        0, 3, 1, 2
                    )

        try:
            for scores in score_runs(
                self.loaded.network,
                ahead(runs(), _AHEAD),
                frames=self.loaded.frames,
                stride=self.stride,
                batch=self.batch,
                device=self.device,
                half=self.half,
            ):
                seen = waiting.popleft()
                mine = parts.setdefault(seen.track, _Parts())
                mine.chunks.append(seen)
                mine.scores.append(scores._replace(patch=None if scores.patch is None else scores.patch.half()))
                mine.area += float((seen.boxes[:, 2:] - seen.boxes[:, :2]).prod(dim=1).sum())
        except NoFaceError as error:
            # The options that an extraction would point to are not asked for here.
            raise NoFaceError(error.what, where=error.where, hint=_HINT, reason=error.reason) from error
        return parts, unscored


_HINT = "take a video in which a face can be seen clearly"


def is_picture(path: str) -> bool:
    """Whether this is a single image by its name."""
    return path.lower().endswith(IMAGE_SUFFIXES) and not is_folder(path)


def _track(number: int, parts: _Parts) -> ScoredTrack:
    patches = [scores.patch for scores in parts.scores if scores.patch is not None]
    return ScoredTrack(
        id=number,
        frame=torch.cat([seen.frame for seen in parts.chunks]).numpy(),
        time=torch.cat([seen.time for seen in parts.chunks]).numpy(),
        score=torch.cat([scores.frame for scores in parts.scores]).numpy(),
        boxes=torch.cat([seen.boxes for seen in parts.chunks]).numpy(),
        squares=torch.cat([seen.square.expand(len(seen.frame), 4) for seen in parts.chunks]).numpy(),
        patches=torch.cat(patches).numpy() if len(patches) == len(parts.scores) else None,
        overall=float(torch.cat([scores.window for scores in parts.scores]).mean()),
    )


def _windows(parts: _Parts) -> list[Window]:
    found = []
    for seen, scores in zip(parts.chunks, parts.scores, strict=True):
        for i, (begin, end) in enumerate(scores.windows.tolist()):
            patches = None if scores.window_patch is None else scores.window_patch[i]
            found.append(Window(int(seen.frame[begin]), int(seen.frame[end - 1]), float(scores.window[i]), patches))
    return found
