"""What a training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step: its number from 1, the loss and its parts, learning rate, segments seen, seconds of each phase."""

    step: int
    epoch: int
    losses: Mapping[str, float]
    rate: float
    segments: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Validation:
    """How good the averaged weights are on the videos held out: area under the ROC curve of segments, and loss."""

    step: int
    epoch: int
    auc: float
    loss: float
    best: bool


class TrainWatcher:
    """Is told how a training goes on; this one takes no notice."""

    def begin(self, *, steps: int, done: int, epochs: int, parameters: int) -> None:
        """It begins, or goes on after ``done`` steps."""

    def see(self, report: StepReport | Validation) -> None:
        """A step, or a validation, is done."""

    def stopping(self) -> None:
        """The training was asked to stop, and does so after the step or the batch it is at.

        Called in a signal handler, at once: it may interrupt any line of the main thread, also one of this watcher.
        """


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A training was asked to stop; its state is saved."""
