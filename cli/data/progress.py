"""Shows the progress of an extraction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mgst_data.extract import Watcher
from mgst_data.extract.executors import Event
from mgst_data.shards import ShardTask, VideoReport
from mgst_data.shards.plan import count_videos

from ..common.progress import Display, display
from ..common.show import count, duration
from .show import KEPT, remarks

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def extract_watcher(*, interval: float = SECONDS_BETWEEN_LINES) -> Iterator[Watcher]:
    """Returns a watcher that shows the progress of an extraction on stderr."""
    pace = Pace()
    with display(pace, interval=interval) as shown:
        yield ExtractWatcher(shown, pace)


class Pace:
    """Counts the finished videos of a run and measures its speed."""

    def __init__(self) -> None:
        self.total = self.kept = self.videos = self.skipped = self.noted = self.frames = 0
        self._began = self._latest = time.perf_counter()

    def begin(self, tasks: Sequence[ShardTask], kept: int) -> None:
        """Starts the clock.

        Args:
            tasks: Shards that are to be written.
            kept: Number of their videos that an earlier run has finished.
        """
        self.total, self.kept = count_videos(tasks), kept
        self._began = time.perf_counter()

    def add(self, video: VideoReport) -> None:
        """Counts a finished video."""
        self.videos += 1
        self.skipped += video.skipped
        self.noted += bool(video.notes) and not video.skipped
        self.frames += video.frames
        self._latest = time.perf_counter()

    @property
    def done(self) -> int:
        """Number of videos finished by this run or an earlier one."""
        return self.kept + self.videos

    def words(self) -> Sequence[str]:
        """Progress, speed, and the time left, which counts down between two videos."""
        words = [f"{self.done:,}/{self.total:,} videos"]
        if self.videos:
            seconds = max(self._latest - self._began, 1e-3)
            # Rates change only when a video is finished; the time left counts down in between.
            end = self._latest + seconds / self.videos * (self.total - self.done)
            left = duration(max(0.0, end - time.perf_counter()))
            words += [f"{self.videos / seconds:.1f}/s", f"{self.frames / seconds:,.0f} frames/s", f"{left} left"]
        else:
            words.append("starting")
        words += [f"{number:,} {what}" for number, what in ((self.skipped, "skipped"), (self.noted, "noted")) if number]
        return ("  ".join(words),)


class ExtractWatcher(Watcher):
    """Shows the speed. Without a bar, it also prints a line for each skipped video and for each note on a kept video.

    Args:
        shown: Display on stderr.
        pace: Counts that the display shows.
    """

    def __init__(self, shown: Display, pace: Pace) -> None:
        self._shown, self._pace = shown, pace

    def begin(self, tasks: Sequence[ShardTask], planned: int, kept: int) -> None:
        """Prints what will be done, and starts the clock."""
        self._shown.say(beginning(tasks, planned, kept))
        self._pace.begin(tasks, kept)

    def see(self, event: Event) -> None:
        """Counts a finished video. Other events are ignored."""
        if not isinstance(event, VideoReport):
            return
        self._pace.add(event)
        if not self._shown.is_live:
            for reason, text in remarks(event):
                self._shown.say(f"{'skipped' if event.skipped else KEPT} ({reason}): {text}")
        self._shown.tick()


def beginning(tasks: Sequence[ShardTask], planned: int, kept: int) -> str:
    """Describes what a run will do.

    Args:
        tasks: Shards that are to be written.
        planned: Number of all shards of the folder, complete ones included.
        kept: Number of videos of the tasks that an earlier run has finished.
    """
    if not tasks:
        return f"nothing to do: all {count(planned, 'shard')} are complete"
    there = f"; {planned - len(tasks):,} of {count(planned, 'shard')} are complete" if planned > len(tasks) else ""
    if kept:
        these = "this shard" if len(tasks) == 1 else "these shards"
        there += f"; {count(kept, 'video')} of {these} already extracted"
    return f"extracting {count(count_videos(tasks) - kept, 'video')} into {count(len(tasks), 'shard')}{there}"
