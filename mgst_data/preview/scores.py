"""Draws scores over time: the scores of tracks as curves and as colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

Colour = tuple[int, int, int]

# The three verdicts. No verdict says that a video is real: a low score only means that no trace of a fake was found.
CALLED_FAKE, NOT_CALLED_FAKE, CANNOT_SAY = "fake", "not called fake", "cannot say"

# Colours of scores 0, threshold and 1. They can be distinguished with any type of colour vision.
_LOW, _UNDECIDED, _FAKE = (43, 108, 196), (236, 196, 84), (214, 48, 39)
# Colours of the tracks. The first four are from Okabe and Ito (2008): they can be distinguished with any type of colour
# vision.
TRACK_COLOURS: tuple[Colour, ...] = (
    (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0),
    (148, 103, 189), (150, 190, 60), (64, 200, 190), (176, 128, 90),
)  # fmt: skip
_PAPER, _INK, _QUIET, _GRID, _BAND = (255, 255, 255), (40, 40, 40), (120, 120, 120), (222, 222, 222), (247, 247, 247)
FONT = cv2.FONT_HERSHEY_SIMPLEX
# Sizes in the timeline, pixels: label column, row, gap between rows, title, axis, border.
_LABEL, _ROW, _BETWEEN, _TITLE, _AXIS, _BORDER = 190, 92, 14, 44, 40, 24
# Possible distances of two ticks of the time axis, seconds, and the maximum number of ticks.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_TICKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTrack:
    """A track with its scores: n frames, which may have gaps. Coordinates are in pixels of the video.

    Attributes:
        id: Number of the track.
        frame: Numbers of the frames in the video, ascending.
        time: Presentation times of the frames, seconds.
        score: Score of each frame, [0, 1]; higher means more likely fake. It is not a probability.
        boxes: Face boxes ``x0, y0, x1, y1``.
        squares: Squares ``x0, y0, x1, y1`` that were the input of the network.
        patches: Score of each of the g x g patches of a square, [0, 1]; None if there are no patch scores.
        overall: Score of the whole track, [0, 1].
        maps: Which of the g x g regions of a square carry the score of its frame, [0, 1]; None if there are no maps.
        doubts: Why no verdict is given, one reason each; empty if one is given.
    """

    id: int
    frame: Int[ndarray, " n"]
    time: Float[ndarray, " n"]
    score: Float[ndarray, " n"]
    boxes: Float[ndarray, "n 4"]
    squares: Float[ndarray, "n 4"]
    patches: Float[ndarray, "n g g"] | None
    overall: float
    maps: Float[ndarray, "n m m"] | None = None
    doubts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def heat(self, rows: slice, threshold: float) -> Float[ndarray, "r c c"] | None:
        """Returns what is tinted in some frames, [0, 1]; None without maps and patch scores.

        A map says where the evidence is, not how strong it is: it is shown in frames with a score above the threshold.
        A patch is shown if its score is above the threshold, and more strongly the higher it is.

        Args:
            rows: Positions of the frames.
            threshold: Threshold of the verdict, [0, 1].
        """
        if self.maps is not None:
            fake = self.score[rows] > threshold
            return np.where(fake[:, None, None], self.maps[rows], 0).astype(np.float32)
        if self.patches is None:
            return None
        beyond = (self.patches[rows].astype(np.float32) - threshold) / max(1 - threshold, 1e-6)
        return beyond.clip(0, 1)

    def spans(self) -> list[tuple[int, int]]:
        """Returns the begin and end positions of sequences of consecutive frames; the end is exclusive."""
        edges = [0, *((np.diff(self.frame) != 1).nonzero()[0] + 1).tolist(), len(self)]
        return list(pairwise(edges)) if len(self) else []


def score_colour(score: float, threshold: float = 0.5) -> Colour:
    """Returns the colour of a score: blue at 0, yellow at the threshold, red at 1.

    Args:
        score: Score, [0, 1].
        threshold: Threshold of the verdict, [0, 1].

    Returns:
        The red, green and blue values, 0 to 255.
    """
    low = score < threshold
    share = score / max(threshold, 1e-6) if low else (score - threshold) / max(1 - threshold, 1e-6)
    ends = (_LOW, _UNDECIDED) if low else (_UNDECIDED, _FAKE)
    red, green, blue = (round(a + (b - a) * min(max(share, 0), 1)) for a, b in zip(*ends, strict=True))
    return red, green, blue


def track_colour(number: int) -> Colour:
    """Returns the colour of the n-th track. The colours repeat after the last one."""
    return TRACK_COLOURS[number % len(TRACK_COLOURS)]


def verdict(score: float, threshold: float, doubts: Sequence[str] = ()) -> str:
    """Returns ``"fake"`` for a score above the threshold, else ``"not called fake"``. The metrics use the same rule.

    Args:
        score: Score, [0, 1].
        threshold: Threshold, [0, 1].
        doubts: Reasons against a verdict. With any of them, it is ``"cannot say"``.
    """
    return CANNOT_SAY if doubts else CALLED_FAKE if score > threshold else NOT_CALLED_FAKE


def verdict_colour(said: str) -> Colour:
    """Returns the colour of a verdict in pictures."""
    return {CALLED_FAKE: _FAKE, NOT_CALLED_FAKE: _LOW}.get(said, _QUIET)


def curve(
    canvas: UInt8[ndarray, "h w 3"], track: ScoredTrack, seconds: float, colour: Colour, *, thickness: int = 2
) -> None:
    """Draws the score curve of a track. Gaps of the track are gaps of the curve.

    Args:
        canvas: Picture to draw on. Its width is the length of the video; its height is the range [0, 1].
        track: Track to draw.
        seconds: Length of the video, seconds.
        colour: Colour of the curve.
        thickness: Thickness of the line, pixels.
    """
    points = _points(track, seconds, canvas.shape[:2])
    for begin, end in track.spans():
        part = points[begin:end]
        if len(part) == 1:
            cv2.circle(canvas, part[0].tolist(), thickness, colour, -1, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [part], isClosed=False, color=colour, thickness=thickness, lineType=cv2.LINE_AA)


def dashes(canvas: UInt8[ndarray, "h w 3"], height: float, colour: Colour) -> None:
    """Draws a horizontal dashed line.

    Args:
        canvas: Picture to draw on.
        height: Value at which to draw the line, [0, 1].
        colour: Colour of the line.
    """
    y = level(height, canvas.shape[0])
    for x in range(0, canvas.shape[1], 12):
        cv2.line(canvas, (x, y), (min(x + 6, canvas.shape[1] - 1), y), colour, 1)


def level(value: float, height: int) -> int:
    """Returns the row of a value, with a margin of 3 pixels above 1 and below 0.

    Args:
        value: Value, [0, 1].
        height: Height of the canvas, pixels.
    """
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
    """Draws one row per track: its verdict and overall score, and its score over time.

    Args:
        tracks: Tracks, from top to bottom.
        seconds: Length of the video, seconds.
        threshold: Threshold of the verdict, [0, 1]: scores above it are fake. It is drawn as a dashed line.
        title: Text of the top line.
        width: Width of the picture, pixels; at least 400.
        most: Maximum number of rows. If there are more tracks, those with the most frames are shown.
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
        for value, label in ((1.0, "1"), (threshold, f"{round(threshold, 2):g}"), (0.0, "0")):
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
    """Writes one line of text.

    Args:
        canvas: Picture to draw on.
        words: Text to write.
        corner: Column and row of the lower left corner of the text, pixels.
        colour: Colour of the text.
        scale: Size of the font, relative to its base size.
        thickness: Thickness of the lines, pixels.
        width: Maximum width, pixels; letters beyond it are cut off. None does not limit the width.
    """
    plain = _plain(words)
    while width is not None and plain and text_width(plain, scale, thickness) > width:
        plain = plain[:-1]
    cv2.putText(canvas, plain, corner, FONT, scale, colour, thickness, cv2.LINE_AA)


def text_width(words: str, scale: float = 0.4, thickness: int = 1) -> int:
    """Returns the width of a line of text, pixels.

    Args:
        words: Text of the line.
        scale: Size of the font, relative to its base size.
        thickness: Thickness of the lines, pixels.
    """
    return int(cv2.getTextSize(_plain(words), FONT, scale, thickness)[0][0])


def clock(seconds: float) -> str:
    """Formats a time: ``"0.5 s"``, ``"12.0 s"``, ``"1:30"``, ``"1:02:30"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _points(track: ScoredTrack, seconds: float, size: tuple[int, ...]) -> Int[ndarray, "n 2"]:
    height, width = size
    x = np.round((track.time / max(seconds, 1e-6)).clip(0, 1) * (width - 1))
    y = np.round(3 + (1 - track.score) * (height - 7))  # the same formula as in level()
    points: ndarray = np.stack((x, y), axis=1).astype(np.int32)
    return points


def _fill(area: UInt8[ndarray, "h w 3"], track: ScoredTrack, seconds: float, threshold: float) -> None:
    """Fills the area below the curve, column by column, with the colour of the score."""
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
    text(picture, f"face {track.id}", (x + 16, top + 25), _INK, scale=0.5)
    said = verdict(track.overall, threshold, track.doubts)
    text(picture, said, (x + 16, top + 47), verdict_colour(said), scale=0.5, thickness=2)
    text(picture, f"score {track.overall:.2f}", (x + 16, top + 66), _INK, scale=0.42)
    span = f"{clock(track.time[0])} to {clock(track.time[-1])}" if len(track) else ""
    text(picture, span, (x + 16, top + 82), _QUIET, scale=0.38)


def _axis(picture: UInt8[ndarray, "h w 3"], left: int, right: int, bottom: int, seconds: float) -> None:
    step = next((step for step in _STEPS if seconds / step <= _TICKS), _STEPS[-1])
    for tick in range(int(seconds / step + 1e-6) + 1):
        x = left + round(tick * step / max(seconds, 1e-6) * (right - left - 1))
        cv2.line(picture, (x, _TITLE), (x, bottom + 5), _GRID, 1)
        label = f"{tick * step:g} s" if seconds < 60 else clock(tick * step) if tick else "0:00"
        at = min(x - text_width(label, 0.4) // 2, picture.shape[1] - text_width(label, 0.4) - 4)
        text(picture, label, (at, bottom + 22), _QUIET, scale=0.4)


def _plain(words: str) -> str:
    """Replaces characters outside ASCII: the OpenCV font has none, and OpenCV crashes on names that are not UTF-8."""
    return words.encode("ascii", "replace").decode()
