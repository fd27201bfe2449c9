"""Scores inputs with several workers: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from mgst_data.core import MgstError, OutputError, VideoError
from mgst_data.core.locations import is_url
from mgst_data.extract.executors import Ending, Event, Executor, Loss, Opening, Outcome
from mgst_data.extract.executors.accidents import DIED, OUT_OF_MEMORY, TIMEOUT
from mgst_data.html.page import ASSETS
from mgst_data.shards.outputs import OutputFolder
from mgst_data.shards.worker_outputs import worker_folder
from mgst_model.predict.detector import Detector, load_detector
from mgst_model.predict.prediction import SCORES
from mgst_model.predict.runtime import Precision, Runtime, local_weights

from ..common.progress import Work, display
from ..common.spread import torch_threads
from .one import Job, attempt, discard, reserved_core
from .show import Result

# What to do about an input that has crashed its workers, by reason code.
_HINTS = {
    DIED: "it crashes the decoder or needs too much memory; score it alone, or with fewer --workers",
    TIMEOUT: "check the file, or give --video-timeout more seconds",
    OUT_OF_MEMORY: "check the file, or use a larger --worker-memory",
}
# Seconds to wait for files that another machine has written.
_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """Inputs that one worker scores, one after another.

    Attributes:
        name: Name of the task.
        records: The inputs.
    """

    name: str
    records: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that all workers load, as :func:`mgst_model.predict.load_detector` takes it.

    Attributes:
        weights: Weights; None for those that come with mgst, which may have another path on another machine.
        runtime: "torch" or "onnx".
        device: "cpu" or "cuda".
        precision: "fp32", "bf16" or "auto".
        stride: Frames from the start of one window to the next; None for the length of a window.
        batch: Windows per call of the network; None for the default of the device.
        explain: Whether to compute maps of the face.
    """

    weights: str | Path | None
    runtime: Runtime
    device: str
    precision: Precision
    stride: int | None
    batch: int | None
    explain: bool

    def load(self) -> Detector:
        """Loads the network.

        Raises:
            UsageError: if the weights cannot be read on this machine, or it does not have the device.
            ImportError: if the runtime is not installed on this machine.
        """
        with reserved_core(self.device):
            return load_detector(
                None if self.weights is None else local_weights(self.weights),
                device=self.device,
                precision=self.precision,
                stride=self.stride,
                batch=self.batch,
                runtime=self.runtime,
                explain=self.explain,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreWork:
    """Scores inputs in any process, on any machine. The network is loaded once in each process.

    An error of an input is its result. An error that concerns all inputs is raised.

    Attributes:
        network: The network.
        threads: Number of threads of the network.
        out: Path or URL of the folder of all results; "" if they are next to the inputs.
        written: Options of :func:`mgst_cli.predict.one.attempt` that all inputs share.
        folder: Folder that paths are relative to.
        wait: Seconds to wait for the folder of a worker on a machine that is lost.
    """

    network: Network
    threads: int
    out: str
    written: Mapping[str, Any]
    folder: Path
    wait: float = 0.0

    def __call__(self, task: ScoreTask, lost: Mapping[str, Loss]) -> Iterator[Event]:
        """Scores the inputs of a task, as :class:`mgst_data.extract.executors.Work` describes.

        Args:
            task: The inputs.
            lost: Inputs that have ended their workers, by key.

        Raises:
            MgstError: if this machine does not have the network or the folder of the results.
        """
        self._enter(task)
        with torch_threads(self.threads):
            yield from self._score(_loaded(self.network), task, lost)

    def _score(self, detector: Detector, task: ScoreTask, lost: Mapping[str, Loss]) -> Iterator[Event]:
        for job in task.records:
            if job.key in lost:
                yield Outcome(job.key, self._lost(job, lost[job.key]))
                continue
            yield Opening(job.key)
            with worker_folder(self.out, job.key, mark=SCORES, shared=ASSETS) as place:
                result = attempt(detector, job, place, Work(), name=job.key, wait=self.wait, **self.written)
            yield Outcome(job.key, result)
        yield Ending(task.name)

    def _enter(self, task: ScoreTask) -> None:
        """Makes the folder of the command the current one, which relative paths and messages need.

        Raises:
            MgstError: if this machine does not have it, and results would be written there.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            if is_url(self.out) or all(Path(self.out, job.folder).is_absolute() for job in task.records):
                return
            what = f"the machine {os.uname().nodename} does not have the folder {self.folder}"
            hint = "run the command in a folder that all machines share, or give a URL as --out"
            raise MgstError(what, hint=hint) from error

    def _lost(self, job: Job, loss: Loss) -> Result:
        with worker_folder(self.out, job.key) as place:
            discard(place.path / job.folder)
        error = VideoError(loss.message, where=job.item.path, hint=_HINTS[loss.reason], reason=loss.reason)
        if self.written["debug"]:
            raise error
        return Result.failed(job.item.path, error)


@lru_cache(maxsize=1)
def _loaded(network: Network) -> Detector:
    return network.load()


def score_on_workers(
    executor: Executor, work: ScoreWork, tasks: Sequence[ScoreTask], place: OutputFolder
) -> Generator[Result]:
    """Yields the results of all inputs in the order of the tasks, as soon as those before them are there.

    Args:
        executor: Runs the tasks.
        work: Scores the inputs of a task.
        tasks: The inputs.
        place: The output folder.

    Raises:
        MgstError: if workers cannot score, if another run has taken over the folder, or if the results are not in it.
    """
    keys = [job.key for task in tasks for job in task.records]
    there: dict[str, Result] = {}
    progress, done, shown = Work("starting the workers", unit="inputs"), 0, 0
    with closing(executor.map(work, tasks)) as events:
        while True:
            with display(progress, interval=None):
                event = next(events, None)
            if event is None:
                return
            if not isinstance(event, Outcome):
                continue
            there[event.key], done = cast("Result", event.value), done + 1
            progress.tell("scoring", done=done, total=len(keys))
            while shown < len(keys) and keys[shown] in there:
                result = there.pop(keys[shown])
                _check_files(result)
                place.upload()  # the workers upload the files, and this checks the lock
                yield result
                shown += 1


def _check_files(result: Result) -> None:
    """Checks that a file that a worker has written is here. A file system of several machines may need a while for it.

    Raises:
        OutputError: if it is not, because the worker has written to a disk of its own.
    """
    file = next(iter(result.about.get("files", ())), None)
    if file is None or is_url(file):
        return
    end = time.monotonic() + _WAIT
    while not Path(file).exists():
        if time.monotonic() > end:
            what = "a worker has written this file, but it is not here"
            raise OutputError(what, where=file, hint="give --out a folder that all machines share, or a URL")
        time.sleep(0.5)
