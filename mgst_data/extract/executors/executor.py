"""The contract of an executor, and the executors by name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from mgst_data.core import Registry
from mgst_data.shards import ShardReport, ShardTask, VideoReport

# What a run consists of: the report of every video as soon as it is done, and of every shard once it is complete.
Event = VideoReport | ShardReport


@runtime_checkable
class Work(Protocol):
    """What is done with a task. It can be pickled, and does not know which executor runs it."""

    def __call__(self, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
        """Yields the reports of the task's videos, then that of its shard.

        If the task was begun before, the reports of the videos that are finished come again, and at once.

        Args:
            task: What to do.
            lost: Videos that must not be touched, because they end the process that does, each with the reason in
                words.
        """
        ...


class Executor(Protocol):
    """Anything that gets tasks done, somewhere and in any order."""

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Yields the events of all tasks as they happen; every video's report once.

        What the work raises is raised here, after all other work has been stopped. When the generator is closed or
        interrupted, no process is left behind.
        """
        ...


EXECUTORS: Registry[Callable[..., Executor]] = Registry("mgst_data.executors")
