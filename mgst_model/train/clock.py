"""Measures the time of the phases of a step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PHASES = ("data", "augmentation", "forward", "backward")


class Clock:
    """Sums the seconds of each phase on the training device.

    Work on a GPU is measured with CUDA events: the clock does not wait for the device until the sums are read.

    Args:
        device: Training device.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures the time inside the context: time of this process for the phase "data", else time of the device.

        Args:
            name: A name in ``PHASES``.
        """
        if self._cuda and name != "data":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            yield
            end.record()
            self._events.append((name, start, end))
        else:
            begin = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - begin

    def take(self) -> dict[str, float]:
        """Returns the seconds of every phase since the last call, and waits for the device."""
        if self._events:
            self._events[-1][2].synchronize()
            for name, start, end in self._events:
                self._seconds[name] += start.elapsed_time(end) / 1000
        taken, self._seconds, self._events = self._seconds, dict.fromkeys(PHASES, 0.0), []
        return taken
