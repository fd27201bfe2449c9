"""Compares what the header of a stream announces with what was read."""

from __future__ import annotations

from dataclasses import dataclass

TRUNCATED, CORRUPT_FRAMES, WRONG_FRAME_COUNT = "truncated", "corrupt_frames", "wrong_frame_count"


@dataclass(slots=True)
class StreamHealth:
    """Counters that are updated while a stream is read.

    Attributes:
        promised: Number of packets that the header announces; 0 if it gives no number.
        exact: Whether ``promised`` comes from an index of packets, so that one missing packet means a truncated file.
        seconds: End of the stream according to its header, seconds; 0 if it gives none.
        packets: Number of packets read.
        hidden: Number of packets that are not displayed (before the start of an edit list).
        frames: Number of frames decoded.
        end: End of the last frame, seconds.
        broken: Whether a packet or frame was damaged or could not be decoded.
        cut: Whether the last packet was incomplete, or reading failed.
        finished: Whether the end of the stream was reached.
    """

    promised: int = 0
    exact: bool = False
    seconds: float = 0.0
    packets: int = 0
    hidden: int = 0
    frames: int = 0
    end: float = 0.0
    broken: bool = False
    cut: bool = False
    finished: bool = False

    @property
    def damage(self) -> str:
        """Reason code of the damage; "" for an undamaged stream.

        The most severe one is returned, in this order: ``truncated``, ``corrupt_frames``, ``wrong_frame_count``.
        """
        if not self.finished:
            return CORRUPT_FRAMES if self.broken else ""
        if self.cut or self._ends_early:
            return TRUNCATED
        if self.broken or self.frames + self.hidden < self.packets:
            return CORRUPT_FRAMES
        return WRONG_FRAME_COUNT if self.promised and self.packets != self.promised else ""

    @property
    def _ends_early(self) -> bool:
        """Whether the stream is clearly shorter than its header announces.

        A difference of a few frames is tolerated: headers round, and the duration of the last frame is often unknown.
        """
        if self.promised and self.promised - self.packets > (0 if self.exact else max(2, 0.02 * self.promised)):
            return True
        tolerance = max(2.5 * self.end / max(1, self.frames), 0.02 * self.seconds)
        return self.seconds - self.end > tolerance
