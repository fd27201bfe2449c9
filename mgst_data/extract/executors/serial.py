"""One task after another, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mgst_data.core import UsageError
from mgst_data.extract.executors.executor import EXECUTORS, Event, Work
from mgst_data.shards import ShardTask


@EXECUTORS.register("serial")
class SerialExecutor:
    """Works in the calling process: for debuggers, profilers and machines that allow no others.

    Args:
        workers: None or 1.

    Raises:
        UsageError: for another number of workers.
    """

    def __init__(self, *, workers: int | None = None) -> None:
        if workers not in (None, 1):
            raise UsageError(
                f"the serial executor has 1 worker, not {workers}",
                hint="leave --workers out, or take --executor process",
            )

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """See :class:`mgst_data.extract.executors.Executor`."""
        for task in tasks:
            yield from work(task, {})
