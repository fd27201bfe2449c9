"""Draws results on the frames of a video: face boxes, heat maps of patch scores, and score curves of all tracks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from mgst_data.preview.scores import (
    ScoredTrack,
    curve,
    dashes,
    level,
    score_colour,
    text,
    text_width,
    track_colour,
)
from mgst_data.video.batches import BufferPool

# Longest side of an annotated picture, pixels. Larger pictures take long to encode and show no more details.
LONGEST = 1280
_NIGHT, _LIGHT, _QUIET, HEAT = (18, 18, 20), (235, 235, 235), (130, 130, 134), (255, 64, 0)
# Opacity of the heat map where it is strongest. Our own choice: the face stays visible below it.
OPACITY = 0.55
# Brightness of the part of the strip after the current frame.
_DIMMED = 0.4


class Annotator:
    """Annotates the frames of one video, one after another.

    The strip below each frame shows the scores of the whole video. A line marks the current frame, and the part after
    it is dimmed.

    Args:
        tracks: Scored tracks of all faces.
        size: Height and width of the frames, pixels; frames with a side over 1280 pixels are scaled down.
        seconds: Length of the video, seconds; 0 for a single picture, which has no strip.
        threshold: Threshold of the verdict, [0, 1]: scores above it are fake.
    """

    def __init__(
        self, tracks: Sequence[ScoredTrack], *, size: tuple[int, int], seconds: float, threshold: float = 0.5
    ) -> None:
        self.scale = min(1.0, LONGEST / max(size))
        # H.264 needs even sides.
        self.height, self.width = (max(2, round(side * self.scale / 2) * 2) for side in size)
        self.tracks, self.seconds, self.threshold = tracks, seconds, threshold
        self._canvases: BufferPool | None = None
        # Lines and letters are proportional to the size of the picture.
        self.unit = max(1, round(min(self.height, self.width) / 360))
        self.font = max(0.35, 0.42 * min(self.height, self.width) / 480)
        self.strip = self._strip() if seconds > 0 else None

    def __call__(self, frame: UInt8[ndarray, "h w 3"], index: int, time: float) -> UInt8[ndarray, "y x 3"]:
        """Draws the annotated frame, with the strip below it.

        The memory of the result is reused for a later frame when there is no other reference to it.

        Args:
            frame: RGB frame; it is not changed.
            index: Number of the frame in the video.
            time: Presentation time of the frame, seconds.
        """
        if self._canvases is None:
            below = 0 if self.strip is None else self.strip.shape[0]
            self._canvases = BufferPool((self.height + below, self.width, 3))
        canvas = self._canvases.take()
        picture = canvas[: self.height]
        if frame.shape == picture.shape:
            picture[:] = frame
        else:
            cv2.resize(frame, (self.width, self.height), dst=picture, interpolation=cv2.INTER_AREA)
        found = [(number, i) for number, track in enumerate(self.tracks) if (i := _position(track, index)) is not None]
        for number, i in found:
            track = self.tracks[number]
            heat = track.heat(slice(i, i + 1), self.threshold)
            if heat is not None:
                self._tint(picture, heat[0], track.squares[i])
        for number, i in found:
            self._face(picture, number, i)
        if self.strip is not None:
            self._below(canvas[self.height :], time)
        return canvas

    def _tint(self, picture: UInt8[ndarray, "h w 3"], heat: Float[ndarray, "g g"], square: Float[ndarray, "4"]) -> None:
        """Tints the cells of a square; the tint grows with the heat, [0, 1]."""
        x0, y0, x1, y1 = np.round(square * self.scale).astype(int).tolist()
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height)
        if right <= left or bottom <= top:
            return
        spread = cv2.resize(OPACITY * heat, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        alpha = np.ascontiguousarray(spread[top - y0 : bottom - y0, left - x0 : right - x0])
        part = np.ascontiguousarray(picture[top:bottom, left:right])
        red = np.empty_like(part)
        red[:] = HEAT
        picture[top:bottom, left:right] = cv2.blendLinear(part, red, 1 - alpha, alpha)

    def _face(self, picture: UInt8[ndarray, "h w 3"], number: int, i: int) -> None:
        """Draws the box in the colour of the score, and the number and the score on the colour of the track."""
        track = self.tracks[number]
        x0, y0, x1, y1 = np.round(track.boxes[i] * self.scale).astype(int).tolist()
        score = float(track.score[i])
        cv2.rectangle(picture, (x0, y0), (x1, y1), score_colour(score, self.threshold), self.unit + 1, cv2.LINE_AA)
        words = f"{track.id}  {score:.2f}"
        line, pad = self._line(), 3 * self.unit
        width = text_width(words, self.font, self.unit) + 2 * pad
        left = min(max(x0, 0), max(0, self.width - width))
        # The text is above the box, or inside it at the upper border of the picture.
        top = y0 - line - 1 if y0 - line - 1 >= 0 else max(y0, 0)
        cv2.rectangle(picture, (left, top), (left + width, top + line), track_colour(number), -1)
        text(picture, words, (left + pad, top + line - line // 4 - 1), _NIGHT, scale=self.font, thickness=self.unit)

    def _line(self) -> int:
        """Returns the height of a line of text, pixels."""
        return round(30 * self.font) + 4

    def _strip(self) -> UInt8[ndarray, "s w 3"]:
        """Draws the score curves of all tracks over the whole video, and their overall scores."""
        line = self._line()
        height = max(48, round(0.13 * self.height)) + line
        strip = np.full((height + height % 2, self.width, 3), _NIGHT, np.uint8)
        x = 4 * self.unit
        for number, track in enumerate(self.tracks):
            words = f"{track.id}: {track.overall:.2f}"
            width = text_width(words, self.font, self.unit)
            if x + width > self.width:
                break  # no space for more; the printed table lists all tracks
            text(strip, words, (x, line - line // 4), track_colour(number), scale=self.font, thickness=self.unit)
            x += width + 8 * self.unit
        area = strip[line:]
        for value, colour in ((0.0, _QUIET), (1.0, _QUIET)):
            y = level(value, len(area))
            area[y] = colour
        dashes(area, self.threshold, _QUIET)
        for number, track in enumerate(self.tracks):
            curve(area, track, self.seconds, track_colour(number), thickness=self.unit)
        self._dimmed: ndarray = (strip * np.float32(_DIMMED)).astype(np.uint8)
        self._dimmed[:line] = strip[:line]
        return strip

    def _below(self, canvas: UInt8[ndarray, "s w 3"], time: float) -> None:
        if self.strip is None:
            return
        x = min(self.width - 1, max(0, round(time / self.seconds * (self.width - 1))))
        canvas[:, :x], canvas[:, x:] = self.strip[:, :x], self._dimmed[:, x:]
        line = self._line()
        canvas[:line] = self.strip[:line]
        canvas[line:, max(0, x - self.unit // 2) : x + 1 + self.unit // 2] = _LIGHT


def _position(track: ScoredTrack, index: int) -> int | None:
    i = int(np.searchsorted(track.frame, index))
    return i if i < len(track) and int(track.frame[i]) == index else None
