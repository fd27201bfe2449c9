"""What a stream promised and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

TRUNCATED, CORRUPT_FRAMES, WRONG_FRAME_COUNT = "truncated", "corrupt_frames", "wrong_frame_count"


@dataclass(slots=True)
class StreamHealth:
    """Counts kept while a stream is read.

    Attributes:
        promised: Packets that the header announces; 0 where it does not say.
        exact: Whether ``promised`` counts an index of packets, so that one missing packet means a cut file.
        seconds: End of the stream as its header announces it; 0 where it does not say.
        packets: Packets read.
        hidden: Packets that are not meant to be shown (before the start of an edit list).
        frames: Frames decoded.
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
        """The reason code, "" for a sound stream. The gravest wins: truncated, corrupt, miscounted."""
        if not self.finished:
            return CORRUPT_FRAMES if self.broken else ""
        if self.cut or self._ends_early:
            return TRUNCATED
        if self.broken or self.frames + self.hidden < self.packets:
            return CORRUPT_FRAMES
        return WRONG_FRAME_COUNT if self.promised and self.packets != self.promised else ""

    @property
    def _ends_early(self) -> bool:
        """Headers round, and the last frame's duration is often unknown: a few frames short are not early."""
        if self.promised and self.promised - self.packets > (0 if self.exact else max(2, 0.02 * self.promised)):
            return True
        tolerance = max(2.5 * self.end / max(1, self.frames), 0.02 * self.seconds)
        return self.seconds - self.end > tolerance
