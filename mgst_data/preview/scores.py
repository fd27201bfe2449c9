"""Scores over time, to be looked at: faces in their frames with what was found in them, and curves below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

Colour = tuple[int, int, int]

# From "surely real" by "undecided" to "surely fake"; told apart with any colour vision.
_REAL, _UNDECIDED, _FAKE = (43, 108, 196), (236, 196, 84), (214, 48, 39)
# Of the people of a video; the first four after Okabe and Ito (2008), which everybody can tell apart.
TRACK_COLOURS: tuple[Colour, ...] = (
    (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0),
    (148, 103, 189), (150, 190, 60), (64, 200, 190), (176, 128, 90),
)  # fmt: skip
_PAPER, _INK, _QUIET, _GRID, _BAND = (255, 255, 255), (40, 40, 40), (120, 120, 120), (222, 222, 222), (247, 247, 247)
FONT = cv2.FONT_HERSHEY_SIMPLEX
# Of the timeline, pixels: labels at the left, one row, what lies between rows, title, axis, border.
_LABEL, _ROW, _BETWEEN, _TITLE, _AXIS, _BORDER = 190, 92, 14, 44, 40, 24
# Seconds between two ticks of an axis.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_TICKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTrack:
    """One face through a video, and how fake it looks. n frames with gaps between them, pixels of the video.

    Attributes:
        id: Number of the face.
        frame: Numbers of the frames, ascending.
        time: When they are shown, seconds.
        score: Score of each frame, [0, 1]; higher is more likely fake, but no probability.
        boxes: ``x0, y0, x1, y1`` of the face.
        squares: The same of what the network saw.
        patches: Score of each of g x g parts of that, likewise; None if nothing is known of parts.
        overall: Score of the whole track, likewise.
    """

    id: int
    frame: Int[ndarray, " n"]
    time: Float[ndarray, " n"]
    score: Float[ndarray, " n"]
    boxes: Float[ndarray, "n 4"]
    squares: Float[ndarray, "n 4"]
    patches: Float[ndarray, "n g g"] | None
    overall: float

    def __len__(self) -> int:
        return len(self.frame)

    def spans(self) -> list[tuple[int, int]]:
        """Positions of runs of consecutive frames: the first of each, and the one after its last."""
        edges = [0, *((np.diff(self.frame) != 1).nonzero()[0] + 1).tolist(), len(self)]
        return list(pairwise(edges)) if len(self) else []


def score_colour(score: float, threshold: float = 0.5) -> Colour:
    """Blue for what looks real, red for what looks fake, yellow at the threshold."""
    low = score < threshold
    share = score / max(threshold, 1e-6) if low else (score - threshold) / max(1 - threshold, 1e-6)
    ends = (_REAL, _UNDECIDED) if low else (_UNDECIDED, _FAKE)
    red, green, blue = (round(a + (b - a) * min(max(share, 0), 1)) for a, b in zip(*ends, strict=True))
    return red, green, blue


def track_colour(number: int) -> Colour:
    """That of the n-th face; with more than there are colours, they come again."""
    return TRACK_COLOURS[number % len(TRACK_COLOURS)]


def verdict(score: float, threshold: float) -> str:
    """``"fake"`` above the threshold, else ``"real"``, as figures count it."""
    return "fake" if score > threshold else "real"


def curve(
    canvas: UInt8[ndarray, "h w 3"], track: ScoredTrack, seconds: float, colour: Colour, *, thickness: int = 2
) -> None:
    """Draws the scores of a track over a canvas that is ``seconds`` wide and 1 high; gaps stay gaps."""
    points = _points(track, seconds, canvas.shape[:2])
    for begin, end in track.spans():
        part = points[begin:end]
        if len(part) == 1:
            cv2.circle(canvas, part[0].tolist(), thickness, colour, -1, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [part], isClosed=False, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


def dashes(canvas: UInt8[ndarray, "h w 3"], height: float, colour: Colour) -> None:
    """Draws a dashed line across a canvas at a value in [0, 1]."""
    y = level(height, canvas.shape[0])
    for x in range(0, canvas.shape[1], 12):
        cv2.line(canvas, (x, y), (min(x + 6, canvas.shape[1] - 1), y), colour, 1)


def level(value: float, height: int) -> int:
    """Row of a value in [0, 1], with a little room above 1 and below 0."""
    return round(3 + (1 - value) * (height - 7))


def timeline(
    tracks: Sequence[ScoredTrack],
    *,
    seconds: float,
    threshold: float = 0.5,
    title: str = "",
    width: int = 1200,
    most: int = 12,
) -> UInt8[ndarray, "h w 3"]:
    """One row per face: its score over time, filled in the colour of the score, and what it comes to.

    Args:
        tracks: From top to bottom.
        seconds: Length of the video.
        threshold: Scores above it say "fake": the dashed line.
        title: A line at the top.
        width: Of the picture, pixels; at least 400.
        most: Rows; of more faces, those with the most frames are shown.
    """
    longest = sorted(range(len(tracks)), key=lambda i: -len(tracks[i]))[:most]
    shown = [(i, tracks[i]) for i in sorted(longest)]
    height = _TITLE + len(shown) * (_ROW + _BETWEEN) + _AXIS
    picture = np.full((height, width, 3), _PAPER, np.uint8)
    hidden = len(tracks) - len(shown)
    text(picture, title, (_BORDER, 28), _INK, scale=0.55, thickness=1, width=width - 2 * _BORDER - 200 * (hidden > 0))
    if hidden:
        more = f"and {hidden} more with fewer frames"
        text(picture, more, (width - _BORDER - text_width(more, 0.42), 28), _QUIET, scale=0.42)
    left, right = _BORDER + _LABEL, width - _BORDER
    bottom = height - _AXIS - _BETWEEN
    _axis(picture, left, right, bottom, seconds)
    for row, (number, track) in enumerate(shown):
        top = _TITLE + row * (_ROW + _BETWEEN)
        _row_label(picture, track, number, top, threshold)
        area = picture[top : top + _ROW, left:right]
        area[:] = np.minimum(area, np.array(_BAND, np.uint8))
        _fill(area, track, seconds, threshold)
        dashes(area, threshold, _QUIET)
        curve(area, track, seconds, _INK, thickness=1)
        for value, label in ((1.0, "1"), (threshold, f"{threshold:g}"), (0.0, "0")):
            y = top + level(value, _ROW)
            text(picture, label, (left - 8 - text_width(label, 0.38), y + 4), _QUIET, scale=0.38)
    return picture


def text(
    canvas: UInt8[ndarray, "h w 3"],
    words: str,
    corner: tuple[int, int],
    colour: Colour,
    *,
    scale: float = 0.4,
    thickness: int = 1,
    width: int | None = None,
) -> None:
    """Writes one line, its lower left corner at ``corner``; letters beyond ``width`` pixels are left out."""
    plain = _plain(words)
    while width is not None and plain and text_width(plain, scale, thickness) > width:
        plain = plain[:-1]
    cv2.putText(canvas, plain, corner, FONT, scale, colour, thickness, cv2.LINE_AA)


def text_width(words: str, scale: float = 0.4, thickness: int = 1) -> int:
    """Of a line, pixels."""
    return int(cv2.getTextSize(_plain(words), FONT, scale, thickness)[0][0])


def clock(seconds: float) -> str:
    """``"0.5 s"``, ``"12.0 s"``, ``"1:30"``, ``"1:02:30"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _points(track: ScoredTrack, seconds: float, size: tuple[int, ...]) -> Int[ndarray, "n 2"]:
    height, width = size
    x = np.round((track.time / max(seconds, 1e-6)).clip(0, 1) * (width - 1))
    y = np.round(3 + (1 - track.score) * (height - 7))  # as level() does
    points: ndarray = np.stack((x, y), axis=1).astype(np.int32)
    return points


def _fill(area: UInt8[ndarray, "h w 3"], track: ScoredTrack, seconds: float, threshold: float) -> None:
    """Tints what lies below the curve, column by column, by the score there."""
    height, width = area.shape[:2]
    columns = np.arange(width)
    for begin, end in track.spans():
        points = _points(track, seconds, (height, width))[begin:end]
        first, last = int(points[0, 0]), int(points[-1, 0])
        scores = np.interp(columns[first : last + 1], points[:, 0], track.score[begin:end])
        for x, score in zip(range(first, last + 1), scores.tolist(), strict=True):
            column = area[level(score, height) : height - 3, x]
            tint = np.array(score_colour(score, threshold), np.float32)
            column[:] = (0.5 * column + 0.5 * tint).astype(np.uint8)


def _row_label(picture: UInt8[ndarray, "h w 3"], track: ScoredTrack, number: int, top: int, threshold: float) -> None:
    x = _BORDER
    cv2.rectangle(picture, (x, top + 12), (x + 5, top + _ROW - 14), track_colour(number), -1)
    text(picture, f"face {track.id}", (x + 16, top + 26), _INK, scale=0.5)
    said = verdict(track.overall, threshold)
    colour = _FAKE if said == "fake" else _REAL
    text(picture, f"{said} {track.overall:.2f}", (x + 16, top + 50), colour, scale=0.6, thickness=2)
    span = f"{clock(track.time[0])} to {clock(track.time[-1])}" if len(track) else ""
    text(picture, span, (x + 16, top + 72), _QUIET, scale=0.38)


def _axis(picture: UInt8[ndarray, "h w 3"], left: int, right: int, bottom: int, seconds: float) -> None:
    step = next((step for step in _STEPS if seconds / step <= _TICKS), _STEPS[-1])
    for tick in range(int(seconds / step + 1e-6) + 1):
        x = left + round(tick * step / max(seconds, 1e-6) * (right - left - 1))
        cv2.line(picture, (x, _TITLE), (x, bottom + 5), _GRID, 1)
        label = f"{tick * step:g} s" if seconds < 60 else clock(tick * step) if tick else "0:00"
        at = min(x - text_width(label, 0.4) // 2, picture.shape[1] - text_width(label, 0.4) - 4)
        text(picture, label, (at, bottom + 22), _QUIET, scale=0.4)


def _plain(words: str) -> str:
    """OpenCV's font has no characters beyond ASCII, and OpenCV crashes over names that are no UTF-8."""
    return words.encode("ascii", "replace").decode()
