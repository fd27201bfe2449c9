"""Progress display on stderr: a bar in a terminal, otherwise one line at regular intervals."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

_BAR = 40


class Course(Protocol):
    """Progress of a task. The display reads it several times a second, so that the time left counts down."""

    @property
    def done(self) -> float:
        """Amount of work that is done."""
        ...

    @property
    def total(self) -> float | None:
        """Amount of all work; None while it is unknown."""
        ...

    def words(self) -> Sequence[str]:
        """Task, progress and speed. A terminal shows one part per line; elsewhere all parts share one line."""
        ...


class Work:
    """Progress that is shown as one line: ``work.tell("scoring", done=3, total=8)``.

    Args:
        text: What is being done at first; "" shows nothing.
        unit: What is counted, in the plural, such as "frames"; "" shows no count.
    """

    def __init__(self, text: str = "", *, unit: str = "") -> None:
        self.text, self.unit = text, unit
        self.done: float = 0
        self.total: float | None = None
        self._began = time.perf_counter()

    def tell(self, text: str, *, done: float = 0, total: float | None = None) -> None:
        """Updates the progress.

        Args:
            text: What is being done.
            done: Number of units that are done.
            total: Number of all units; None if it is unknown.
        """
        self.text, self.done, self.total = text, done, total

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    def words(self) -> Sequence[str]:
        """The text, the count, and the seconds since the start."""
        if not self.text:
            return ()
        counted = f" {self.done:,.0f}{f'/{self.total:,.0f}' if self.total else ''} {self.unit}" if self.unit else ""
        return (f"{self.text}{counted}  {self.seconds:.0f} s",)


class Display:
    """Shows the progress of a task on stderr.

    Args:
        course: Progress to show.
        console: Console that writes to stderr.
        live: Part of the terminal that is redrawn; None prints lines instead.
        interval: Seconds between two lines; None prints no lines.
    """

    def __init__(self, course: Course, console: Console, live: Live | None, interval: float | None) -> None:
        self._course, self._console, self._live, self._interval = course, console, live, interval
        self._next = time.perf_counter() + (interval or 0)

    def say(self, line: str) -> None:
        """Prints a line that is not redrawn."""
        self._console.print(line, markup=False, soft_wrap=True)

    def tick(self) -> None:
        """Prints a line if the interval has passed. In a terminal the display redraws itself, and this does nothing."""
        if self._live is None and self._interval is not None and time.perf_counter() >= self._next:
            self.say("  ".join(self._course.words()))
            self._next = time.perf_counter() + self._interval

    @property
    def is_live(self) -> bool:
        """Whether the display is redrawn, four times a second."""
        return self._live is not None


@contextmanager
def display(course: Course, *, interval: float | None = 10.0, quiet: bool = False) -> Iterator[Display]:
    """Shows progress while the block runs: a bar if stderr is a terminal, otherwise lines.

    Args:
        course: Progress to show.
        interval: Seconds between two lines if stderr is not a terminal; None prints no lines.
        quiet: Show nothing.
    """
    console = Console(stderr=True, highlight=False, quiet=quiet)
    if quiet or not console.is_terminal:
        yield Display(course, console, None, interval)
        return
    with Live(get_renderable=lambda: _drawn(course), console=console, refresh_per_second=4, transient=True) as live:
        yield Display(course, console, live, None)


def _drawn(course: Course) -> RenderableType:
    lines = [Text(words, no_wrap=True, overflow="ellipsis") for words in course.words()]
    if not lines:
        return Text("")
    total = course.total
    done = min(course.done, total) if total else 0
    bar = ProgressBar(total=total, completed=done, width=_BAR, complete_style="cyan", finished_style="cyan")
    return Group(*lines, bar)
