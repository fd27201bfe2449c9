"""The contract of an executor, and the executors by name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mgst_data.core import Registry
from mgst_data.shards import ShardReport, ShardTask, VideoReport


@dataclass(frozen=True, slots=True)
class Opening:
    """A video that is opened before the report of an earlier one is sent. If the process ends now, it is the cause."""

    key: str


# Events of a run: the report of every finished video, and the report of every complete shard.
Event = VideoReport | ShardReport | Opening


@runtime_checkable
class Work(Protocol):
    """The function that processes a task. It can be pickled, and does not depend on the executor."""

    def __call__(self, task: ShardTask, lost: Mapping[str, str]) -> Iterator[Event]:
        """Yields the reports of the videos of a task, then the report of its shard.

        The videos are opened one after another, each after the report of the one before. A work that opens several
        videos first yields :class:`Opening` before each of them.

        If an earlier run has begun the task, the reports of its finished videos are yielded again at the start.

        Args:
            task: Videos of one shard.
            lost: Videos that must not be opened, because they have ended their worker processes: key and reason as
                text.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs tasks in any order, in this process or in others."""

    def map(self, work: Work, tasks: Sequence[ShardTask]) -> Generator[Event, None, None]:
        """Yields the events of all tasks when they occur. The report of every video is yielded once.

        An exception of the work is raised here after all other work has been stopped. When the generator is closed or
        interrupted, no process keeps running.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.
        """
        ...


EXECUTORS: Registry[Callable[..., Executor]] = Registry("mgst_data.executors")
