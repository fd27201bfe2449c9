"""Runs one task after another in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mgst_data.core import UsageError
from mgst_data.extract.executors.executor import EXECUTORS, Event, Work
from mgst_data.shards import ShardTask


@EXECUTORS.register("serial")
class SerialExecutor:
    """Runs tasks in the calling process, for debuggers, profilers and machines that allow only one process.

    Args:
        workers: Number of workers; None or 1.

    Raises:
        UsageError: if ``workers`` is another number.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        if workers not in (None, 1):
            raise UsageError(
                f"workers must be 1 for the executor 'serial', got {workers}",
                hint="omit --workers, or use --executor process",
            )

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Runs the tasks, as :class:`mgst_data.extract.executors.Executor` describes.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.
        """
        for task in tasks:
            yield from work(task, {})
