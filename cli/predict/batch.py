"""Scores inputs one after another. An input that cannot be scored is reported and does not stop the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch

from mgst_data.core import MgstError, NoFaceError, OutputError, VideoError
from mgst_data.core.devices import choose_device
from mgst_data.core.errors import printable
from mgst_data.shards.outputs import OutputFolder, output_folder
from mgst_model.evaluate.crops import InputSpec
from mgst_model.networks.checkpoint import PACKAGED, NetworkCard, read_card
from mgst_model.predict.detector import Detector, load_detector
from mgst_model.predict.prediction import SCORES
from mgst_model.predict.process import RunProcess
from mgst_model.predict.runtime import Precision, Runtime, load_exported, local_weights, runtime_of

from ..common.inputs import Input, find_inputs
from ..common.progress import Work, display
from ..common.show import count, line
from .one import fitting, network_threads, reserved_core, score_one, threshold_of
from .show import folders_of, print_tracks, shared_assets, summary
from .threshold import Wanted

FAILED, NO_FACE = 1, 3


def predict_all(
    videos: Sequence[str],
    weights: str | Path | None,
    *,
    extraction: RunProcess | None,
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
    weights = weights or PACKAGED
    runtime = runtime_of(weights, runtime)
    weights = local_weights(weights)  # downloaded once
    card = read_card(weights) if runtime == "torch" else _exported(weights, device, precision)
    inputs = [fitting(item, card) for item in find_inputs(videos, results=SCORES)]
    thresholds = [threshold_of(card, item, wanted) for item in inputs]
    if card.caution:
        line(f"note: {card.caution}", err=True)
    results: list[dict[str, Any]] = []
    try:
        with output_folder(out or "", wanted=lambda _: False, mark=SCORES) as place:
            base = None if out is None else place.path
            jobs = list(zip(inputs, folders_of(inputs, base, video=video), thresholds, strict=True))
            # The page of a video is for another machine if it is uploaded: it does not play the original from here.
            written = {"video": video, "report": report, "linked": not place.remote}
            device = choose_device(device) if runtime == "torch" else "cpu"
            faces = _start(extraction, card, [item.path for item in inputs if item.problem is None], device)
            options: dict[str, Any] = {"stride": stride, "batch": batch, "faces": faces, "explain": explain}
            with reserved_core(device):
                detector = load_detector(weights, device=device, precision=precision, runtime=runtime, **options)
            assets = shared_assets(inputs, base)
            code = _each(detector, jobs, place, assets, results, written, tables=not as_json, debug=debug)
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
        click.echo(json.dumps({**about, "videos": results}, indent=1))
    elif len(inputs) > 1:
        line(f"\n{_tally(results)}")
    return code


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


def _each(
    detector: Detector,
    jobs: Sequence[tuple[Input, Path, float]],
    place: OutputFolder,
    assets: Path | None,
    results: list[dict[str, Any]],
    written: Mapping[str, Any],
    *,
    tables: bool,
    debug: bool,
) -> int:
    """Scores each input and appends its result to ``results``. Returns the exit code.

    A job is an input, the folder of its results, and its threshold. ``written`` has the options of
    :meth:`VideoPrediction.save` that all inputs share.

    Raises:
        NoFaceError: if ``debug`` is set and a video has no face.
        VideoError: if ``debug`` is set and a video cannot be read.
        OutputError: if a folder cannot be written.
    """
    code = 0
    for number, (item, folder, threshold) in enumerate(jobs):
        name = (f"{number + 1:,}/{len(jobs):,} " if len(jobs) > 1 else "") + printable(Path(item.path).name)
        work = Work(f"{name}: searching for a face", unit="frames")
        try:
            with display(work, interval=None):
                found, made = score_one(detector, item, folder, threshold, work, name=name, assets=assets, **written)
        except (NoFaceError, VideoError, OutputError) as error:
            if debug or (isinstance(error, OutputError) and error.reason != "locked"):
                raise
            click.echo(f"error: {error}", err=True)
            results.append({"video": printable(item.path), "error": str(error), "reason": error.reason})
            code = FAILED if FAILED in (code, failure := _code(error)) else failure
            continue
        place.upload(*(() if folder == place.path else filter(None, (folder, assets))))
        place.drop(folder)
        files = list(map(place.name, made))
        results.append(summary(found, threshold, files))
        for note in found.notes:
            line(f"note: {printable(note)}", err=True)
        if tables:
            line("") if number else None
            print_tracks(found, threshold, files)
    return code


def _tally(results: Sequence[dict[str, Any]]) -> str:
    """Counts the inputs by verdict or error."""
    counts = Counter(result.get("verdict") or result["reason"] for result in results)
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


def _code(error: MgstError) -> int:
    return NO_FACE if isinstance(error, NoFaceError) else FAILED
