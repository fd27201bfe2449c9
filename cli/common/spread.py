"""How the work of a command is distributed to workers: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from mgst_data.extract.executors import Executor, choose_executor
from mgst_data.processes import available_cores

# Executors on this machine. Elsewhere a worker has one core.
_HERE = ("serial", "process")
# A worker that starts for each task loads the network for each task. So its tasks are larger, if there are many inputs:
# largest number of inputs, and smallest number of tasks.
_INPUTS, _TASKS = 16, 32
# Seconds to wait for the folder of a worker whose machine is lost.
_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Spread:
    """How inputs are distributed to workers, as the user asks for it.

    Attributes:
        executor: Name of a registered executor.
        workers: Number of workers; None for the default of the executor.
        gpus_per_worker: Share of a GPU of a worker on Ray; None for the default.
        worker_memory: Bytes of memory of each worker; None for no limit.
        video_timeout: Seconds for each input; None for no limit.
    """

    executor: str = "serial"
    workers: int | None = None
    gpus_per_worker: float | None = None
    worker_memory: int | None = None
    video_timeout: float | None = None

    @property
    def threads(self) -> int:
        """Number of threads of the network of a worker."""
        if self.executor not in _HERE:
            return 1
        cores = available_cores()
        count = self.workers or (cores if self.executor == "process" else 1)
        return min(torch.get_num_threads(), max(1, cores // count))

    @property
    def wait(self) -> float:
        """Seconds to wait for the folder of a worker on a machine that is lost."""
        return 0.0 if self.executor in _HERE else _WAIT

    def begin(self, device: str) -> tuple[Executor, str]:
        """Makes the executor. Returns it, and the device of its workers.

        Args:
            device: "cpu", "cuda" or "auto".

        Raises:
            UsageError: if there is no such executor or device, or an option is not valid.
            ImportError: if the executor is not installed.
        """
        return choose_executor(
            self.executor,
            device=device,
            workers=self.workers,
            gpus_per_worker=self.gpus_per_worker,
            video_timeout=self.video_timeout,
            worker_memory=self.worker_memory,
        )

    def size(self, count: int, device: str) -> int:
        """Returns the number of inputs of a task.

        Args:
            count: Number of all inputs.
            device: Device of the workers.
        """
        # Ray starts a process for each task that has a GPU, and a child process for each task with a limit of time.
        restarted = self.executor not in _HERE and (device != "cpu" or self.video_timeout is not None)
        return max(1, min(_INPUTS, count // _TASKS)) if restarted else 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Sets the number of threads of torch within the block.

    Args:
        count: The number.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
