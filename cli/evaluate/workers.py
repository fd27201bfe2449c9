"""Scores shards with several workers: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from mgst_data.core import MgstError, UsageError
from mgst_data.core.errors import printable
from mgst_data.extract.executors import Ending, Event, Loss, Opening, Outcome
from mgst_model.evaluate.cache import (
    NamedNetwork,
    Part,
    ScoreWatcher,
    Scoring,
    load_detectors,
    missing_parts,
    score_part,
)
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.score import Disturbance

from ..common.spread import Spread, torch_threads


@dataclass(frozen=True, slots=True)
class Given:
    """A detector as the user gave it, which a worker loads.

    Attributes:
        place: Weights, or the place of a detector of others.
        plugged: Whether it is a detector of others.
    """

    place: str | Path
    plugged: bool = False

    def load(self) -> NamedNetwork:
        """Loads the detector.

        Raises:
            UsageError: if it cannot be loaded on this machine.
        """
        (detector,) = load_detectors((), [str(self.place)]) if self.plugged else load_detectors([self.place])
        return detector


@dataclass(frozen=True, slots=True)
class PartJob:
    """One set of scores to make: one detector on one folder of shards, clean or perturbed.

    Attributes:
        key: Number of the set.
        given: The detector.
        name: Name of the detector in tables.
        digest: Digest of its files on the machine of the command.
        location: Folder of shards, by path or URL.
        disturbance: The perturbation; None for clean videos.
    """

    key: str
    given: Given
    name: str
    digest: str
    location: str
    disturbance: Disturbance | None


@dataclass(frozen=True, slots=True)
class PartTask:
    """A set of scores that one worker makes.

    Attributes:
        name: Name of the task.
        records: The set.
    """

    name: str
    records: tuple[PartJob, ...]


@dataclass(frozen=True, slots=True)
class PartWork:
    """Makes sets of scores in any process, on any machine. A detector is loaded once in each process.

    Attributes:
        scoring: Options of scoring, with the device of the workers.
        threads: Number of threads of the network.
        folder: Folder that paths are relative to.
    """

    scoring: Scoring
    threads: int
    folder: Path

    def __call__(self, task: PartTask, lost: Mapping[str, Loss]) -> Iterator[Event]:
        """Makes the scores of a task, as :class:`mgst_data.extract.executors.Work` describes.

        The outcome is :class:`Predictions`, or the :class:`Loss` of a set that has crashed its workers.

        Args:
            task: The set of scores.
            lost: Sets that have ended their workers, by key.

        Raises:
            MgstError: if the detector or the shards cannot be read on this machine.
        """
        with suppress(OSError):  # without this folder, a relative path is reported as missing
            os.chdir(self.folder)
        with torch_threads(self.threads):
            for job in task.records:
                if job.key in lost:
                    yield Outcome(job.key, lost[job.key])
                    continue
                yield Opening(job.key)
                yield Outcome(job.key, self._score(job))
        yield Ending(task.name)

    def _score(self, job: PartJob) -> Predictions:
        """Scores a set.

        Raises:
            UsageError: if the detector is another one on this machine.
        """
        detector = _loaded(job.given)
        if detector.digest != job.digest:
            what = f"the machine {os.uname().nodename} has other weights than the one of the command"
            raise UsageError(what, where=printable(job.given.place), hint="copy the same weights to all machines")
        return score_part(
            replace(detector, name=job.name), job.location, job.disturbance, self.scoring, self.scoring.device
        )


@lru_cache(maxsize=1)
def _loaded(given: Given) -> NamedNetwork:
    return given.load()


def make_parts_on_workers(
    spread: Spread,
    given: Mapping[str, Given],
    parts: Sequence[Part],
    scoring: Scoring,
    watcher: ScoreWatcher,
    *,
    again: bool,
) -> None:
    """Scores the parts that do not exist yet, or all parts again, as :func:`make_parts` does.

    Args:
        spread: How the parts are distributed.
        given: The detectors as the user gave them, by name.
        parts: Parts to score.
        scoring: Options of scoring.
        watcher: Receives the progress.
        again: Score parts that exist already, too.

    Raises:
        UsageError: if an option is not valid, or a machine has other weights.
        ShardError: if a shard is damaged.
        OutputError: if scores cannot be written.
        MgstError: if two workers have crashed at the same part, or no worker can score.
    """
    todo = missing_parts(parts, again=again)
    watcher.begin(len(todo), len(parts) - len(todo))
    if not todo:
        return
    executor, device = spread.begin(scoring.device)
    work = PartWork(replace(scoring, device=device), spread.threads, Path.cwd())
    tasks = [_task(f"{number:06d}", part, given[part.detector.name]) for number, part in enumerate(todo)]
    with closing(executor.map(work, tasks)) as events:
        for event in events:
            if not isinstance(event, Outcome):
                continue
            part = todo[int(event.key)]
            if isinstance(event.value, Loss):
                hint = "complete scores are kept; use fewer --workers, or --executor serial"
                raise MgstError(event.value.message, where=part.label, hint=hint, reason=event.value.reason)
            watcher.turn(part.label)
            scored = cast("Predictions", event.value)
            watcher.saw(len(scored), len(scored))
            scored.save(part.folder)
            watcher.saved()


def _task(key: str, part: Part, given: Given) -> PartTask:
    detector = part.detector
    return PartTask(key, (PartJob(key, given, detector.name, detector.digest, part.tested.location, part.disturbance),))
