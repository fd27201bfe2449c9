"""Scores inputs one after another. An input that cannot be scored is reported and does not stop the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from mgst_data.core import NoFaceError
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.shards.outputs import OutputFolder, output_folder
from mgst_data.shards.worker_outputs import reserved_folder
from mgst_model.evaluate.crops import InputSpec
from mgst_model.networks.checkpoint import PACKAGED, NetworkCard, read_card
from mgst_model.predict.detector import Detector, load_detector
from mgst_model.predict.prediction import SCORES
from mgst_model.predict.process import RunProcess
from mgst_model.predict.runtime import Precision, Runtime, load_exported, local_weights, runtime_of

from ..common.inputs import find_inputs
from ..common.progress import Work, display
from ..common.show import count, line
from ..common.spread import Spread
from .one import Job, attempt, fitting, network_threads, reserved_core, threshold_of
from .show import Result, folders_of, print_result, shared_assets
from .threshold import Wanted
from .workers import Network, ScoreTask, ScoreWork, score_on_workers

# Exit codes of an input. That of the command is the last one in this order that an input has.
DONE, NO_FACE, FAILED = CODES = (0, 3, 1)


def predict_all(
    videos: Sequence[str],
    weights: str | Path | None,
    *,
    extraction: RunProcess | None,
    spread: Spread | None,
    runtime: Runtime | None,
    device: str,
    precision: Precision,
    batch: int | None,
    stride: int | None,
    out: str | Path | None,
    wanted: Wanted | None,
    explain: bool,
    video: bool,
    report: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Scores videos, writes the results and prints them.

    Args:
        videos: Paths, URLs, folders, lists and patterns.
        weights: File or folder of the weights, by path or URL, or ``hf://user/name``; None for those that come with
            mgst.
        extraction: Process that finds faces if the network runs on a CPU; None to find them in a thread.
        spread: How inputs are distributed to workers; None to score them in this process.
        runtime: "torch" or "onnx"; None for the one that suits the weights.
        device: "cpu", "cuda", or "auto" for CUDA if it is available.
        precision: "fp32", "bf16", or "auto" for the faster one on the device.
        batch: Windows per call of the network; None for the default of the device.
        stride: Frames from the start of one window to the next; None for the length of a window.
        out: Path or URL of the output folder; None for a folder next to each video.
        wanted: A score above which a video is called fake, or a false-positive rate; None for the default of the
            network.
        explain: Whether to compute maps of the face.
        video: Whether to write a copy of each video with the scores drawn into it.
        report: Whether to write a page about each video.
        as_json: Whether to print one JSON object instead of tables.
        debug: Whether to raise the error of a video instead of continuing with the next.

    Returns:
        The exit code: 1 if a video cannot be read, else 3 if one has no face, else 0.

    Raises:
        UsageError: if an option or the weights are not valid.
        OutputError: if a folder cannot be written.
        KeyboardInterrupt: After a line with the number of finished inputs.
    """
    name = "mgst" if weights is None else printable(weights)
    given, weights = weights, weights or PACKAGED
    runtime = runtime_of(weights, runtime)
    weights = local_weights(weights)  # downloaded once
    card = read_card(weights) if runtime == "torch" else _exported(weights, device, precision)
    inputs = [fitting(item, card) for item in find_inputs(videos, results=SCORES)]
    thresholds = [threshold_of(card, item, wanted) for item in inputs]
    if card.caution:
        line(f"note: {card.caution}", err=True)
    results: list[Result] = []
    open_folder = partial(output_folder, wanted=lambda _: False, mark=SCORES) if spread is None else reserved_folder
    try:
        with open_folder(out or "") as place:
            base = None if out is None else place.path
            folders = folders_of(inputs, base, video=video)
            numbered = enumerate(zip(inputs, folders, thresholds, strict=True))
            jobs = [Job(f"{i:06d}", item, _within(place, folder), score) for i, (item, folder, score) in numbered]
            assets = shared_assets(inputs, base)
            written: dict[str, Any] = {
                "assets": None if assets is None else _within(place, assets),
                "video": video,
                "report": report,
                # The page of a video is for another machine if it is uploaded: it does not play the original from here.
                "linked": not place.remote,
                "debug": debug,
            }
            options: dict[str, Any] = {"stride": stride, "batch": batch, "precision": precision, "explain": explain}
            options["runtime"] = runtime
            if spread is None:
                device = choose_device(device) if runtime == "torch" else "cpu"
                faces = _start(extraction, card, [item.path for item in inputs if item.problem is None], device)
                with reserved_core(device):
                    detector = load_detector(weights, device=device, faces=faces, **options)
                scored = _one_after_another(detector, jobs, place, written)
            else:
                scored = _on_workers(spread, jobs, device, options, given, place, written)
            with closing(scored):
                for result in scored:
                    print_result(result, first=not results, faces=not as_json)
                    results.append(result)
    except KeyboardInterrupt:
        done = f"{len(results):,} of {count(len(inputs), 'input')} done"
        line(f"{done}; their files are complete", err=True)
        raise
    if as_json:
        about = {
            "weights": name,
            "threshold": card.threshold if wanted is None else str(wanted) if wanted.is_rate else wanted.value,
            "caution": card.caution,
        }
        click.echo(json.dumps({**about, "videos": [result.about for result in results]}, indent=1))
    elif len(inputs) > 1:
        line(f"\n{_tally(results)}")
    return max((_code(result) for result in results), key=CODES.index, default=DONE)


def _exported(weights: str | Path, device: str, precision: Precision) -> NetworkCard:
    """Returns the card of a network for ONNX Runtime. Weights are exported the first time, which takes a while.

    Raises:
        UsageError: if the weights cannot be read, or the runtime has no such device or precision.
        ImportError: if ONNX Runtime is not installed.
    """
    if not str(weights).lower().endswith(".onnx"):
        from mgst_model.export.runtime import kept_export

        path, there = kept_export(weights)
        if not there:
            line(f"exporting the network once, which takes up to a minute: {printable(path)}", err=True)
    return load_exported(weights, device=device, precision=precision)


def _within(place: OutputFolder, path: Path) -> Path:
    """Returns a path relative to the folder of all results, if it is in it."""
    return path.relative_to(place.path) if path.is_relative_to(place.path) else path


def _one_after_another(
    detector: Detector, jobs: Sequence[Job], place: OutputFolder, written: Mapping[str, Any]
) -> Generator[Result]:
    """Scores the inputs in this process."""
    for number, job in enumerate(jobs, start=1):
        name = (f"{number:,}/{len(jobs):,} " if len(jobs) > 1 else "") + printable(Path(job.item.path).name)
        work = Work(f"{name}: searching for a face", unit="frames")
        with display(work, interval=None):
            result = attempt(detector, job, place, work, name=name, **written)
        yield result


def _on_workers(
    spread: Spread,
    jobs: Sequence[Job],
    device: str,
    network: Mapping[str, Any],
    weights: str | Path | None,
    place: OutputFolder,
    written: Mapping[str, Any],
) -> Generator[Result]:
    """Scores the inputs on workers. ``network`` has further options of :class:`Network`.

    Raises:
        UsageError: if an option of the executor is not valid.
        ImportError: if the executor is not installed.
        MgstError: if the workers cannot score.
    """
    executor, device = spread.begin(device if network["runtime"] == "torch" else "cpu")
    work = ScoreWork(
        network=Network(weights=weights, device=device, **network),
        threads=spread.threads,
        out=place.location,
        written=written,
        folder=Path.cwd(),
        wait=spread.wait,
    )
    size = spread.size(len(jobs), device)
    tasks = [ScoreTask(jobs[i].key, tuple(jobs[i : i + size])) for i in range(0, len(jobs), size)]
    yield from score_on_workers(executor, work, tasks, place)


def _tally(results: Sequence[Result]) -> str:
    """Counts the inputs by verdict or error."""
    counts = Counter(result.about.get("verdict") or result.about["reason"] for result in results)
    return f"{count(len(results), 'input')}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _start(extraction: RunProcess | None, card: NetworkCard, paths: Sequence[str], device: str) -> RunProcess | None:
    """Starts the process that finds faces before the network is loaded. Returns None if a thread finds them."""
    if extraction is None:
        return None
    if device != "cpu":
        extraction.end()
        return None
    extraction.begin(InputSpec.of(card), paths, threads=min(torch.get_num_threads(), network_threads()))
    return extraction


def _code(result: Result) -> int:
    """Returns the exit code of an input."""
    if result.error is None:
        return DONE
    return NO_FACE if isinstance(result.error, NoFaceError) else FAILED
