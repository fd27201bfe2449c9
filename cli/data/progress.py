"""How a run is watched: a bar in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from mgst_data.extract import Watcher
from mgst_data.extract.executors import Event
from mgst_data.shards import ShardTask, VideoReport

from .show import KEPT, count, duration, remarks

SECONDS_BETWEEN_LINES = 5.0
# Characters that the pace of a large data set takes beside the bar.
_WORDS = 83


@contextmanager
def make_watcher() -> Iterator[Watcher]:
    """A watcher that writes to stderr, as fits what stderr is."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield LineWatcher(console)
        return
    pace = Pace()
    bar = BarColumn(max(4, min(40, console.width - _WORDS)), complete_style="cyan", finished_style="cyan")
    with Progress(bar, PaceColumn(pace), console=console, transient=True) as progress:
        yield BarWatcher(console, pace, progress)


class Pace:
    """How far a run has come, and how fast."""

    def __init__(self) -> None:
        self.total = self.kept = self.videos = self.skipped = self.noted = self.frames = 0
        self._began = self._latest = time.perf_counter()

    def begin(self, tasks: Sequence[ShardTask], kept: int) -> None:
        """Starts the clock; ``kept`` videos of the tasks are done already."""
        self.total, self.kept = sum(map(len, tasks)), kept
        self._began = time.perf_counter()

    def add(self, video: VideoReport) -> None:
        """Counts a video."""
        self.videos += 1
        self.skipped += video.skipped
        self.noted += bool(video.notes) and not video.skipped
        self.frames += video.frames
        self._latest = time.perf_counter()

    @property
    def done(self) -> int:
        """Videos that are done, before this run or by it."""
        return self.kept + self.videos

    def __str__(self) -> str:
        words = [f"{self.done:,}/{self.total:,} videos"]
        if self.videos:
            seconds = max(self._latest - self._began, 1e-3)
            # Videos come in one by one: between them the rates stand still, and the time left runs down.
            end = self._latest + seconds / self.videos * (self.total - self.done)
            left = duration(max(0.0, end - time.perf_counter()))
            words += [f"{self.videos / seconds:.1f}/s", f"{self.frames / seconds:,.0f} frames/s", f"{left} left"]
        else:
            words.append("starting")
        words += [f"{number:,} {what}" for number, what in ((self.skipped, "skipped"), (self.noted, "noted")) if number]
        return "  ".join(words)


class PaceColumn(ProgressColumn):
    """The pace in words."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:  # noqa: ARG002
        """Drawn anew several times a second, so that the time left runs down."""
        return Text(str(self._pace), no_wrap=True)


class BarWatcher(Watcher):
    """Shows a bar while the run goes on; what was skipped, or kept with a note, is counted, and listed at the end."""

    def __init__(self, console: Console, pace: Pace, progress: Progress) -> None:
        self._console, self._pace, self._progress = console, pace, progress

    def begin(self, tasks: Sequence[ShardTask], planned: int, kept: int) -> None:
        """Says what is to be done."""
        self._console.print(beginning(tasks, planned, kept))
        self._pace.begin(tasks, kept)
        self._task = self._progress.add_task("", total=self._pace.total, completed=kept, visible=bool(tasks))

    def see(self, event: Event) -> None:
        """Moves the bar."""
        if isinstance(event, VideoReport):
            self._pace.add(event)
            self._progress.update(self._task, completed=self._pace.done)


class LineWatcher(Watcher):
    """Writes a line every few seconds, and one for every video that is skipped and every note on one that is kept."""

    def __init__(self, console: Console, *, interval: float = SECONDS_BETWEEN_LINES) -> None:
        self._console, self._pace, self._interval = console, Pace(), interval

    def begin(self, tasks: Sequence[ShardTask], planned: int, kept: int) -> None:
        """Says what is to be done."""
        self._write(beginning(tasks, planned, kept))
        self._pace.begin(tasks, kept)
        self._next = time.perf_counter() + self._interval

    def see(self, event: Event) -> None:
        """Writes a line if it is time for one."""
        if not isinstance(event, VideoReport):
            return
        self._pace.add(event)
        for reason, text in remarks(event):
            self._write(f"{'skipped' if event.skipped else KEPT} ({reason}): {text}")
        if time.perf_counter() >= self._next:
            self._write(str(self._pace))
            self._next = time.perf_counter() + self._interval

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def beginning(tasks: Sequence[ShardTask], planned: int, kept: int) -> str:
    """What is to be done, in words."""
    if not tasks:
        return f"nothing to do: all {count(planned, 'shard')} complete"
    there = f"; {planned - len(tasks):,} of {planned:,} are complete" if planned > len(tasks) else ""
    if kept:
        these = "this shard" if len(tasks) == 1 else "these shards"
        there += f"; {count(kept, 'video')} of {these} kept from before"
    return f"extracting {count(sum(map(len, tasks)) - kept, 'video')} into {count(len(tasks), 'shard')}{there}"
