"""Processes and their start: children are deaf to Ctrl-C, and what is raised in them is raised again in the parent.

Only the standard library is imported, so that a process can start before anything heavy is.
"""

from __future__ import annotations

import gc
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

# Threads of a BLAS that nothing here uses, but that count against the limits of a container.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def available_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of the container it runs in."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except OSError:
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way to the parent, with what pickling takes from it: where it happened."""

    error: Exception
    trace: str

    def raise_again(self) -> NoReturn:
        """Raises the error, with a note of where it happened."""
        self.error.add_note(self.trace)
        raise self.error


@contextmanager
def failures_sent(pipe: Connection) -> Iterator[None]:
    """Within it, whatever is raised goes to the parent as a :class:`Failure`, and no further."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - not swallowed: it is raised in the parent
        pipe.send(Failure(error, traceback.format_exc()))


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Within it, libraries are imported in less time: no garbage is looked for.

    torch, torchvision and timm make some 400,000 objects that stay for good. To go through them again and again takes a
    seventh of the time of their import. What is there at the end is never gone through again either.
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
    """Within it, processes start without BLAS threads, and deaf to Ctrl-C from their first moment on."""
    resource_tracker.ensure_running()  # its own start would let the signal through again
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
