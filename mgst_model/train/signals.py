"""Requests to stop and lost readers: both are answered between two lines of a training, never in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from mgst_data.core import MgstError
from mgst_data.core.errors import first_line
from mgst_data.shards import SegmentBatch
from mgst_model.train.data import Loader

STOPPING = (signal.SIGTERM, signal.SIGINT)
_LAST_MOMENTS = 1.0  # s
_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


def workers_deaf_to_stopping(loader: Loader) -> Iterator[SegmentBatch]:
    """Yields the batches of a loader whose reading processes never receive SIGTERM or SIGINT.

    Schedulers and launchers send a signal to a whole group of processes. A reading process that stops during a batch
    would make the training fail before it is saved. The processes start with the first batch, so the signals are
    blocked until then.

    Only the training itself can still end them with SIGTERM (:func:`mgst_data.processes.obey_parent`).

    The first batch of a process makes torch raise an error in the handler of SIGCHLD, from any line of the training,
    if a reading process is lost. That handler is removed here: torch also looks for lost processes where it waits for
    a batch, every few seconds.

    Args:
        loader: Loader of a training.
    """
    batches = iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPPING, signal.SIGCHLD))  # the processes inherit the mask
    try:
        first = next(batches, None)
        _handle_no_child()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if first is not None:
        yield first
        yield from batches


@contextmanager
def lost_readers_named() -> Iterator[None]:
    """Makes an error with a hint of what is raised when a process that reads shards is killed or crashes.

    Raises:
        MgstError: if a reading process has ended.
        RuntimeError: any other one, unchanged.
        OSError: any other one, unchanged.
        EOFError: any other one, unchanged.
    """
    before = _handle_no_child()
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if not str(error).startswith("DataLoader worker") and (isinstance(error, RuntimeError) or not _child_killed()):
            raise
        hint = "lower data.workers if the memory runs out; the training continues from the last saved state"
        what = f"a process that reads shards has ended: {first_line(error)}"
        raise MgstError(what, hint=hint, reason="worker_died") from error
    finally:
        if callable(before):
            with suppress(RuntimeError):
                before(signal.SIGCHLD, None)  # torch forgets the lost process; else the next SIGCHLD would raise it
            signal.signal(signal.SIGCHLD, before)


def _handle_no_child() -> _Handler:
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _child_killed() -> bool:
    """Whether a child was killed or has crashed, and was not waited for.

    A process that is killed while it hands over a batch closes the connection a moment before it can be waited for.
    """
    end = time.monotonic() + _LAST_MOMENTS
    while time.monotonic() < end:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if ended is not None and ended.si_code != os.CLD_EXITED:
            return True
        time.sleep(0.01)
    return False


@contextmanager
def stop_requests(answer: Callable[[], None]) -> Iterator[threading.Event]:
    """Turns SIGTERM and the first SIGINT, inside the context, into a request to stop.

    A second SIGINT interrupts at once.

    Args:
        answer: Called inside the signal handler as soon as the signal arrives.

    Yields:
        An event that is set when a stop is requested.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def ask(*_: object) -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        if not asked.is_set():
            asked.set()
            answer()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
