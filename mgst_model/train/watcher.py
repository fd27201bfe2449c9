"""Progress reports of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """Report of one step.

    Attributes:
        step: Number of the step, from 1.
        epoch: Number of the epoch, from 0.
        losses: The loss ("total") and its parts.
        rate: Learning rate.
        segments: Number of segments of the step, with the pseudo-fakes.
        seconds: Seconds of each phase.
    """

    step: int
    epoch: int
    losses: Mapping[str, float]
    rate: float
    segments: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Validation:
    """Result of the averaged weights on the validation videos.

    Attributes:
        step: Number of training steps so far.
        epoch: Number of the epoch, from 0.
        auc: AUC of segments.
        loss: Mean loss.
        best: Whether it is the best validation so far.
    """

    step: int
    epoch: int
    auc: float
    loss: float
    best: bool


class TrainWatcher:
    """Receives the progress of a training. This base class ignores it."""

    def begin(self, *, steps: int, done: int, epochs: int, parameters: int) -> None:
        """Is called when the training begins or continues.

        Args:
            steps: Number of steps of the whole training.
            done: Number of steps that are done already.
            epochs: Number of epochs of the whole training.
            parameters: Number of parameters of the network.
        """

    def see(self, report: StepReport | Validation) -> None:
        """Is called after a step or a validation."""

    def stopping(self) -> None:
        """Is called when a stop is requested. The training stops after the current step or batch.

        The call comes from a signal handler: it can interrupt any line of the main thread, including a line of this
        watcher.
        """


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Raised after a request to stop the training. The state is saved."""
