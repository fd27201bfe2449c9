"""Limits of a worker process: seconds for each video, and memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from mgst_data.core import UsageError
from mgst_data.extract.executors.executor import Event, Opening

_PAGE = os.sysconf("SC_PAGE_SIZE")


def check_limits(video_timeout: float | None, worker_memory: int | None) -> None:
    """Checks the limits that a user gave.

    Args:
        video_timeout: Seconds for each video; None for no limit.
        worker_memory: Bytes of memory of each worker; None for no limit.

    Raises:
        UsageError: if a limit is not positive.
    """
    if video_timeout is not None and not 0 < video_timeout < float("inf"):
        hint = "use --video-timeout 600, for example"
        raise UsageError(f"video_timeout must be a positive number of seconds, got {video_timeout}", hint=hint)
    if worker_memory is not None and worker_memory <= 0:
        hint = "use --worker-memory 4GB, for example"
        raise UsageError(f"worker_memory must be a positive number of bytes, got {worker_memory}", hint=hint)


def alarmed(events: Iterator[Event], seconds: float | None) -> Iterator[Event]:
    """Passes events on, and ends this process with SIGALRM if a video takes longer than the limit.

    The kernel ends the process. So a decoder that never returns to Python is ended, too. The time counts from the
    :class:`Opening` of a video to the next event.

    Args:
        events: Events of a task.
        seconds: Limit for each video; None for no limit.
    """
    if seconds is None:
        yield from events
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        for event in events:
            signal.setitimer(signal.ITIMER_REAL, 0)
            yield event
            if isinstance(event, Opening):
                signal.setitimer(signal.ITIMER_REAL, seconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def resident(pid: int) -> int:
    """Returns the memory of a process that is in use now (RSS), bytes; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
