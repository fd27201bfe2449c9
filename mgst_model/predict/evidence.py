"""What carries the score of a face: when (spans of frames) and where (regions of the face)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

# Windows with the highest scores that are named. Our own choice.
SPANS = 3
PATCH_SCORES, GRADIENTS = "patch scores", "gradients"


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Consecutive frames with some of the highest scores of a face.

    Attributes:
        frames: Numbers of the first and the last frame.
        seconds: Times of these frames.
        score: Mean score of its windows, [0, 1].
        share: Share of the score that it carries: the sum of its window scores, relative to that of all windows.
        of_frames: Share of the scored frames that it covers. ``share`` is larger where the span is unusual.
        peak: Number of its frame with the highest score.
        region: Part of the peak frame where the map is highest: x0, y0, x1, y1 in pixels of the video; None without a
            map.
        map: Map of the square around the face at the peak frame, [0, 1], row by row from the top; None without a map.
    """

    frames: tuple[int, int]
    seconds: tuple[float, float]
    score: float
    share: float
    of_frames: float
    peak: int
    region: tuple[float, float, float, float] | None
    map: Float[ndarray, "g g"] | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the entries for JSON."""
        return {
            "frames": list(self.frames),
            "seconds": [round(time, 3) for time in self.seconds],
            "score": round(self.score, 4),
            "share": round(self.share, 4),
            "of_frames": round(self.of_frames, 4),
            "peak": self.peak,
            "region": None if self.region is None else [round(edge, 1) for edge in self.region],
            "map": None if self.map is None else [[round(value, 3) for value in row] for row in self.map.tolist()],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What carries the score of a face. It explains the score; it does not prove a manipulation.

    Attributes:
        track: Number of the face.
        maps: What the maps are: "patch scores" of the network, "gradients" of its score, or "" without maps.
        spans: Spans with the highest scores, the highest first.
    """

    track: int
    maps: str
    spans: tuple[Span, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the entries for JSON."""
        return {"maps": self.maps, "spans": [span.as_dict() for span in self.spans]}


def top_windows(windows: Sequence[tuple[int, int, float]], count: int = SPANS) -> list[list[int]]:
    """Chooses the windows with the highest scores, and joins those that overlap or follow one another.

    Args:
        windows: First frame, last frame and score of each window, in the order of time.
        count: Largest number of windows.

    Returns:
        Places of the windows of each span; the span with the highest window first.
    """
    best = sorted(sorted(range(len(windows)), key=lambda i: -windows[i][2])[:count])
    spans: list[list[int]] = []
    for place in best:
        if spans and windows[place][0] <= windows[spans[-1][-1]][1] + 1:
            spans[-1].append(place)
        else:
            spans.append([place])
    return sorted(spans, key=lambda span: -max(windows[i][2] for i in span))


def hottest(
    heat: Float[ndarray, "g g"], square: Float[ndarray, "4"]
) -> tuple[tuple[float, float, float, float], Float[ndarray, "g g"]]:
    """Returns the cell of a map with the highest value, and the map.

    Args:
        heat: The map.
        square: Part of the frame that it covers: x0, y0, x1, y1 in pixels of the video.

    Returns:
        The corners of the cell in pixels of the video, and the map as float32.
    """
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    x0, y0, x1, y1 = square.tolist()
    width, height = (x1 - x0) / heat.shape[1], (y1 - y0) / heat.shape[0]
    left, top = x0 + float(column) * width, y0 + float(row) * height
    return (left, top, left + width, top + height), heat.astype(np.float32)
