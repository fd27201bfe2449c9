"""From a video to the scores of its faces: the one path from pixels to a score."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mgst_data.core import NoFaceError, UsageError, VideoError
from mgst_data.core.devices import choose_device
from mgst_data.core.records import main_track
from mgst_data.video.batches import ahead
from mgst_model.evaluate.windows import RunScores, score_runs
from mgst_model.networks.checkpoint import LoadedNetwork, NetworkCard, load_network
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.predict.faces import (
    HINT,
    FaceRun,
    Frames,
    InputSpec,
    RunReader,
    RunSource,
    Source,
    VideoSummary,
    face_extractor,
    is_picture,
    name_of,
)
from mgst_model.predict.prediction import USUAL_FPS, Saw, TrackPrediction, VideoPrediction, WindowScore

Precision = Literal["auto", "fp32", "bf16"]
Video = str | Path | np.ndarray | Tensor
Videos = list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...]
# Runs that are extracted in a thread while the network is at one.
_AHEAD = 2
# Windows per call. On a CPU more of them only leave its caches.
_BATCH = {"cpu": 2, "cuda": 16}


def load_detector(
    weights: str | Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    stride: int | None = None,
    batch: int | None = None,
    faces: RunSource | None = None,
) -> Detector:
    """Loads a detector: ``load_detector("runs/base").predict("video.mp4").score``.

    Args:
        weights: A training's folder, of which the best network is taken, or a file of weights.
        device: "cpu", "cuda", or "auto" for CUDA where there is any.
        precision: Number format of the network: "fp32", "bf16" (moves a score by about a hundredth), or "auto" for
            bf16 where the device has instructions for it.
        stride: Frames from one window to the next; None for windows that do not overlap.
        batch: Windows per call of the network; None for what suits the device.
        faces: Where faces come from; None to extract them in a thread on the same device.

    Raises:
        UsageError: if the weights cannot be read, there is no such device, or the stride leaves frames out.
    """
    device = choose_device(device)
    loaded = load_network(weights, device=device)
    fold_batch_norms(loaded.network)
    half = uses_bfloat16(precision, device)
    batch = batch or _BATCH[torch.device(device).type]
    return Detector(loaded, device=device, half=half, stride=stride, batch=batch, faces=faces)


def uses_bfloat16(precision: Precision, device: str) -> bool:
    """Whether a network computes in bfloat16: "auto" does so where the device has instructions for it."""
    if precision != "auto":
        return precision == "bf16"
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Detector:
    """Scores videos, one after another, with the same network. Made by :func:`load_detector`.

    Args:
        loaded: The network, on the device.
        device: Where the networks run.
        half: Whether the network computes in bfloat16.
        stride: Frames from one window to the next; None for windows that do not overlap.
        batch: Windows per call of the network.
        faces: Where faces come from; None to extract them in a thread on the same device.

    Raises:
        UsageError: if the stride leaves frames out.
    """

    def __init__(
        self,
        loaded: LoadedNetwork,
        *,
        device: str = "cpu",
        half: bool = False,
        stride: int | None = None,
        batch: int = 8,
        faces: RunSource | None = None,
    ) -> None:
        if stride is not None and stride > loaded.frames:
            what = f"windows of {loaded.frames} frames that begin every {stride} leave frames out"
            raise UsageError(what, where="stride", hint=f"at most {loaded.frames}")
        self.loaded, self.device, self.half, self.stride, self.batch = loaded, device, half, stride, batch
        self.faces = faces or RunReader(input_of(loaded), face_extractor(device))

    def __repr__(self) -> str:
        return f"Detector({self.loaded.frames} frames of {self.loaded.size} pixels, {self.device})"

    @overload
    def predict(self, video: Video, *, fps: float = 0.0, saw: Saw = ...) -> VideoPrediction: ...
    @overload
    def predict(self, video: Videos, *, fps: float = 0.0, saw: Saw = ...) -> list[VideoPrediction]: ...

    def predict(
        self, video: Video | Videos, *, fps: float = 0.0, saw: Saw = lambda _: None
    ) -> VideoPrediction | list[VideoPrediction]:
        """Scores all faces of a video.

        Args:
            video: Path or URL of a video, a picture, or a folder with the frames of one video; its frames as a uint8
                array (n, h, w, 3) or tensor (n, 3, h, w), RGB; or a list of paths, of which each is scored.
            fps: Frames per second of frames in memory; times are counted at 25 where it is 0.
            saw: Called now and then with the number of frames that have been read.

        Returns:
            A prediction; a list of them for a list. The first video of a list that cannot be scored ends it: to go on,
            call this for each and catch its errors.

        Raises:
            VideoError: if the video cannot be read, or is a picture and the network needs more than one frame.
            NoFaceError: if no face in it can be scored.
            TypeError: if frames are no uint8 array or tensor.
            ValueError: if frames have another shape.
        """
        if isinstance(video, np.ndarray | Tensor):
            return self._predict(Frames.of(video, fps=fps), saw)
        if isinstance(video, list | tuple):
            return [self._predict(str(path), saw) for path in video]
        return self._predict(str(video), saw)

    def _predict(self, source: Source, saw: Saw) -> VideoPrediction:
        check_length(source, self.loaded)
        parts, rest = self._score(source, saw)
        if not parts:
            what = "no face is seen in two frames on end"
            raise NoFaceError(what, where=name_of(source), hint=HINT, reason="faces_too_brief")
        order = sorted(parts)
        tracks = [_track(i, parts[i]) for i in order]
        one = parts[order[0]].runs[0]
        end = max(float(track.time[-1]) for track in tracks)
        rate = one.fps or USUAL_FPS
        model = {"frames": self.loaded.frames, "size": self.loaded.size, "precision": "bf16" if self.half else "fp32"}
        return VideoPrediction(
            source=source,
            tracks=tracks,
            main=order.index(main_track({track: mine.area for track, mine in parts.items()})),
            frames=rest.frames,
            fps=one.fps,
            size=one.size,
            seconds=0.0 if is_picture(source) else max(end + 1 / rate, rest.frames / rate),
            model={**self.loaded.info, **model},
            caution=self.loaded.caution,
            unscored=rest.unscored,
            notes=rest.notes,
        )

    def _score(self, source: Source, saw: Saw) -> tuple[dict[int, _Parts], VideoSummary]:
        """Runs the faces of a video through the network while the next ones are extracted."""
        waiting: deque[FaceRun] = deque()
        parts: dict[int, _Parts] = {}
        rest: VideoSummary | None = None

        def runs() -> Generator[UInt8[Tensor, "n 3 h w"]]:
            nonlocal rest
            with closing(self.faces(source)) as found:
                for run in found:
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
            raise RuntimeError(f"{name_of(source)}: its runs have no end")
        return parts, rest


@dataclass(slots=True)
class _Parts:
    """What is known of one track so far, a part for each run."""

    runs: list[FaceRun] = field(default_factory=list)
    scores: list[RunScores] = field(default_factory=list)
    area: float = 0.0


def check_length(source: Source, network: NetworkCard) -> None:
    """Raises VideoError for a picture, if the network needs more than one frame."""
    if is_picture(source) and network.shortest > 1:
        what = f"a single picture, and this network needs {network.frames} consecutive frames"
        hint = "give a video, or weights of a network that looks at single frames"
        raise VideoError(what, where=name_of(source), hint=hint, reason="single_picture")


def input_of(network: NetworkCard) -> InputSpec:
    """What a network takes."""
    return InputSpec(frames=network.frames, min_frames=network.shortest, size=network.size)


def _track(number: int, parts: _Parts) -> TrackPrediction:
    patches = [scores.patch for scores in parts.scores if scores.patch is not None]
    return TrackPrediction(
        id=number,
        frame=np.concatenate([run.frame for run in parts.runs]),
        time=np.concatenate([run.time for run in parts.runs]),
        score=torch.cat([scores.frame for scores in parts.scores]).numpy(),
        boxes=np.concatenate([run.boxes for run in parts.runs]),
        squares=np.concatenate([np.broadcast_to(run.square, run.boxes.shape) for run in parts.runs]),
        patches=torch.cat(patches).numpy() if len(patches) == len(parts.scores) else None,
        overall=float(torch.cat([scores.window for scores in parts.scores]).mean()),
        windows=tuple(_windows(parts)),
    )


def _windows(parts: _Parts) -> Generator[WindowScore]:
    for run, scores in zip(parts.runs, parts.scores, strict=True):
        for i, (begin, end) in enumerate(scores.windows.tolist()):
            patches = None if scores.window_patch is None else scores.window_patch[i]
            yield WindowScore(int(run.frame[begin]), int(run.frame[end - 1]), float(scores.window[i]), patches)
