"""The frames of a face with the highest and the lowest scores, as small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from mgst_data.preview.scores import ScoredTrack
from mgst_data.shards import encode_image

# Of each face, the number of frames with the highest scores, and with the lowest.
COUNT = 4
# Only the largest faces have pictures.
_FACES = 6
# Smallest distance of two chosen frames, seconds, where the face is visible for long enough.
_APART = 1.0
# Longest side of a picture, pixels, and its JPEG quality.
_SIDE, _QUALITY = 176, 85


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A chosen frame of a face.

    Attributes:
        face: Position of the face in the list of tracks.
        row: Position of the frame in the track.
        high: Whether it is among the frames with the highest scores; otherwise among those with the lowest.
    """

    face: int
    row: int
    high: bool


class MomentPictures:
    """Chooses frames, and keeps a small picture of each when it is shown the frames of the video.

    Args:
        tracks: All faces of the video.
        count: Of each face, the number of frames with the highest scores, and with the lowest.
    """

    def __init__(self, tracks: Sequence[ScoredTrack], *, count: int = COUNT) -> None:
        self._tracks = tracks
        largest = sorted(range(len(tracks)), key=lambda i: -_area(tracks[i]))[:_FACES]
        self.moments = [
            Moment(face=face, row=row, high=high)
            for face in sorted(largest)
            for high, rows in zip((True, False), extremes(tracks[face], count), strict=True)
            for row in rows
        ]
        self._wanted: dict[int, list[Moment]] = {}
        for moment in self.moments:
            self._wanted.setdefault(int(tracks[moment.face].frame[moment.row]), []).append(moment)
        self.pictures: dict[Moment, bytes] = {}
        # Time of the first frame that was seen, seconds.
        self.began: float | None = None

    @property
    def last(self) -> int:
        """Number of the last chosen frame in the video; -1 if there is none."""
        return max(self._wanted, default=-1)

    def see(self, picture: UInt8[ndarray, "h w 3"], index: int, time: float) -> None:
        """Looks at a frame of the video, and keeps the part that the network saw if the frame was chosen.

        Args:
            picture: RGB frame.
            index: Number of the frame in the video.
            time: Presentation time of the frame, seconds.
        """
        self.began = time if self.began is None else self.began
        for moment in self._wanted.get(index, ()):
            self.pictures[moment] = cut_out(picture, self._tracks[moment.face].squares[moment.row])


def extremes(track: ScoredTrack, count: int) -> tuple[list[int], list[int]]:
    """Chooses the frames with the highest and the lowest scores. Frames of one choice are apart in time.

    Args:
        track: A track with its scores.
        count: Largest number of frames of each choice.

    Returns:
        Positions of the frames with the highest scores, highest first, and with the lowest, lowest first. No frame is
        in both. A track of a single frame has no lowest.
    """
    if not len(track):
        return [], []
    count = max(1, min(count, len(track) // 2))
    apart = min(_APART, float(track.time[-1] - track.time[0]) / (2 * count))
    ascending = np.argsort(track.score, kind="stable").tolist()
    high = _spread(ascending[::-1], track, apart, count)
    return high, _spread([row for row in ascending if row not in high], track, apart, count)


def cut_out(picture: UInt8[ndarray, "h w 3"], square: Float[ndarray, "4"]) -> bytes:
    """Returns the part of a picture inside a square as a small JPEG. What lies outside the picture is grey.

    Args:
        picture: RGB picture.
        square: Left, top, right and bottom edge, pixels.
    """
    x0, y0, x1, y1 = np.round(square).astype(int).tolist()
    height, width = picture.shape[:2]
    left, top = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    right, bottom = max(min(x1, width), left + 1), max(min(y1, height), top + 1)
    part = picture[top:bottom, left:right]
    around = (max(0, top - y0), max(0, y1 - bottom), max(0, left - x0), max(0, x1 - right))
    whole = cv2.copyMakeBorder(part, *around, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    scale = min(1.0, _SIDE / max(whole.shape[:2]))
    size = (max(1, round(whole.shape[1] * scale)), max(1, round(whole.shape[0] * scale)))
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    return encode_image(np.ascontiguousarray(small), quality=_QUALITY)


def _area(track: ScoredTrack) -> float:
    """Returns the sum of the areas of the face over its frames, square pixels: the main face has the largest."""
    return float((track.boxes[:, 2:] - track.boxes[:, :2]).prod(axis=1).sum())


def _spread(order: Sequence[int], track: ScoredTrack, apart: float, count: int) -> list[int]:
    """Returns the first positions in the given order that are at least ``apart`` seconds from each other."""
    chosen: list[int] = []
    for row in order:
        if all(abs(float(track.time[row] - track.time[other])) >= apart for other in chosen):
            chosen.append(row)
            if len(chosen) == count:
                break
    return chosen
