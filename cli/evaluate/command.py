"""The command ``mgst-eval``: shards and weights in, tables out."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from ..common.errors import LoneCommand, debug_option, run_script
from ..common.options import json_option, option, options

EPILOG = """\b
Examples:
  mgst-eval demo/shards --weights runs/base --out results
  mgst-eval celeb dfdc ffpp dfo --weights runs/base --protocol cross_dataset --out results
  mgst-eval ffpp --weights a.safetensors --weights b.safetensors --protocol per_method --out results
  mgst-eval ffpp --weights runs/base --robustness --kind h264 --severity 1 --severity 5 --out results
  mgst-eval --predictions results --protocol my.toml --out tables

Scores that are in --out already, of the same weights, shards and options, are not made again.

\b
Exit codes: 0 measured, 1 failed, 2 asked for something that cannot be done,
130 interrupted; the same command goes on from there.
"""
PROTOCOLS = ("in_domain", "cross_dataset", "per_method", "per_compression")
KINDS = ("saturation", "contrast", "block_wise", "gaussian_noise", "gaussian_blur", "pixelation", "h264")
# Options that have no say where scores are there already.
SCORING = ("segments", "tracks", "device", "batch", "again")
FOLDER = click.Path(path_type=Path)


@click.command("mgst-eval", cls=LoneCommand, epilog=EPILOG,
               context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})  # fmt: skip
@click.argument("shards", nargs=-1, metavar="[SHARDS]...")
@options(
    "What is measured",
    option("--weights", type=FOLDER, multiple=True, help="Of a trained network: file or folder. May be repeated."),
    option("--predictions", type=FOLDER, multiple=True, help="Saved scores in place of shards and weights."),
    option(
        "--protocol",
        "protocols",
        multiple=True,
        metavar="NAME|FILE.toml",
        help=f"{', '.join(PROTOCOLS)} or a file. [every data set found]",
    ),
    option(
        "--split",
        default="test",
        type=click.Choice(["train", "val", "test", "all"]),
        show_default=True,
        help="Which videos; of --predictions all that are there, unless it is given.",
    ),
    option("--robustness", is_flag=True, default=False, help="Also with perturbed videos, kind by kind."),
    option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind. May be repeated."),
    option("--severity", "severities", type=click.IntRange(1, 5), multiple=True, help="Only this one. [1 to 5]"),
)
@options(
    "Scores",
    option("--segments", type=click.IntRange(1), default=8, show_default=True, help="Looked at of a face, at most."),
    option(
        "--tracks",
        type=click.Choice(["main", "max"]),
        default="main",
        show_default=True,
        help="Score of the main face, or of the most fake one.",
    ),
    option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs. [auto]"),
    option("--batch", type=click.IntRange(1, 1024), default=8, show_default=True, help="Segments at a time."),
    option("--again", is_flag=True, default=False, help="Make scores again that are there."),
)
@options(
    "Figures",
    option("--level", type=click.Choice(["video", "frame"]), default="video", show_default=True, help="What counts."),
    option(
        "--missing",
        type=click.Choice(["leave_out", "half"]),
        default="leave_out",
        show_default=True,
        help="What becomes of videos without a face: left out, or score 0.5.",
    ),
    option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Fake above it."),
    option("--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Of intervals; 0 for none."),
    option("--seed", type=int, default=0, show_default=True, help="Of resamples and perturbations."),
)
@options("Output", option("--out", type=FOLDER, help="Folder for scores, tables and plots. [WEIGHTS-evaluation]"))
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    shards: tuple[str, ...],
    weights: tuple[Path, ...],
    predictions: tuple[Path, ...],
    protocols: tuple[str, ...],
    split: str,
    robustness: bool,
    kinds: tuple[str, ...],
    severities: tuple[int, ...],
    segments: int,
    tracks: str,
    device: str,
    batch: int,
    again: bool,
    level: str,
    missing: str,
    threshold: float,
    resamples: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measures how well networks tell real videos from fakes.

    SHARDS are folders that mgst-data extract has written; several are taken together. Written are the scores of all
    videos (predictions/), tables (table.md, table.csv), ROC curves and histograms.
    """
    # Only now: these import torch, and --help should not wait for it.
    from mgst_data.shards.lock import FolderLock
    from mgst_model.evaluate.cache import Scoring, load_detectors, open_sets

    from .measure import Measuring, check, default_folder, load_predictions, measure, read_protocol, score

    wanted_kinds = kinds or KINDS if robustness else ()
    wanted_severities = tuple(sorted(set(severities))) or (1, 2, 3, 4, 5)
    asked = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    scoring_asked = [f"--{name}" for name in asked if name in SCORING]
    narrowed = bool(kinds or severities)
    check(shards, weights, predictions, robustness=robustness, narrowed=narrowed, scoring=scoring_asked)
    out = out or default_folder(weights or predictions)
    chosen = tuple(read_protocol(name, PROTOCOLS) for name in dict.fromkeys(protocols))
    measuring = Measuring(level=level, missing=missing, threshold=threshold, resamples=resamples, seed=seed)
    wanted_split = None if split == "all" else split
    if predictions:
        scored = load_predictions(predictions, wanted_split if "split" in asked else None)
        with FolderLock(out):
            measure(scored, chosen, measuring, out, as_json=as_json)
        return
    scoring = Scoring(
        split=wanted_split,
        segments=segments,
        tracks="max" if tracks == "max" else "main",
        seed=seed,
        batch=batch,
        device=device,
    )
    disturbances = [(kind, severity) for kind in dict.fromkeys(wanted_kinds) for severity in wanted_severities]
    sets, detectors = open_sets(shards, scoring.split), load_detectors(weights)
    for detector in detectors:
        if detector.loaded.caution:
            click.echo(f"note: {detector.name}: {detector.loaded.caution}", err=True)
    with FolderLock(out):
        scored = score(detectors, sets, out, scoring, disturbances, again=again)
        measure(scored, chosen, measuring, out, as_json=as_json)


def main() -> None:
    """The console script."""
    run_script(evaluate)
