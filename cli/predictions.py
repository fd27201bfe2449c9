"""From a video to the scores of its faces: tracks, windows, network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.core import NoFaceError, UsageError, VideoError
from mgst_data.preview.scores import ScoredTrack
from mgst_data.video.batches import ahead
from mgst_model.evaluate.windows import RunScores, score_runs
from mgst_model.networks.checkpoint import LoadedNetwork, NetworkCard

from .face_runs import HINT, FaceRun, InputSpec, RunReader, RunSource, VideoSummary, face_extractor, is_picture

# Runs that are extracted in a thread while the network is at one.
_AHEAD = 2
Saw = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive frames that the network saw at once.

    Attributes:
        first: Number of the first frame in the video.
        last: Of the last.
        score: Score of the window, [0, 1]; higher is more likely fake.
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

    runs: list[FaceRun] = field(default_factory=list)
    scores: list[RunScores] = field(default_factory=list)
    area: float = 0.0


class Predictor:
    """Scores videos, one after another, with the same network.

    Args:
        loaded: The network.
        source: Of runs of faces; None for a :class:`mgst_cli.face_runs.RunReader` on the same device.
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
        source: RunSource | None = None,
        stride: int | None = None,
        batch: int = 8,
        device: str = "cpu",
        half: bool = False,
    ) -> None:
        if stride is not None and stride > loaded.frames:
            what = f"windows of {loaded.frames} frames that begin every {stride} leave frames out"
            raise UsageError(what, where="--stride", hint=f"at most {loaded.frames}")
        self.loaded, self.stride, self.batch, self.device, self.half = loaded, stride, batch, device, half
        self.source = source or RunReader(input_of(loaded), face_extractor(device))

    def __call__(self, path: str, *, saw: Saw = lambda _: None) -> Prediction:
        """Scores all faces of a video or picture.

        Args:
            path: As readers open it.
            saw: Called now and then with the number of frames that have been read.

        Raises:
            VideoError: if it cannot be read, or is a picture and the network needs more than one frame.
            NoFaceError: if no face in it can be scored.
        """
        picture = is_picture(path)
        check_length(path, self.loaded)
        parts, rest = self._score(path, saw)
        if not parts:
            what = "no face is seen in two frames on end"
            raise NoFaceError(what, where=path, hint=HINT, reason="faces_too_brief")
        order = sorted(parts)
        tracks = [_track(i, parts[i]) for i in order]
        one = parts[order[0]].runs[0]
        end = max(float(track.time[-1]) for track in tracks)
        rate = one.fps or 25.0
        return Prediction(
            video=path,
            tracks=tracks,
            windows=[_windows(parts[i]) for i in order],
            main=max(range(len(order)), key=lambda i: parts[order[i]].area),
            frames=rest.frames,
            fps=one.fps,
            size=one.size,
            seconds=0.0 if picture else max(end + 1 / rate, rest.frames / rate),
            precision="bf16" if self.half else "fp32",
            unscored=rest.unscored,
            notes=rest.notes,
        )

    def _score(self, path: str, saw: Saw) -> tuple[dict[int, _Parts], VideoSummary]:
        """Runs the faces of a video through the network while the next ones are extracted."""
        waiting: deque[FaceRun] = deque()
        parts: dict[int, _Parts] = {}
        rest: VideoSummary | None = None

        def runs() -> Generator[UInt8[Tensor, "n 3 h w"]]:
            nonlocal rest
            with closing(self.source(path)) as source:
                for run in source:
                    if isinstance(run, VideoSummary):
                        rest = run
                        continue
                    saw(run.read)
                    waiting.append(run.without_pixels())
                    yield torch.from_numpy(run.pixels).permute(0, 3, 1, 2)

        for scores in score_runs(
            self.loaded.network,
            ahead(runs(), _AHEAD),
            frames=self.loaded.frames,
            stride=self.stride,
            batch=self.batch,
            device=self.device,
            half=self.half,
        ):
            run = waiting.popleft()
            mine = parts.setdefault(run.track, _Parts())
            mine.runs.append(run)
            mine.scores.append(scores._replace(patch=None if scores.patch is None else scores.patch.half()))
            mine.area += float((run.boxes[:, 2:] - run.boxes[:, :2]).prod(axis=1).sum())
        if rest is None:
            raise RuntimeError(f"{path}: its runs have no end")
        return parts, rest


def check_length(path: str, network: NetworkCard) -> None:
    """Raises VideoError for a picture, if the network needs more than one frame."""
    if is_picture(path) and network.shortest > 1:
        what = f"a single picture, and this network needs {network.frames} consecutive frames"
        hint = "give a video, or --weights of a network that looks at single frames"
        raise VideoError(what, where=path, hint=hint, reason="single_picture")


def input_of(network: NetworkCard) -> InputSpec:
    """What a network takes."""
    return InputSpec(frames=network.frames, min_frames=network.shortest, size=network.size)


def _track(number: int, parts: _Parts) -> ScoredTrack:
    patches = [scores.patch for scores in parts.scores if scores.patch is not None]
    return ScoredTrack(
        id=number,
        frame=np.concatenate([run.frame for run in parts.runs]),
        time=np.concatenate([run.time for run in parts.runs]),
        score=torch.cat([scores.frame for scores in parts.scores]).numpy(),
        boxes=np.concatenate([run.boxes for run in parts.runs]),
        squares=np.concatenate([np.broadcast_to(run.square, run.boxes.shape) for run in parts.runs]),
        patches=torch.cat(patches).numpy() if len(patches) == len(parts.scores) else None,
        overall=float(torch.cat([scores.window for scores in parts.scores]).mean()),
    )


def _windows(parts: _Parts) -> list[Window]:
    found = []
    for run, scores in zip(parts.runs, parts.scores, strict=True):
        for i, (begin, end) in enumerate(scores.windows.tolist()):
            patches = None if scores.window_patch is None else scores.window_patch[i]
            found.append(Window(int(run.frame[begin]), int(run.frame[end - 1]), float(scores.window[i]), patches))
    return found
