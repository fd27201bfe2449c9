"""One video after another: scored, written, shown. What cannot be scored is reported, and the others go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mgst_data.core import MgstError, NoFaceError, OutputError, VideoError
from mgst_data.core.errors import printable
from mgst_data.processes import available_cores
from mgst_data.shards.lock import FolderLock
from mgst_model.networks.checkpoint import NetworkCard, load_network, read_card
from mgst_model.networks.folding import fold_batch_norms

from . import show
from .devices import choose_device, in_half
from .extraction_process import RunProcess
from .inputs import Input, find_inputs
from .predictions import Prediction, Predictor, check_length, input_of
from .predictions_show import SCORES, Wanted, folders_of, print_tracks, summary, write

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
    """Scores videos and shows the results.

    Args:
        videos: Paths, URLs, folders, lists and patterns.
        weights: Weights of the network.
        extraction: Finds faces if the network runs on a CPU; None to do so in a thread.
        device: "cpu", "cuda", or "auto" for CUDA where there is any.
        precision: "fp32", "bf16", or "auto" for what is quicker on the device.
        batch: Windows per call of the network; None for what suits the device.
        stride: Frames from one window to the next; None for those of a window.
        out: Folder, or None for one beside each video.
        threshold: Scores above it are called fake.
        video: Whether to write the videos with the scores drawn in.
        as_json: Whether to print one JSON object instead of tables.
        debug: Raise what is wrong with a video instead of going on.

    Returns:
        The exit code: 1 if a video cannot be read, else 3 if one has no face, else 0.

    Raises:
        UsageError: if something is asked for that cannot be done.
        OutputError: if a folder cannot be written.
    """
    card = read_card(weights)
    inputs = [_fits(item, card) for item in find_inputs(videos, results=SCORES)]
    wanted = [
        Wanted(folder, item.stem, video, threshold)
        for item, folder in zip(inputs, folders_of(inputs, out, video=video), strict=True)
    ]
    sound = [item.path for item in inputs if item.problem is None]
    if card.caution:
        show.line(f"note: {card.caution}", err=True)
    results: list[dict[str, Any]] = []
    try:
        predictor = _predictor(sound, weights, card, extraction, choose_device(device), precision, batch, stride)
        code = _each(predictor, inputs, wanted, results, tables=not as_json, debug=debug)
    except KeyboardInterrupt:
        done = f"{len(results):,} of {show.count(len(inputs), 'input')} done"
        show.line(f"{done}; the files written of these are complete", err=True)
        raise
    if as_json:
        about = {"weights": printable(weights), "threshold": threshold, "caution": card.caution}
        click.echo(json.dumps({**about, "videos": results}, indent=1))
    elif len(inputs) > 1:
        show.line(f"\n{_tally(results)}")
    return code


def _fits(item: Input, card: NetworkCard) -> Input:
    """The input, with its problem if it is too short for the network."""
    try:
        check_length(item.path, card)
    except VideoError as error:
        return replace(item, problem=item.problem or error)
    return item


def _tally(results: Sequence[dict[str, Any]]) -> str:
    """How many came out how, in words."""
    counts = Counter(result.get("verdict") or result["reason"] for result in results)
    return f"{show.count(len(results), 'input')}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _predictor(
    videos: Sequence[str],
    weights: Path,
    card: NetworkCard,
    extraction: RunProcess | None,
    device: str,
    precision: str,
    batch: int | None,
    stride: int | None,
) -> Predictor:
    """Loads the network, while faces are extracted already where that is done in another process."""
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
    inputs: Sequence[Input],
    wanted: Sequence[Wanted],
    results: list[dict[str, Any]],
    *,
    tables: bool,
    debug: bool,
) -> int:
    """Scores each input, and puts what is known of it into ``results``; returns the exit code."""
    code = 0
    for number, (item, files_wanted) in enumerate(zip(inputs, wanted, strict=True)):
        place = f"{number + 1:,}/{len(inputs):,} " if len(inputs) > 1 else ""
        try:
            if item.problem:
                raise item.problem
            with _a_core_is_left(predictor.device), _folder_of(files_wanted):
                found, files = _scored(predictor, item.path, files_wanted, place)
        except (NoFaceError, VideoError, OutputError) as error:
            if debug or (isinstance(error, OutputError) and error.reason != "locked"):
                raise
            click.echo(f"error: {error}", err=True)
            results.append({"video": printable(item.path), "error": str(error), "reason": error.reason})
            code = FAILED if FAILED in (code, failure := _code(error)) else failure
            continue
        results.append(summary(found, files_wanted.threshold, files))
        for note in found.notes:
            show.line(f"note: {printable(note)}", err=True)
        if tables:
            show.line("") if number else None
            print_tracks(found, files_wanted.threshold, files)
    return code


@contextmanager
def _folder_of(wanted: Wanted) -> Iterator[None]:
    """Keeps other runs out of the folder meanwhile; leaves none behind in which nothing was written."""
    new = not wanted.folder.exists()
    try:
        with FolderLock(wanted.folder):
            yield
    finally:
        if new and wanted.folder.is_dir() and not any(wanted.folder.iterdir()):
            wanted.folder.rmdir()


def _scored(predictor: Predictor, path: str, wanted: Wanted, place: str) -> tuple[Prediction, list[Path]]:
    """What was found in a video, and the files that were written of it."""
    with _progress() as progress:
        task = progress.add_task(place + printable(Path(path).name), total=None, doing="looking for a face")
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


def _code(error: MgstError) -> int:
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
