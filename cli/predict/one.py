"""Scores one video or picture and writes its results. ``mgst-predict`` and ``mgst-app`` share this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mgst_data.core import NoFaceError, OutputError, VideoError
from mgst_data.processes import available_cores
from mgst_data.shards.lock import FolderLock
from mgst_data.shards.outputs import OutputFolder
from mgst_data.shards.storage import PART, output_errors
from mgst_model.networks.checkpoint import NetworkCard
from mgst_model.predict.detector import Detector, check_length
from mgst_model.predict.faces import is_picture
from mgst_model.predict.prediction import VideoPrediction

from ..common.inputs import Input
from ..common.progress import Work
from .show import Result
from .threshold import Wanted


@dataclass(frozen=True, slots=True)
class Job:
    """One of several inputs to score.

    Attributes:
        key: Number of the input, as a name for files.
        item: The input.
        folder: Folder of its results, within the folder of all results.
        threshold: A score above it is called fake.
    """

    key: str
    item: Input
    folder: Path
    threshold: float


def fitting(item: Input, card: NetworkCard) -> Input:
    """Returns the input, with a problem if it is too short for the network.

    Args:
        item: The input.
        card: Card of the network.
    """
    try:
        check_length(item.path, card)
    except VideoError as error:
        return replace(item, problem=item.problem or error)
    return item


def threshold_of(card: NetworkCard, item: Input, wanted: Wanted | None) -> float:
    """Returns the threshold of an input. Pictures have their own, if the network is calibrated with pictures.

    Args:
        card: Card of the network.
        item: The input.
        wanted: What the user asked for; None for the default of the network.

    Raises:
        UsageError: if a false-positive rate is wanted that the network cannot hold.
    """
    picture = is_picture(item.path)
    if wanted is not None:
        return card.threshold_at(wanted.value, picture=picture) if wanted.is_rate else wanted.value
    return card.threshold_at(picture=picture and card.calibration(picture=True) is not None)


def score_one(
    detector: Detector,
    item: Input,
    folder: Path,
    threshold: float,
    work: Work,
    *,
    name: str,
    label: str = "",
    wait: float = 0.0,
    **written: Any,
) -> tuple[VideoPrediction, list[Path]]:
    """Scores one input and writes the results.

    Args:
        detector: The detector.
        item: The input.
        folder: Folder of the results.
        threshold: A score above it is called fake.
        work: Progress that is told what is being done. If it raises an exception, the scoring ends with it.
        name: Name of the input for the progress.
        label: What the results call the input; "" for its path or URL.
        wait: Seconds to wait while another run writes into the folder.
        **written: What to write: further options of :meth:`mgst_model.predict.VideoPrediction.save`.

    Returns:
        Its scores and the files that were written.

    Raises:
        NoFaceError: if it has no face that can be scored.
        VideoError: if it cannot be read.
        OutputError: if the folder cannot be written, or another run writes into it.
    """
    if item.problem:
        raise item.problem
    with reserved_core(detector.device), _locked(folder, wait):
        found = detector.predict(item.path, saw=lambda done: work.tell(f"{name}: scoring", done=done))
        found = replace(found, label=label)
        files = found.save(
            folder,
            stem=item.stem,
            threshold=threshold,
            **written,
            saw=lambda done: work.tell(f"{name}: drawing", done=done, total=found.frames),
        )
    return found, files


def attempt(
    detector: Detector,
    job: Job,
    place: OutputFolder,
    work: Work,
    *,
    name: str,
    debug: bool,
    assets: Path | None = None,
    wait: float = 0.0,
    **written: Any,
) -> Result:
    """Scores one input of several: an error of the input is a result, and does not stop the others.

    Args:
        detector: The detector.
        job: What to score.
        place: Folder that has the folders of all results.
        work: Progress that is told what is being done.
        name: Name of the input for the progress.
        debug: Whether an error of the input is raised.
        assets: Folder of the scripts that all pages share, within ``place``; None if each page is a single file.
        wait: Seconds to wait while another run writes into the folder.
        **written: As for :func:`score_one`.

    Raises:
        NoFaceError: if ``debug`` is set and the input has no face.
        VideoError: if ``debug`` is set and the input cannot be read.
        OutputError: if the folder cannot be written.
    """
    folder = place.path / job.folder
    assets = None if assets is None else place.path / assets
    try:
        found, made = score_one(
            detector, job.item, folder, job.threshold, work, name=name, assets=assets, wait=wait, **written
        )
    except (NoFaceError, VideoError, OutputError) as error:
        if debug or (isinstance(error, OutputError) and error.reason != "locked"):
            raise
        return Result.failed(job.item.path, error)
    place.upload(*(() if folder == place.path else filter(None, (folder, assets))))
    place.drop(folder)
    return Result.of(found, job.threshold, [place.name(path) for path in made])


def discard(folder: Path) -> None:
    """Deletes what a worker that was ended has left in the folder of an input: unfinished files, and its lock.

    Args:
        folder: The folder. It is deleted if it is empty then. If another run writes into it, nothing is done.

    Raises:
        OutputError: if the folder cannot be written.
    """
    if not folder.is_dir():
        return
    try:
        with FolderLock(folder), output_errors(folder):
            for path in folder.glob(f"*{PART}"):
                path.unlink()
    except OutputError as error:
        if error.reason != "locked":
            raise
        return
    if not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def _locked(folder: Path, wait: float) -> Iterator[None]:
    """Locks the folder against other runs. At the end, removes it if it is new and empty."""
    new = not folder.exists()
    try:
        with FolderLock(folder, wait=wait):
            yield
    finally:
        if new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def reserved_core(device: str) -> Iterator[None]:
    """Leaves one core to the extraction, which runs in parallel with the network.

    Args:
        device: Device of the network; only on "cpu" does it compute on cores.
    """
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(min(threads, network_threads()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def network_threads() -> int:
    """Returns the number of threads of the network, and also of the extraction."""
    return max(1, available_cores() - 1)
