"""How scoring is watched: a bar in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .show import count

SECONDS_BETWEEN_LINES = 10.0


class ScoreWatcher:
    """Is told how far scoring has come; writes a line every few seconds.

    Args:
        console: Of stderr.
        interval: Seconds between two lines.
    """

    def __init__(self, console: Console, *, interval: float = SECONDS_BETWEEN_LINES) -> None:
        self._console, self._interval = console, interval
        self._turn = self._turns = 0
        self._label = ""
        self._next = time.perf_counter() + interval

    def begin(self, todo: int, there: int) -> None:
        """So many parts are to be scored, so many are there already."""
        self._turns = todo
        if there:
            what = f"{there:,} of {count(todo + there, 'set')} of scores"
            self._write(f"{what} made before, of the same weights, shards and options (--again makes them anew)")

    def turn(self, label: str) -> None:
        """The next part begins."""
        self._turn += 1
        self._label = label

    def saw(self, done: int, of: int) -> None:
        """So many videos of the part are done."""
        if time.perf_counter() >= self._next:
            self._write(f"{self.words()}: {done:,}/{of:,} videos")
            self._next = time.perf_counter() + self._interval

    def words(self) -> str:
        """What is being done."""
        place = f" ({self._turn:,} of {self._turns:,})" if self._turns > 1 else ""
        return f"{self._label}{place}"

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


class BarScoreWatcher(ScoreWatcher):
    """The same with a bar, which runs over all parts."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self._progress = progress
        self._task = progress.add_task("", total=None, visible=False, videos="")

    def begin(self, todo: int, there: int) -> None:
        """Shows the bar."""
        super().begin(todo, there)
        self._progress.update(self._task, total=todo, visible=bool(todo))

    def turn(self, label: str) -> None:
        """Says what is scored now."""
        super().turn(label)
        self._progress.update(self._task, description=self.words(), completed=self._turn - 1)

    def saw(self, done: int, of: int) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=self._turn - 1 + done / of, videos=f"{done:,}/{count(of, 'video')}")


@contextmanager
def make_score_watcher() -> Iterator[ScoreWatcher]:
    """A watcher that writes to stderr, as fits what stderr is."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield ScoreWatcher(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.fields[videos]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield BarScoreWatcher(console, progress)
