"""Requests to stop: heard by the training, which saves first, and not by the processes that read for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mgst_data.shards import SegmentBatch
from mgst_model.train.data import Loader

STOPPING = (signal.SIGTERM, signal.SIGINT)


def workers_deaf_to_stopping(loader: Loader) -> Iterator[SegmentBatch]:
    """The batches of a loader, whose processes start with the first of them and never see SIGTERM or SIGINT.

    Schedulers and launchers send a signal to a whole group of processes; that of a batch that is being read would fail
    the training before it could be saved.
    """
    batches = iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # processes inherit it
    try:
        first = next(batches, None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if first is not None:
        yield first
        yield from batches


@contextmanager
def stop_requests(answer: Callable[[], None]) -> Iterator[threading.Event]:
    """Within, SIGTERM and the first SIGINT ask for a stop; a second SIGINT interrupts at once.

    Args:
        answer: Called as soon as the signal arrives, whatever the training is doing: inside a signal handler.
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
