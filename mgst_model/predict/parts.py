"""The parts of a scored track, which are put together when the video has been read."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from mgst_model.evaluate.conditions import conditions_of
from mgst_model.evaluate.windows import RunScores
from mgst_model.networks.calibration import Calibration
from mgst_model.predict.faces import FaceRun
from mgst_model.predict.prediction import TrackPrediction, WindowScore


@dataclass(slots=True)
class TrackParts:
    """Runs, scores and maps of one track so far.

    Attributes:
        runs: Runs of frames with one crop.
        scores: Scores of each run.
        maps: Maps of the frames of each run; empty without maps.
        area: Sum of the face areas, pixels.
    """

    runs: list[FaceRun] = field(default_factory=list)
    scores: list[RunScores] = field(default_factory=list)
    maps: list[Float[np.ndarray, "_ g g"]] = field(default_factory=list)
    area: float = 0.0

    def add(self, run: FaceRun, scores: RunScores, maps: Float[np.ndarray, "n g g"] | None) -> None:
        """Appends a run.

        Args:
            run: The run, without its pixels.
            scores: Its scores. Patch scores are kept in half precision.
            maps: Its maps; None without maps.
        """
        self.runs.append(run)
        self.scores.append(scores._replace(patch=None if scores.patch is None else scores.patch.half()))
        if maps is not None:
            self.maps.append(maps)
        self.area += float((run.boxes[:, 2:] - run.boxes[:, :2]).prod(axis=1).sum())

    def prediction(self, number: int, calibration: Calibration | None, kind: str) -> TrackPrediction:
        """Puts the runs together.

        Args:
            number: Number of the track.
            calibration: Scores of real videos; None if they are not known.
            kind: "videos" or "pictures".
        """
        conditions = conditions_of([run.measured for run in self.runs], sum(len(run.frame) for run in self.runs))
        patches = [scores.patch for scores in self.scores if scores.patch is not None]
        return TrackPrediction(
            id=number,
            frame=np.concatenate([run.frame for run in self.runs]),
            time=np.concatenate([run.time for run in self.runs]),
            score=torch.cat([scores.frame for scores in self.scores]).numpy(),
            boxes=np.concatenate([run.boxes for run in self.runs]),
            squares=np.concatenate([run.squares for run in self.runs]),
            patches=torch.cat(patches).numpy() if len(patches) == len(self.scores) else None,
            overall=float(torch.cat([scores.window for scores in self.scores]).mean()),
            windows=tuple(self._windows()),
            maps=np.concatenate(self.maps) if self.maps else None,
            conditions=conditions,
            doubts=() if calibration is None else calibration.doubts(conditions, kind=kind),
        )

    def _windows(self) -> Generator[WindowScore]:
        for run, scores in zip(self.runs, self.scores, strict=True):
            for i, (begin, end) in enumerate(scores.windows.tolist()):
                patches = None if scores.window_patch is None else scores.window_patch[i]
                yield WindowScore(int(run.frame[begin]), int(run.frame[end - 1]), float(scores.window[i]), patches)
