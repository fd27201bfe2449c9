"""Shows the progress and the result of a training."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from mgst_data.core import OutputError
from mgst_data.core.errors import printable
from mgst_data.shards.contributions import Contribution
from mgst_data.shards.outputs import OutputFolder
from mgst_model.train import StepReport, TrainWatcher, Validation

from ..common.errors import answer_at_once
from ..common.progress import Display, display
from ..common.show import duration

SECONDS_BETWEEN_LINES = 10.0
STOPPING = "stopping after this step; press Ctrl-C again to quit immediately and lose unsaved progress"
# Number of steps over which the displayed values are averaged.
_REMEMBERED = 50


def quieten_libraries() -> None:
    """Hides the start messages of Lightning. Its errors are still shown."""
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def train_watcher(
    out: OutputFolder | None = None, *, quiet: bool = False, interval: float = SECONDS_BETWEEN_LINES
) -> Iterator[TrainWatcher]:
    """Returns a watcher that shows the progress of a training on stderr, and uploads every saved state.

    Args:
        out: Folder of the training; None for one that is not uploaded.
        quiet: Show nothing; set in all processes but one.
        interval: Seconds between two lines if stderr is not a terminal.
    """
    if quiet:
        yield TrainWatcher()
        return
    course = Course()
    with display(course, interval=interval) as shown:
        yield CourseWatcher(shown, course, out)


class Course:
    """Progress, speed, losses and best validation of a training."""

    def __init__(self) -> None:
        self.steps = self.done = self.epochs = 0
        self.stopping = False
        self.latest: StepReport | None = None
        self.best: Validation | None = None
        self._recent: deque[tuple[float, StepReport]] = deque(maxlen=_REMEMBERED)
        self._ended = time.perf_counter()

    def begin(self, *, steps: int, done: int, epochs: int) -> None:
        """Starts the clock.

        Args:
            steps: Steps of the whole training.
            done: Steps that an earlier run has finished.
            epochs: Epochs of the whole training.
        """
        self.steps, self.done, self.epochs = steps, done, epochs
        self._ended = time.perf_counter()

    def add(self, report: StepReport | Validation) -> None:
        """Records a report."""
        now = time.perf_counter()
        if isinstance(report, Validation):
            self.best = report if report.best else self.best
        else:
            self.latest, self.done = report, report.step
            self._recent.append((now - self._ended, report))
        self._ended = now  # the time of a validation does not count as a step

    @property
    def total(self) -> float:
        """Steps of the whole training, at least 1."""
        return max(1, self.steps)

    @property
    def losses(self) -> dict[str, float]:
        """Mean of every loss over the last steps."""
        values: dict[str, list[float]] = {}
        for _, report in self._recent:
            for name, value in report.losses.items():  # a step with single frames has no patch loss
                values.setdefault(name, []).append(value)
        return {name: sum(some) / len(some) for name, some in values.items()}

    @property
    def shares(self) -> dict[str, float]:
        """Share of the time of each phase, over the last steps."""
        sums: dict[str, float] = {}
        for _, report in self._recent:
            for name, seconds in report.seconds.items():
                sums[name] = sums.get(name, 0.0) + seconds
        whole = sum(sums.values()) or 1.0
        return {name: seconds / whole for name, seconds in sums.items()}

    @property
    def speed(self) -> float:
        """Segments per second, pseudo-fakes included."""
        seconds = sum(spent for spent, _ in self._recent)
        return sum(report.segments for _, report in self._recent) / seconds if seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds left at this speed, without validations."""
        spent = sum(seconds for seconds, _ in self._recent) / max(1, len(self._recent))
        return spent * (self.steps - self.done)

    def words(self) -> Sequence[str]:
        """Step and losses; learning rate, speed, share of each phase, time left and best AUC."""
        if self.latest is None:
            return ("starting",)
        losses = " ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
        time_in = " ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        best = f"  best AUC {self.best.auc:.4f}" if self.best else ""
        place = f"step {self.done:,}/{self.steps:,}  {losses}"
        pace = f"lr {self.latest.rate:.1e}  {self.speed:.1f} segments/s  ({time_in})  {duration(self.left)} left{best}"
        return (place, pace, STOPPING) if self.stopping else (place, pace)


class CourseWatcher(TrainWatcher):
    """Shows the progress, and prints a line for every validation.

    Args:
        shown: Display on stderr.
        course: Progress that the display shows.
        out: Folder of the training; None for one that is not uploaded.
    """

    def __init__(self, shown: Display, course: Course, out: OutputFolder | None = None) -> None:
        self._shown, self._course, self._out = shown, course, out

    def begin(self, *, steps: int, done: int, epochs: int, parameters: int) -> None:
        """Prints what will be done, and starts the clock."""
        self._shown.say(first_line(steps, done, epochs, parameters))
        self._course.begin(steps=steps, done=done, epochs=epochs)

    def sources(self, made: Sequence[Contribution], *, planned: bool) -> None:
        """Prints a table of what each source contributes."""
        for row in source_lines(made, planned=planned):
            self._shown.say(row)

    def see(self, report: StepReport | Validation) -> None:
        """Counts a step, or prints the result of a validation."""
        self._course.add(report)
        if isinstance(report, Validation):
            self._shown.say(validation_line(report))
        else:
            self._shown.tick()

    def saved(self) -> None:
        """Uploads the state, the weights and the tables. If the store does not answer, the next save tries again.

        Raises:
            OutputError: if another training has taken over the folder.
        """
        try:
            if self._out is not None:
                self._out.upload()
        except OutputError as error:
            if error.reason == "locked":
                raise
            self._shown.say(f"warning: not uploaded, the next save tries again: {error}")

    def stopping(self) -> None:
        """Confirms the request to stop. A live display shows it within a quarter of a second."""
        self._course.stopping = True
        if not self._shown.is_live:
            answer_at_once(STOPPING)


def first_line(steps: int, done: int, epochs: int, parameters: int) -> str:
    """Describes what a training will do.

    Args:
        steps: Steps of the whole training.
        done: Steps that an earlier run has finished.
        epochs: Epochs of the whole training.
        parameters: Number of parameters of the network.
    """
    if done >= steps:
        return f"this training is complete: all {steps:,} steps are done (to train again, choose another --out)"
    more = f"; continuing after step {done:,}" if done else ""
    return f"training {parameters / 1e6:.1f} M parameters for {steps:,} steps in {epochs:,} epochs{more}"


def source_lines(made: Sequence[Contribution], *, planned: bool) -> list[str]:
    """Describes what each source contributes, as lines of a table.

    Args:
        made: The contributions.
        planned: Whether they are those of one epoch to come; otherwise those of all steps.
    """
    total = max(1, sum(one.draws for one in made))
    rows = [("source", "weight", "share", "draws per epoch" if planned else "draws", "stills", "videos", "persons")]
    for one in made:
        videos, persons = f"{one.videos:,}", f"{one.persons:,}"
        if not planned:
            videos, persons = f"{one.drawn_videos:,} of {videos}", f"{one.drawn_persons:,} of {persons}"
        numbers = (f"{one.source.weight:g}", f"{one.draws / total:.0%}", f"{one.draws:,}", f"{one.stills:,}")
        rows.append((printable(one.source.name), *numbers, videos, persons))
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, wide, strict=True))
        )
        for row in rows
    ]


def validation_line(report: Validation) -> str:
    """Describes the result of a validation; with several sources, also their AUC."""
    best = "  saved as best" if report.best else ""
    parts = ", ".join(f"{printable(name)} {auc:.4f}" for name, auc, _ in report.parts)
    by_source = f" (mean of {parts})" if parts else ""
    return f"epoch {report.epoch + 1}: validation AUC {report.auc:.4f}{by_source}, loss {report.loss:.4f}{best}"


def show_trained(out: OutputFolder, best: Validation, page: Path, *, as_json: bool) -> None:
    """Prints the best validation, the file of its weights, and the page.

    Args:
        out: Folder of the training.
        best: Best validation.
        page: Page with the curves.
        as_json: Whether to print one JSON object.
    """
    weights, report = out.name(out.path / "best.safetensors"), out.name(page)
    if as_json:
        click.echo(json.dumps({"weights": weights, "report": report, **asdict(best)}, indent=1))
        return
    click.echo(f"best validation AUC {best.auc:.4f}: {weights}")
    click.echo(f"curves, options and files: {report}")
    click.echo(f"next: mgst-predict VIDEO --weights {weights}")
