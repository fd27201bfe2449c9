"""Runs one task after another in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mgst_data.core import UsageError
from mgst_data.extract.executors.executor import EXECUTORS, Event, T, Work
from mgst_data.extract.executors.process import ProcessExecutor


@EXECUTORS.register("serial")
class SerialExecutor:
    """Runs tasks in the calling process, for debuggers, profilers and machines that allow only one process.

    With a limit, the tasks run in one child process: a decoder cannot be ended within its own process.

    Args:
        workers: Number of workers; None or 1.
        video_timeout: Seconds for each video, as for :class:`ProcessExecutor`.
        worker_memory: Memory of the child process, bytes, as for :class:`ProcessExecutor`.

    Raises:
        UsageError: if ``workers`` is another number, or a limit is not positive.
    """

    def __init__(
        self, *, workers: int | None = None, video_timeout: float | None = None, worker_memory: int | None = None
    ) -> None:
        if workers not in (None, 1):
            raise UsageError(
                f"workers must be 1 for the executor 'serial', got {workers}",
                hint="omit --workers, or use --executor process",
            )
        self._child: ProcessExecutor | None = None
        if video_timeout is not None or worker_memory is not None:
            self._child = ProcessExecutor(workers=1, video_timeout=video_timeout, worker_memory=worker_memory)

    def map(self, work: Work[T], tasks: Sequence[T]) -> Generator[Event, None, None]:
        """Runs the tasks, as :class:`mgst_data.extract.executors.Executor` describes.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.
        """
        if self._child:
            yield from self._child.map(work, tasks)
            return
        for task in tasks:
            yield from work(task, {})
