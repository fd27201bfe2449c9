"""One video after another: scored, written, shown; what cannot be scored is said, and the others go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mgst_data.core import NoFaceError, VideoError
from mgst_data.core.errors import printable
from mgst_data.processes import available_cores
from mgst_data.video.files import check_file, is_folder, is_url
from mgst_model.networks.checkpoint import load_network, read_card
from mgst_model.networks.folding import fold_batch_norms

from . import show
from .devices import choose_device, in_half
from .extraction_process import RunProcess
from .predictions import Prediction, Predictor, check_length, input_of
from .predictions_show import Wanted, folders_of, print_tracks, summary, write

FAILED, NO_FACE = 1, 3
# Windows at a time. On a CPU more of them only leave its caches.
_BATCH = {"cpu": 2, "cuda": 16}


def predict_all(
    videos: Sequence[str],
    weights: Path,
    *,
    extraction: RunProcess | None,
    device: str,
    precision: str,
    batch: int | None,
    stride: int | None,
    out: Path | None,
    threshold: float,
    video: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Scores videos and says so.

    Args:
        videos: Paths or URLs.
        weights: Of the network.
        extraction: Finds faces if the network runs on a CPU; None to do so in a thread.
        device: "cpu", "cuda", or "auto" for CUDA where there is any.
        precision: "fp32", "bf16", or "auto" for what is quicker on the device.
        batch: Windows per call of the network; None for what suits the device.
        stride: Frames from one window to the next; None for those of a window.
        out: Folder, or None for one beside each video.
        threshold: Scores above it say "fake".
        video: Whether to write the videos with what was found in them.
        as_json: Whether to print one JSON object instead of tables.
        debug: Raise what is wrong with a video instead of going on.

    Returns:
        The exit code: 1 if a video cannot be read, else 3 if one has no face, else 0.

    Raises:
        UsageError: if something is asked for that cannot be done.
        OutputError: if a folder cannot be written.
    """
    for path in videos:
        if not is_url(path) and not is_folder(path):
            check_file(path)  # a typo is said before anything is loaded
    wanted = [Wanted(folder, video, threshold) for folder in folders_of(videos, out, video=video)]
    predictor = _predictor(videos, weights, extraction, choose_device(device), precision, batch, stride)
    results, code = _each(predictor, videos, wanted, tables=not as_json, debug=debug)
    if as_json:
        click.echo(json.dumps({"weights": printable(weights), "threshold": threshold, "videos": results}, indent=1))
    return code


def _predictor(
    videos: Sequence[str],
    weights: Path,
    extraction: RunProcess | None,
    device: str,
    precision: str,
    batch: int | None,
    stride: int | None,
) -> Predictor:
    """Loads the network, while faces are extracted already where that is done in another process."""
    card = read_card(weights)
    for path in videos:
        check_length(path, card)
    if extraction is not None:
        if device == "cpu":
            spec = input_of(card)
            extraction.begin(spec, videos, threads=min(torch.get_num_threads(), _threads()))
        else:
            extraction.end()
            extraction = None
    loaded = load_network(weights, device=device)
    fold_batch_norms(loaded.network)
    half = in_half(precision, device)
    return Predictor(loaded, source=extraction, stride=stride, batch=batch or _BATCH[device], device=device, half=half)


def _each(
    predictor: Predictor,
    videos: Sequence[str],
    wanted: Sequence[Wanted],
    *,
    tables: bool,
    debug: bool,
) -> tuple[list[dict[str, Any]], int]:
    """What is said of each video, and the exit code."""
    results: list[dict[str, Any]] = []
    code = 0
    for number, (path, files_wanted) in enumerate(zip(videos, wanted, strict=True)):
        try:
            with _a_core_is_left(predictor.device):
                found, files = _scored(predictor, path, files_wanted)
        except (NoFaceError, VideoError) as error:
            if debug:
                raise
            click.echo(f"error: {error}", err=True)
            results.append({"video": printable(path), "error": str(error), "reason": error.reason})
            code = FAILED if FAILED in (code, failure := _code(error)) else failure
            continue
        results.append(summary(found, files_wanted.threshold, files))
        for note in found.notes:
            show.line(f"note: {printable(note)}", err=True)
        if tables:
            show.line("") if number else None
            print_tracks(found, files_wanted.threshold, files)
    return results, code


def _scored(predictor: Predictor, path: str, wanted: Wanted) -> tuple[Prediction, list[Path]]:
    """What was found in a video, and the files that were written of it."""
    with _progress() as progress:
        task = progress.add_task(printable(Path(path).name), total=None, doing="looking for a face")
        found = predictor(path, saw=_watch(progress, task, "scoring"))
        progress.update(task, total=found.frames)
        return found, write(found, predictor.loaded, wanted, saw=_watch(progress, task, "drawing"))


@contextmanager
def _a_core_is_left(device: str) -> Iterator[None]:
    """Within it, the network leaves one of the cores to the extraction, which runs beside it."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(min(threads, _threads()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _threads() -> int:
    """Of the network, and of the extraction beside it."""
    return max(1, available_cores() - 1)


def _code(error: NoFaceError | VideoError) -> int:
    return NO_FACE if isinstance(error, NoFaceError) else FAILED


def _watch(progress: Progress, task: TaskID, doing: str) -> Callable[[int], None]:
    return lambda done: progress.update(task, completed=done, doing=doing)


@contextmanager
def _progress() -> Iterator[Progress]:
    """What is being done, on stderr; nothing is shown outside a terminal."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.fields[doing]} {task.completed} frames"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
