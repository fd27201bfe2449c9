"""The contract of an executor, and the executors by name."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from mgst_data.core import Registry
from mgst_data.shards import ShardReport, VideoReport


@runtime_checkable
class TaskVideo(Protocol):
    """One video of a task."""

    @property
    def key(self) -> str:
        """Name of the video, which no other video of the run has."""
        ...


@runtime_checkable
class Task(Protocol):
    """Videos that one worker processes, one after another: a dataclass that can be pickled, such as a ShardTask."""

    @property
    def name(self) -> str:
        """Name of the task, for messages."""
        ...

    @property
    def records(self) -> Sequence[TaskVideo]:
        """The videos."""
        ...


T = TypeVar("T", bound=Task)
T_contra = TypeVar("T_contra", bound=Task, contravariant=True)


@dataclass(frozen=True, slots=True)
class Opening:
    """A video that is opened. If the process ends before the next event, this video is the cause."""

    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a work that makes no shards has found out about a video. If its task goes on elsewhere, then without it.

    Attributes:
        key: Key of the video.
        value: The result. It can be pickled, and is small.
    """

    key: str
    value: object


@dataclass(frozen=True, slots=True)
class Ending:
    """A task that makes no shard is complete.

    Attributes:
        name: Name of the task.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a video must not be opened again.

    Attributes:
        reason: Reason code for the report of the video: "worker_died", "timeout" or "out_of_memory".
        message: What happened.
    """

    reason: str
    message: str


# Events of a run: the report of every finished video, and the report of every complete shard. Of works that make no
# shards: the outcome of every video, and the end of every task.
Event = VideoReport | ShardReport | Opening | Outcome | Ending


@runtime_checkable
class Work(Protocol[T_contra]):
    """The function that processes a task. It can be pickled, and does not depend on the executor."""

    def __call__(self, task: T_contra, lost: Mapping[str, Loss]) -> Iterator[Event]:
        """Yields the reports of the videos of a task, then the report of its shard; or their outcomes, then its end.

        The videos are opened one after another, each after the report of the one before. :class:`Opening` is yielded
        before each of them: a time limit counts from there. A work may also open several videos before the report of
        the first one.

        If an earlier run has begun the task, the reports of its finished videos are yielded again at the start.

        Args:
            task: The videos.
            lost: Videos that must not be opened, because they have ended their worker processes, by key.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs tasks in any order, in this process or in others."""

    def map(self, work: Work[T], tasks: Sequence[T]) -> Generator[Event, None, None]:
        """Yields the events of all tasks when they occur. The report or outcome of every video is yielded once.

        An exception of the work is raised here after all other work has been stopped. When the generator is closed or
        interrupted, no process keeps running.

        Args:
            work: Function that processes one task.
            tasks: Tasks to process.
        """
        ...


EXECUTORS: Registry[Callable[..., Executor]] = Registry("mgst_data.executors")
