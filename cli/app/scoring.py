"""Scores the files of the app one after another, with the functions of ``mgst-predict``."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from mgst_data.core import MgstError
from mgst_data.core.errors import printable
from mgst_data.html.links import link
from mgst_data.shards.storage import output_errors
from mgst_model.networks.checkpoint import PACKAGED
from mgst_model.predict.detector import Detector, load_detector
from mgst_model.predict.prediction import SCORES
from mgst_model.predict.report import REPORT
from mgst_model.predict.runtime import local_weights

from ..common.inputs import beside, one_input
from ..common.progress import Work
from ..predict.one import fitting, score_one, threshold_of
from ..predict.threshold import parse_threshold

# Folder of the results, and the path under which the server has them.
RESULTS = "results"
# Seconds between two looks at the progress.
_INTERVAL = 0.25


class StoppedError(Exception):
    """The user stopped a scoring, or the app ends."""


class Progress(Work):
    """Progress of one file. Whoever reports progress is stopped by it once :meth:`stop` was called.

    Args:
        text: What is being done at first.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text, unit="frames")
        self.stopped = False

    def stop(self) -> None:
        """Stops the scoring at its next report."""
        self.stopped = True

    def tell(self, text: str, *, done: float = 0, total: float | None = None) -> None:
        """Updates the progress.

        Args:
            text: What is being done.
            done: Number of units that are done.
            total: Number of all units; None if it is unknown.

        Raises:
            StoppedError: if the scoring is to end.
        """
        if self.stopped:
            raise StoppedError
        super().tell(text, done=done, total=total)


@dataclass(frozen=True, slots=True)
class Scored:
    """The results of a file, as links for the page of the app.

    Attributes:
        name: Name of the file.
        page: The page that ``mgst-predict`` writes.
        scores: The scores as JSON.
        everything: ZIP file with the page, the file itself and all other results.
    """

    name: str
    page: str
    scores: str
    everything: str


class Scorer:
    """Scores one file at a time. Use it as a context manager, which stops a running scoring at the end.

    Args:
        weights: File or folder of the weights, by path or URL, or ``hf://user/name``; None for those that come with
            mgst.
        device: "cpu", "cuda", or "auto" for CUDA if it is available.
        folder: Folder for the results of all files. It is created.

    Raises:
        UsageError: if the weights are not valid, or the device does not exist.
        ImportError: if a package of the network is not installed.
    """

    def __init__(self, weights: str | Path | None, *, device: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._weights = local_weights(weights or PACKAGED)
        self._device = device
        self._plain = self._load(explain=False)
        self._explaining: Detector | None = None
        # One thread: files are scored one after another.
        self._pool = ThreadPoolExecutor(1)
        self._running: dict[str, Progress] = {}

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._pool.shutdown(cancel_futures=True)

    @property
    def explains(self) -> bool:
        """Whether maps of the face can be computed. Networks with patch scores have a heat map without them."""
        return self._plain.loaded.shortest == 1

    @property
    def threshold(self) -> float:
        """Threshold of videos that the network has by itself."""
        return self._plain.loaded.threshold_at()

    @property
    def calibrated(self) -> bool:
        """Whether a threshold can be a false-positive rate."""
        return self._plain.loaded.calibration() is not None

    def stop(self, upload: str | None) -> None:
        """Stops the scoring of a file, if it is scored or waits.

        Args:
            upload: The file; None if there is none.
        """
        if upload in self._running:
            self._running[upload].stop()

    def close(self) -> None:
        """Stops all scorings."""
        for progress in list(self._running.values()):
            progress.stop()

    def score(self, upload: str, *, threshold: str, explain: bool) -> Generator[Progress, None, Scored]:
        """Scores a file in a thread.

        Args:
            upload: The file.
            threshold: A score or a false-positive rate, as ``--threshold`` takes it; "" for the network's own.
            explain: Whether to compute maps of the face.

        Yields:
            The progress, several times a second.

        Returns:
            The results.

        Raises:
            MgstError: if the file cannot be scored. The message names the file without its folder.
            ValueError: if the threshold is not one.
            ImportError: if a package is not installed.
            StoppedError: if :meth:`stop` or :meth:`close` was called.
        """
        name = printable(Path(upload).name)
        progress = Progress("waiting for another file" if self._running else f"{name}: searching for a face")
        self._running[upload] = progress
        job: Future[Scored] = self._pool.submit(self._score, upload, name, threshold, explain, progress)
        try:
            while not wait([job], timeout=_INTERVAL).done:
                if progress.stopped:  # the thread ends at its next report
                    raise StoppedError
                yield progress
            return job.result()
        finally:
            progress.stop()  # also if the browser has gone
            self._running.pop(upload, None)

    def _score(self, upload: str, name: str, threshold: str, explain: bool, progress: Progress) -> Scored:
        wanted = parse_threshold(threshold) if threshold.strip() else None
        progress.tell(f"{name}: searching for a face")
        detector = self._detector(explain=explain)
        # A folder of its own, whose name cannot be guessed.
        place = self.folder / secrets.token_urlsafe(12)
        with output_errors(place):
            place.mkdir()
        done = False
        try:
            item = fitting(one_input(_linked(Path(upload), place)), detector.loaded)
            level = threshold_of(detector.loaded, item, wanted)
            folder = beside(item.path, "scores")
            score_one(detector, item, folder, level, progress, name=name, label=name)
            done = True
        except MgstError as error:
            where = error.where.replace(printable(place) + os.sep, "")
            raise type(error)(error.what, where=where, hint=error.hint, reason=error.reason) from error
        finally:
            if not done:
                shutil.rmtree(place, ignore_errors=True)
        everything = place / f"{folder.name}.zip"
        with output_errors(everything):
            _pack(place, everything)
        files = (folder / REPORT, folder / SCORES, everything)
        return Scored(name, *(f"{RESULTS}/{link(path, self.folder)}" for path in files))

    def _detector(self, *, explain: bool) -> Detector:
        if not (explain and self.explains):
            return self._plain
        if self._explaining is None:
            self._explaining = self._load(explain=True)
        return self._explaining

    def _load(self, *, explain: bool) -> Detector:
        return load_detector(self._weights, device=self._device, explain=explain)


def _linked(upload: Path, place: Path) -> str:
    """Puts a file into a folder, without copying it where the file system allows."""
    inside = place / upload.name
    try:
        inside.hardlink_to(upload)
    except OSError:
        with output_errors(inside):
            shutil.copyfile(upload, inside)
    return str(inside)


def _pack(folder: Path, file: Path) -> None:
    """Writes all files of a folder into a ZIP file. They are compressed already."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(file, "w") as archive:
        for path in found:
            archive.write(path, path.relative_to(folder))
