"""The command ``mgst-eval``: scores shards with networks and measures how well they distinguish."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..common.cache import cache_options, open_cache
from ..common.errors import LoneCommand, debug_option, run_script
from ..common.options import LOCATION, PAPERS, device_option, json_option, option, options, worker_options

EPILOG = """\b
Examples:
  mgst-eval demo/shards --weights runs/base --out results
  mgst-eval celeb dfdc ffpp dfo --weights runs/base --protocol cross_dataset --out results
  mgst-eval ffpp --weights a.safetensors --weights b.safetensors --protocol per_method --out results
  mgst-eval ffpp --weights runs/base --robustness --kind h264 --severity 1 --severity 5 --out results
  mgst-eval --predictions results --protocol my.toml --out tables
  mgst-eval ffpp --weights runs/base --detector my_detector.py:make --out results
  mgst-eval ffpp --weights runs/base --robustness --executor ray --out results
  mgst-eval ffpp --predictions scores.csv --out results

Scores in --out are reused if weights, shards and options are the same. To continue an interrupted run, run the same
command again.

\b
Exit codes: 0 complete, 1 failed, 2 wrong option or input, 130 interrupted.
"""
PROTOCOLS = ("in_domain", "cross_dataset", "six_data_sets", "per_method", "per_compression", *PAPERS)
KINDS = ("saturation", "contrast", "block_wise", "gaussian_noise", "gaussian_blur", "pixelation", "h264")
# Options that have no effect on saved scores.
SCORING = ("segments", "tracks", "device", "batch", "cache", "executor", "workers", "again")


@click.command("mgst-eval", cls=LoneCommand, epilog=EPILOG)
@click.argument("shards", nargs=-1, metavar="[SHARDS]...")
@options(
    "Input",
    option(
        "--weights",
        type=LOCATION,
        multiple=True,
        metavar="PATH|URL|hf://USER/NAME",
        help="Weights of a trained network: file or checkpoint folder, by path or URL, or a repository of the Hugging "
        "Face Hub. Can be repeated.",
    ),
    option(
        "--detector",
        "plugged",
        multiple=True,
        metavar="MODULE:FUNCTION|NAME",
        help="Detector of others: a function that makes it (package.module:function or file.py:function), or the name "
        "of an entry point. Can be repeated.",
    ),
    option(
        "--predictions",
        type=LOCATION,
        multiple=True,
        metavar="FOLDER|FILE.csv",
        help="Scores of an earlier run, instead of SHARDS and --weights; or, with SHARDS, a CSV file of scores that "
        "were made elsewhere (columns video or key, and score). Both also by URL. Can be repeated.",
    ),
    option(
        "--protocol",
        "protocols",
        multiple=True,
        metavar="NAME|FILE.toml",
        help=f"Protocol: {', '.join(PROTOCOLS)}, or a TOML file. Can be repeated. "
        "[default: each data set, then each method]",
    ),
    option(
        "--split",
        default="test",
        type=click.Choice(["train", "val", "test", "all"]),
        show_default=True,
        help="Only videos of this split. With --predictions, the default is all.",
    ),
    option(
        "--allow-trained-on",
        is_flag=True,
        default=False,
        help="Also score videos that a network was trained on, and mark them in the tables.",
    ),
    option(
        "--robustness",
        is_flag=True,
        default=False,
        help="Also score perturbed videos, and measure the AUC of each kind.",
    ),
    option(
        "--kind",
        "kinds",
        type=click.Choice(KINDS),
        metavar="NAME",
        multiple=True,
        help=f"Perturbation of --robustness: {', '.join(KINDS)}. Can be repeated. [default: all]",
    ),
    option(
        "--severity",
        "severities",
        type=click.IntRange(1, 5),
        metavar="N",
        multiple=True,
        help="Severity of --robustness. Can be repeated. [default: all five]",
    ),
)
@options(
    "Scoring",
    option(
        "--segments",
        type=click.IntRange(1),
        default=8,
        show_default=True,
        metavar="N",
        help="Largest number of segments scored per track, evenly spaced.",
    ),
    option(
        "--tracks",
        type=click.Choice(["main", "max"]),
        default="main",
        show_default=True,
        help="Score of a video: that of its main face, or the highest of all faces.",
    ),
    device_option(),
    option(
        "--batch", type=click.IntRange(1, 1024), default=8, show_default=True, metavar="N", help="Segments per batch."
    ),
    *cache_options(),
    *worker_options("sets of scores"),
    option("--again", is_flag=True, default=False, help="Score again even if --out has scores of the same options."),
)
@options(
    "Metrics",
    option(
        "--level",
        type=click.Choice(["video", "segment", "frame"]),
        default="video",
        show_default=True,
        help="Compute metrics over videos, segments or frames. Where a video is fake in parts, its segments and frames "
        "have labels of their own.",
    ),
    option(
        "--missing",
        type=click.Choice(["leave_out", "half"]),
        default="leave_out",
        show_default=True,
        help="Videos without a face: exclude them, or give them the score 0.5.",
    ),
    option(
        "--threshold",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        metavar="SCORE",
        help="Threshold of the accuracy: a score above it means fake.",
    ),
    option(
        "--resamples",
        type=click.IntRange(0),
        default=1000,
        show_default=True,
        metavar="N",
        help="Bootstrap resamples for 95 % confidence intervals; 0 for no intervals.",
    ),
    option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Seed of the bootstrap and the perturbations.",
    ),
)
@options(
    "Output",
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL for scores, tables and plots. [default: WEIGHTS-evaluation]",
    ),
    option(
        "--src",
        type=LOCATION,
        multiple=True,
        metavar="FOLDER",
        help="Folder of the data set, as for mgst-data extract, or its https:// URL: the page then links to the "
        "videos. Can be repeated.",
    ),
    option("--no-report", is_flag=True, help="Do not write the page report.html."),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    shards: tuple[str, ...],
    weights: tuple[str | Path, ...],
    plugged: tuple[str, ...],
    predictions: tuple[str | Path, ...],
    protocols: tuple[str, ...],
    split: str,
    allow_trained_on: bool,
    robustness: bool,
    kinds: tuple[str, ...],
    severities: tuple[int, ...],
    segments: int,
    tracks: str,
    device: str,
    batch: int,
    cache: Path | None,
    cache_size: int | None,
    executor: str,
    workers: int | None,
    gpus_per_worker: float | None,
    worker_memory: int | None,
    again: bool,
    level: str,
    missing: str,
    threshold: float,
    resamples: int,
    seed: int,
    out: str | Path | None,
    src: tuple[str | Path, ...],
    no_report: bool,
    as_json: bool,
) -> None:
    """Measures how well detectors distinguish real from fake videos.

    SHARDS are one or more folders, by path or URL, written by mgst-data extract; their videos are combined. The
    results are a page for the browser (report.html), the scores of all videos (predictions/), tables of AUC, AP, EER,
    accuracy, and true-positive rates at false-positive rates of 1 % and 5 % (table.md, table.csv), ROC curves, and
    histograms of the scores. For networks that mgst-calibrate has calibrated: whether their p-values hold on the real
    videos, and AUC by the share of videos that get a verdict.
    \f

    Args:
        ctx: Context of click; tells which options were given.
        shards: Folders of shards.
        weights: Files or folders of weights by path or URL, or ``hf://user/name``.
        plugged: Places of detectors of others.
        predictions: Folders of saved scores, or CSV files of scores that were made elsewhere, by path or URL.
        protocols: Names of protocols, or TOML files.
        split: "train", "val", "test" or "all".
        allow_trained_on: Whether to score videos that a network was trained on.
        robustness: Whether to score perturbed videos, too.
        kinds: Kinds of perturbation; () for all.
        severities: Severities, 1 to 5; () for all.
        segments: Largest number of segments per track.
        tracks: "main" or "max".
        device: "auto", "cpu" or "cuda".
        batch: Segments per batch.
        cache: Folder for copies of shards that are behind URLs; None for no copies.
        cache_size: Largest size of all copies, bytes; None for the default.
        executor: Name of the executor that distributes the sets of scores.
        workers: Number of workers; None for the default of the executor.
        gpus_per_worker: Share of a GPU of a worker; None for the default.
        worker_memory: Bytes of memory of each worker; None for no limit.
        again: Whether to ignore scores of an earlier run.
        level: "video", "segment" or "frame".
        missing: "leave_out" or "half".
        threshold: A score above it means fake.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Seed of the bootstrap and the perturbations.
        out: Path or URL of the folder for the results.
        src: Paths or URLs of the folders of the data sets.
        no_report: Whether to write no page.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    # Imported here because torch takes seconds to import, and --help must be fast.
    from mgst_data.shards.lock import FolderLock
    from mgst_data.shards.outputs import output_folder
    from mgst_model.evaluate.cache import Scoring, load_detectors, open_sets
    from mgst_model.evaluate.leakage import find_leakage
    from mgst_model.evaluate.report import REPORT

    from ..common.spread import Spread
    from .measure import (
        Measuring,
        check,
        check_links,
        default_folder,
        is_scores,
        load_predictions,
        measure,
        read_elsewhere,
        read_protocol,
        score,
    )  # fmt: skip
    from .show import show_results
    from .workers import Given, make_parts_on_workers

    wanted_kinds = kinds or KINDS if robustness else ()
    wanted_severities = tuple(sorted(set(severities))) or (1, 2, 3, 4, 5)
    asked = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    scoring_asked = [f"--{name}" for name in asked if name in SCORING]
    narrowed = bool(kinds or severities)
    check(shards, weights, plugged, predictions, robustness=robustness, narrowed=narrowed, scoring=scoring_asked)
    out = out or default_folder([*weights, *plugged] or predictions)
    check_links(src, out)
    chosen = tuple(read_protocol(name, PROTOCOLS) for name in dict.fromkeys(protocols))
    measuring = Measuring(level=level, missing=missing, threshold=threshold, resamples=resamples, seed=seed)
    wanted_split = None if split == "all" else split
    written: dict[str, Any] = {"report": not no_report, "videos": src}
    opened = output_folder(out, wanted=is_scores, mark="table.md" if no_report else REPORT)
    if not shards:
        scored = load_predictions(predictions, wanted_split if "split" in asked else None)
        with opened as folder, FolderLock(folder.path):
            results, files = measure(scored, chosen, measuring, folder.path, **written)
        show_results(results, list(map(folder.name, files)), as_json=as_json)
        return
    scoring = Scoring(
        split=wanted_split,
        segments=segments,
        tracks="max" if tracks == "max" else "main",
        seed=seed,
        batch=batch,
        device=device,
        cache=open_cache(cache, cache_size, shards),
    )
    disturbances = [(kind, severity) for kind in dict.fromkeys(wanted_kinds) for severity in wanted_severities]
    sets = open_sets(shards, scoring.split)
    elsewhere = [read_elsewhere(place, shards, scoring.split) for place in predictions]
    detectors = load_detectors(weights, plugged)
    for detector in detectors:
        if detector.loaded.caution:
            click.echo(f"note: {detector.name}: {detector.loaded.caution}", err=True)
    leakage = {}
    for detector in detectors:
        found = find_leakage(detector.weights, shards, scoring.split, allow_trained_on=allow_trained_on)
        leakage[detector.name] = found
        for note in found.notes:
            click.echo(f"note: {detector.name}: {note}", err=True)
    spread = Spread(executor, workers=workers, gpus_per_worker=gpus_per_worker, worker_memory=worker_memory)
    more: dict[str, Any] = {"leakage": leakage, "elsewhere": elsewhere}
    if spread != Spread():
        given = [*map(Given, weights), *(Given(place, plugged=True) for place in plugged)]
        by_name = {detector.name: place for detector, place in zip(detectors, given, strict=True)}
        more["make"] = partial(make_parts_on_workers, spread, by_name)
    with opened as folder, FolderLock(folder.path):
        scored = score(detectors, sets, folder, scoring, disturbances, again=again, **more)
        results, files = measure(scored, chosen, measuring, folder.path, **written)
    show_results(results, list(map(folder.name, files)), as_json=as_json)


def main() -> None:
    """Entry point of the console script ``mgst-eval``."""
    run_script(evaluate)
