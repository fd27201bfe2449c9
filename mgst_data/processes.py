"""Start and end of processes: children ignore Ctrl-C, end with their parent, and send their exceptions to it.

This module imports only the standard library, so that a process can start before it imports large libraries.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

# One thread for BLAS libraries: mgst does not use them, but their threads count against the limits of a container.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def available_cores() -> int:
    """Returns the number of cores that this process may use: its affinity, limited by the quota of its container."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except OSError:
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that is sent to the parent, with its traceback, which pickling would lose."""

    error: Exception
    trace: str

    def raise_again(self) -> NoReturn:
        """Raises the exception with the traceback as a note."""
        self.error.add_note(self.trace)
        raise self.error


@contextmanager
def failures_sent(pipe: Connection) -> Iterator[None]:
    """Sends exceptions of its block to the parent as a :class:`Failure`, and does not raise them here."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - not swallowed: it is raised in the parent
        pipe.send(Failure(error, traceback.format_exc()))


def end_with_parent() -> None:
    """Makes this process end at once when its parent process has ended in any way, also if that was killed.

    Otherwise it would compute on, or wait for work for ever, and write files while the next run writes them too.
    """

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Makes imports of large libraries in its block faster by switching garbage collection off.

    torch, torchvision and timm make about 400,000 objects that are never freed. Garbage collection would visit them
    again and again, which takes a seventh of the time of their import. Objects that exist at the end of the block are
    never visited later either.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def start_quietly() -> Iterator[None]:
    """Makes processes that start in its block use one BLAS thread, and ignore Ctrl-C from the start."""
    resource_tracker.ensure_running()  # started here, because its start would unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def obey_parent(_: int = 0) -> None:
    """Ends this process when its parent sends SIGTERM, even if the signal is blocked. Others may not end it.

    Processes that read for a training are started with SIGTERM blocked, because a scheduler sends the signal to a whole
    group of processes. But Python ends them with the same signal at its exit, and waits for them.
    """
    if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        threading.Thread(target=_end_when_told, daemon=True).start()


def _end_when_told() -> None:
    parent = os.getppid()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
