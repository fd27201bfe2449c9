"""What becomes of the videos of a task whose worker has ended: they are opened again, or skipped."""

from __future__ import annotations

from collections import Counter

from mgst_data.core import MgstError
from mgst_data.extract.executors.executor import Event, Opening
from mgst_data.shards import ShardTask, VideoReport

# Number of workers that a video may end before it is skipped.
PATIENCE = 2


class Running:
    """A task in a worker: which of its videos is open.

    Args:
        task: Videos of one shard.
    """

    def __init__(self, task: ShardTask) -> None:
        self.task = task
        self._done, self._opening = 0, ""

    def see(self, event: Event) -> None:
        """Takes note of an event of the task."""
        self._done += isinstance(event, VideoReport)
        self._opening = event.key if isinstance(event, Opening) else ""

    @property
    def video(self) -> str:
        """Key of the current video."""
        records = self.task.records
        return self._opening or records[min(self._done, len(records) - 1)].key


class Accidents:
    """Counts the workers that each video has ended.

    Attributes:
        lost: Videos to skip, with the reason as text.
    """

    def __init__(self) -> None:
        self.lost: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def add(self, running: Running, how: str, *, hint: str) -> None:
        """Records that a worker has ended.

        Args:
            running: Its task.
            how: How it ended, such as "was killed by SIGKILL".
            hint: What to do if workers repeatedly end before they open a video.

        Raises:
            MgstError: if workers repeatedly end before they open a video.
        """
        self._count[running.video] += 1
        times = self._count[running.video]
        if times == PATIENCE:
            self.lost[running.video] = f"the worker process {how}, {PATIENCE} times"
        elif times > PATIENCE:
            # The video was not opened this time, so it is not the cause.
            what = f"a worker process {how} while it started, {times} times"
            raise MgstError(what, where=running.task.name, hint=hint)
