"""What executors do when a worker dies: its task goes on elsewhere, and a video that kills workers is skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from mgst_data.core import MgstError
from mgst_data.extract.executors.executor import Event, Loss, Opening, Outcome, Task
from mgst_data.shards import VideoReport

# Number of workers that a video may end before it is skipped. A time limit holds at the first time.
PATIENCE = 2
DIED, TIMEOUT, OUT_OF_MEMORY = LOSSES = ("worker_died", "timeout", "out_of_memory")


class Waiting:
    """The tasks that no worker has: those that were put back, then the others, which are made when they are needed.

    Args:
        tasks: All tasks.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks, self._begun = tasks, 0
        self._back: list[Task] = []

    def next(self) -> Task:
        """Returns the next task."""
        if self._back:
            return self._back.pop()
        self._begun += 1
        return self._tasks[self._begun - 1]

    def put_back(self, task: Task) -> None:
        """Puts a task back whose worker has ended. It is the next one.

        Args:
            task: The task.
        """
        self._back.append(task)

    def __len__(self) -> int:
        return len(self._back) + len(self._tasks) - self._begun


class Running:
    """A task in another process, and how far it is.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.task, self._done, self._opening = task, 0, ""

    def see(self, event: Event) -> None:
        """Follows the progress of the task.

        Args:
            event: Next event of the task.
        """
        self._done += isinstance(event, VideoReport)
        self._opening = event.key if isinstance(event, Opening) else ""
        if isinstance(event, Outcome):
            left = tuple(record for record in self.task.records if record.key != event.key)
            self.task = replace(cast("Any", self.task), records=left)

    @property
    def video(self) -> str:
        """Key of the current video; the name of the task if it has no video left."""
        records = self.task.records[self._done :] or self.task.records[-1:]
        return self._opening or (records[0].key if records else self.task.name)


class Accidents:
    """Counts the workers that each video has ended.

    Attributes:
        lost: The videos to skip, by key.
    """

    def __init__(self) -> None:
        self.lost: dict[str, Loss] = {}
        self._count: Counter[str] = Counter()

    def add(self, running: Running, how: str, hint: str, *, reason: str = DIED) -> None:
        """Records that a worker has ended during a task.

        Args:
            running: The task.
            how: How the worker ended, such as "was killed by SIGKILL".
            hint: What to do if workers end before they begin a video.
            reason: Reason code of the video, if it is the cause.

        Raises:
            MgstError: if workers repeatedly end before they begin a video.
        """
        video = running.video
        self._count[video] += 1
        if video in self.lost:
            # The video was not opened this time, so it is not the cause.
            what = f"a worker process {how} while it started, {self._count[video]} times"
            raise MgstError(what, where=running.task.name, hint=hint)
        if reason == TIMEOUT:
            self.lost[video] = Loss(reason, how)
        elif self._count[video] == PATIENCE:
            self.lost[video] = Loss(reason, f"the worker process {how}, {PATIENCE} times")
