"""Progress reports of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgst_data.shards.contributions import Contribution


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
        best: Whether its weights are saved as ``best``.
        parts: Name, AUC and loss of each source, if there are several; ``auc`` and ``loss`` are then their means.
    """

    step: int
    epoch: int
    auc: float
    loss: float
    best: bool
    parts: tuple[tuple[str, float, float], ...] = ()


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

    def sources(self, made: Sequence[Contribution], *, planned: bool) -> None:
        """Is called before and after a training with several sources.

        Args:
            made: What each source contributes.
            planned: True before the training, for one epoch; False after it, for all steps.
        """

    def see(self, report: StepReport | Validation) -> None:
        """Is called after a step or a validation."""

    def saved(self) -> None:
        """Is called in the first process when the state was saved, from which the training can continue."""

    def stopping(self) -> None:
        """Is called when a stop is requested. The training stops after the current step or batch.

        The call comes from a signal handler: it can interrupt any line of the main thread, including a line of this
        watcher.
        """


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Raised after a request to stop the training. The state is saved."""
