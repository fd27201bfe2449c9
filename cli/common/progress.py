"""One display for all long work: a bar in a terminal, a line now and then anywhere else."""

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
    """How far some work has come. Asked again and again, so that times run down between two events."""

    @property
    def done(self) -> float:
        """How much is done."""
        ...

    @property
    def total(self) -> float | None:
        """Of how much; None while nobody knows."""
        ...

    def words(self) -> Sequence[str]:
        """What is being done, how far, how fast; the parts go into lines of a terminal, or into one line."""
        ...


class Work:
    """A course of one line: ``work.tell("scoring", done=3, total=8)``."""

    def __init__(self, text: str = "", *, unit: str = "") -> None:
        self.text, self.unit = text, unit
        self.done: float = 0
        self.total: float | None = None
        self._began = time.perf_counter()

    def tell(self, text: str, *, done: float = 0, total: float | None = None) -> None:
        """What is being done by now."""
        self.text, self.done, self.total = text, done, total

    def words(self) -> Sequence[str]:
        """The text, how many are done, and the seconds since it began."""
        if not self.text:
            return ()
        counted = f" {self.done:,.0f}{f'/{self.total:,.0f}' if self.total else ''} {self.unit}" if self.unit else ""
        return (f"{self.text}{counted}  {time.perf_counter() - self._began:.0f} s",)


class Display:
    """Shows a course on stderr.

    Args:
        course: What is shown.
        console: Of stderr.
        live: A part of the terminal that is drawn anew; None for lines.
        interval: Seconds between two lines; None for no lines.
    """

    def __init__(self, course: Course, console: Console, live: Live | None, interval: float | None) -> None:
        self._course, self._console, self._live, self._interval = course, console, live, interval
        self._next = time.perf_counter() + (interval or 0)

    def say(self, line: str) -> None:
        """Writes a line that stays."""
        self._console.print(line, markup=False, soft_wrap=True)

    def tick(self) -> None:
        """Something has happened: writes a line if it is time for one; in a terminal the display draws itself."""
        if self._live is None and self._interval is not None and time.perf_counter() >= self._next:
            self.say("  ".join(self._course.words()))
            self._next = time.perf_counter() + self._interval

    @property
    def is_live(self) -> bool:
        """Whether the display is drawn anew four times a second."""
        return self._live is not None


@contextmanager
def display(course: Course, *, interval: float | None = 10.0, quiet: bool = False) -> Iterator[Display]:
    """Shows a course while the block runs, as fits what stderr is.

    Args:
        course: What is shown.
        interval: Seconds between two lines where stderr is no terminal; None for no lines.
        quiet: Show nothing at all.
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
