"""How a training is watched: a live panel in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mgst_model.train import StepReport, TrainWatcher, Validation

from .errors import answer_at_once
from .show import duration

SECONDS_BETWEEN_LINES = 10.0
STOPPING = "stopping after this step; press Ctrl-C again to stop now and lose what was not saved"
# Steps that figures of the display are averaged over.
_REMEMBERED = 50


def quieten_libraries() -> None:
    """Hides what Lightning logs of its own start; errors still show."""
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def make_train_watcher(*, quiet: bool = False) -> Iterator[TrainWatcher]:
    """A watcher that writes to stderr, as fits what stderr is; ``quiet`` for all processes but one."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield TrainWatcher()
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield LiveWatcher(console, live)
    else:
        yield LineWatcher(console)


class Course:
    """How far a training has come, how fast it is, and what it has reached."""

    def __init__(self) -> None:
        self.steps = self.done = self.epochs = 0
        self.latest: StepReport | None = None
        self.best: Validation | None = None
        self._recent: deque[tuple[float, StepReport]] = deque(maxlen=_REMEMBERED)
        self._ended = time.perf_counter()

    def begin(self, *, steps: int, done: int, epochs: int) -> None:
        """Starts the clock."""
        self.steps, self.done, self.epochs = steps, done, epochs
        self._ended = time.perf_counter()

    def add(self, report: StepReport | Validation) -> None:
        """Takes a report in."""
        now = time.perf_counter()
        if isinstance(report, Validation):
            self.best = report if report.best else self.best
        else:
            self.latest, self.done = report, report.step
            self._recent.append((now - self._ended, report))
        self._ended = now  # the time of a validation is no time of a step

    @property
    def losses(self) -> dict[str, float]:
        """Mean of every part over the last steps."""
        rows = [report.losses for _, report in self._recent]
        return {name: sum(row[name] for row in rows) / len(rows) for name in (rows[0] if rows else ())}

    @property
    def shares(self) -> dict[str, float]:
        """Share of the time that each phase takes."""
        sums: dict[str, float] = {}
        for _, report in self._recent:
            for name, seconds in report.seconds.items():
                sums[name] = sums.get(name, 0.0) + seconds
        whole = sum(sums.values()) or 1.0
        return {name: seconds / whole for name, seconds in sums.items()}

    @property
    def speed(self) -> float:
        """Segments a second, blends among them."""
        seconds = sum(spent for spent, _ in self._recent)
        return sum(report.segments for _, report in self._recent) / seconds if seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds to the end at this speed, without validations."""
        spent = sum(seconds for seconds, _ in self._recent) / max(1, len(self._recent))
        return spent * (self.steps - self.done)

    def words(self) -> str:
        """All of it in one line."""
        if self.latest is None:
            return "starting"
        losses = " ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        time_in = " ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        best = f"  best AUC {self.best.auc:.4f}" if self.best else ""
        return (
            f"step {self.done:,}/{self.steps:,}  {losses}  lr {self.latest.rate:.1e}  {self.speed:.1f} segments/s"
            f"  ({time_in})  {duration(self.left)} left{best}"
        )


def first_line(steps: int, done: int, epochs: int, parameters: int) -> str:
    """What is to be done, in words."""
    if done >= steps:
        return f"this training is finished: all {steps:,} steps are done (choose another --out to train anew)"
    more = f"; continuing after step {done:,}" if done else ""
    return f"training {parameters / 1e6:.1f} M parameters for {steps:,} steps in {epochs:,} epochs{more}"


def validation_line(report: Validation) -> str:
    """What was reached, in words."""
    best = "  best so far" if report.best else ""
    return f"epoch {report.epoch + 1}: validation AUC {report.auc:.4f}, loss {report.loss:.4f}{best}"


class LiveWatcher(TrainWatcher):
    """Shows a table that is drawn anew while the training goes on."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console, self._live, self._course = console, live, Course()
        self._stopping = False

    def begin(self, *, steps: int, done: int, epochs: int, parameters: int) -> None:
        """Says what is to be done."""
        self._console.print(first_line(steps, done, epochs, parameters))
        self._course.begin(steps=steps, done=done, epochs=epochs)

    def see(self, report: StepReport | Validation) -> None:
        """Draws the table anew."""
        self._course.add(report)
        if isinstance(report, Validation):
            self._console.print(validation_line(report))
        self._live.update(self._panel())

    def stopping(self) -> None:
        """Adds a line to the table; the display draws it within a quarter of a second."""
        self._stopping = True
        self._live.update(self._panel())

    def _panel(self) -> Group:
        course = self._course
        table = Table.grid(padding=(0, 2))
        losses = "  ".join(f"[bold]{name}[/] {value:.4f}" for name, value in course.losses.items())
        shares = "  ".join(f"{name} {share:.0%}" for name, share in course.shares.items())
        rate = f"{course.latest.rate:.2e}" if course.latest else "-"
        table.add_row("loss", losses)
        table.add_row("rate", f"{rate}   {course.speed:.1f} segments/s")
        table.add_row("time in", shares)
        bar = ProgressBar(total=max(1, course.steps), completed=course.done, width=40, complete_style="cyan")
        steps = Text(f"step {course.done:,}/{course.steps:,}  {duration(course.left)} left")
        return Group(table, steps, bar, *([Text(STOPPING, style="bold yellow")] if self._stopping else []))


class LineWatcher(TrainWatcher):
    """Writes a line every few seconds, and one for every validation."""

    def __init__(self, console: Console, *, interval: float = SECONDS_BETWEEN_LINES) -> None:
        self._console, self._course, self._interval = console, Course(), interval
        self._next = 0.0

    def begin(self, *, steps: int, done: int, epochs: int, parameters: int) -> None:
        """Says what is to be done."""
        self._write(first_line(steps, done, epochs, parameters))
        self._course.begin(steps=steps, done=done, epochs=epochs)

    def see(self, report: StepReport | Validation) -> None:
        """Writes a line if it is time for one."""
        self._course.add(report)
        if isinstance(report, Validation):
            self._write(validation_line(report))
        elif time.perf_counter() >= self._next:
            self._write(self._course.words())
            self._next = time.perf_counter() + self._interval

    def stopping(self) -> None:
        """Answers the request to stop."""
        answer_at_once(STOPPING)

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def show_trained(out: Path, best: Validation, *, as_json: bool) -> None:
    """Says what was reached, and where it is."""
    weights = out / "best.safetensors"
    if as_json:
        click.echo(json.dumps({"weights": str(weights), **asdict(best)}, indent=1))
        return
    click.echo(f"best validation AUC {best.auc:.4f}: {weights}")
    click.echo(f"  mgst-predict VIDEO --weights {weights}")
