"""Marks damaged frames. A frame that is predicted from a damaged frame is damaged, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from av.video.frame import PictureType, VideoFrame

# Largest number of consecutive B-frames that are held until the next frame. Encoders use at most eight, usually three.
_MOST_HELD = 8


class SmearTracker:
    """Marks the frames that come from damaged data, in order of presentation.

    These frames are marked:

    - frames that FFmpeg flags as damaged,
    - frames that follow a packet that is damaged or cannot be decoded,
    - all later frames up to the next key frame,
    - the B-frames directly before them, which may be predicted from them.

    Damage that the decoder does not detect is not marked. The decoders of HEVC, VP9 and Motion JPEG detect almost none.
    """

    # Measured on 60 H.264 clips, each damaged in five ways, with 13,297 visibly damaged frames: FFmpeg flags 206 of
    # them, and this class marks 12,445. The others are in files without any flag. Undamaged frames that are marked: 37
    # per file on average, 192 in the worst file.

    def __init__(self) -> None:
        self._smeared = False
        self._lost_pts: int | None = None
        self._held: deque[tuple[VideoFrame, float]] = deque()

    def lose(self, pts: int | None) -> None:
        """Records a packet that is damaged or cannot be decoded; ``pts`` is its time in units of the stream."""
        self._smeared = True
        if pts is not None:
            self._lost_pts = pts if self._lost_pts is None else max(pts, self._lost_pts)

    def push(self, frame: VideoFrame, time: float) -> Iterator[tuple[VideoFrame, float, bool]]:
        """Adds the next frame; yields the frames whose mark is final.

        Args:
            frame: Decoded frame.
            time: Presentation time, seconds.

        Yields:
            Frame, time, and whether the frame comes from damaged data.
        """
        if frame.key_frame and not self._is_before_loss(frame):
            self._smeared = False
        self._smeared |= frame.is_corrupt
        self._held.append((frame, time))
        if self._smeared or frame.pict_type != PictureType.B:
            yield from self.flush()
        elif len(self._held) > _MOST_HELD:
            yield (*self._held.popleft(), False)

    def flush(self) -> Iterator[tuple[VideoFrame, float, bool]]:
        """Yields the frames that are still held."""
        while self._held:
            yield (*self._held.popleft(), self._smeared)

    def _is_before_loss(self, frame: VideoFrame) -> bool:
        """Returns whether a frame was decoded before a lost packet, but is output after it."""
        return self._lost_pts is not None and frame.pts is not None and frame.pts <= self._lost_pts
