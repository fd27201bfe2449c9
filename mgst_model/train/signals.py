"""Requests to stop: the training handles the signals and saves first; its reading processes ignore them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mgst_data.core import MgstError
from mgst_data.core.errors import first_line
from mgst_data.shards import SegmentBatch
from mgst_model.train.data import Loader

STOPPING = (signal.SIGTERM, signal.SIGINT)


def workers_deaf_to_stopping(loader: Loader) -> Iterator[SegmentBatch]:
    """Yields the batches of a loader whose reading processes never receive SIGTERM or SIGINT.

    Schedulers and launchers send a signal to a whole group of processes. A reading process that stops during a batch
    would make the training fail before it is saved. The processes start with the first batch, so the signals are
    blocked until then.

    Only the training itself can still end them with SIGTERM (:func:`mgst_data.processes.obey_parent`).

    Args:
        loader: Loader of a training.
    """
    batches = iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # the reading processes inherit the mask
    try:
        first = next(batches, None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if first is not None:
        yield first
        yield from batches


@contextmanager
def dead_readers_told() -> Iterator[None]:
    """Makes an error with a hint of what torch raises when a process that reads shards is killed or crashes.

    torch raises it inside a signal handler, so it can come from any line of a training.

    Raises:
        MgstError: if a reading process has ended.
        RuntimeError: any other one, unchanged.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        hint = "lower data.workers if the memory runs out; the training continues from the last saved state"
        what = f"a process that reads shards has ended: {first_line(error)}"
        raise MgstError(what, hint=hint, reason="worker_died") from error


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
