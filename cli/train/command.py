"""The command ``mgst-train``: trains a network on shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ..common.cache import cache_options, open_cache
from ..common.errors import INTERRUPTED, LoneCommand, debug_option, run_script
from ..common.options import LOCAL, LOCATION, PAPERS, device_option, json_option, option, options

EPILOG = """\b
Examples:
  mgst-train shards
  mgst-train shards --preset base --out runs/first
  mgst-train ffpp celeb photos --set sources.photos.weight=2 --out runs/three_sources
  mgst-train shards --preset small --set train.lr=3e-4 --set network.guidance=none --out runs/no_guidance
  mgst-train s3://bucket/shards --cache /scratch/mgst --cache-size 500GB
  torchrun --nproc-per-node 8 -m mgst_cli.train shards --preset base

Training uses pseudo-fakes, which self-blending makes from the real videos. With --set data.fakes=both it also uses the
fake videos.

To continue a training that was stopped (Ctrl-C, SIGTERM), run the same command again. It continues after the last
finished step.

\b
Exit codes: 0 complete, 1 failed, 2 wrong option or input, 130 interrupted.
"""
PRESETS = ("base", "small", "small_frames", "small_patches", "small_joined", "clip", "sbi", "varied", "demo")


@click.command("mgst-train", cls=LoneCommand, epilog=EPILOG)
@click.argument("shards", nargs=-1, metavar="[SHARDS]...")
@options(
    "Training",
    option(
        "--preset",
        type=click.Choice(PRESETS + PAPERS),
        metavar="NAME",
        help=f"Network and training options: {', '.join(PRESETS)}; those of a paper: {', '.join(PAPERS)}. "
        "[default: base with a GPU, small without]",
    ),
    option(
        "--config",
        "config_file",
        type=LOCAL,
        metavar="FILE",
        help="TOML file with network and training options, instead of a preset.",
    ),
    option(
        "--set",
        "overrides",
        multiple=True,
        metavar="TABLE.NAME=VALUE",
        help="Set one option of the preset or file, such as train.lr=3e-4. Can be repeated.",
    ),
    option(
        "--epochs",
        type=click.IntRange(min=1),
        metavar="N",
        help="Passes over the videos. [default: that of the preset]",
    ),
    option("--seed", type=int, metavar="N", help="Seed of all random numbers. [default: 0]"),
    option(
        "--backbone-weights",
        metavar="SOURCE",
        help="Initial weights of the backbone: a file; package (installed with the extra train); hub (downloaded); or "
        "random. [default: that of the preset]",
    ),
)
@options(
    "Run",
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL for weights and logs. [default: runs/PRESET]",
    ),
    device_option(" to train on"),
    option(
        "--devices",
        default=1,
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of processes on this machine. [default: 1]",
    ),
    *cache_options(),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def train(
    ctx: click.Context,
    /,
    shards: tuple[str, ...],
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    backbone_weights: str | None,
    out: str | Path | None,
    device: str,
    devices: int,
    cache: Path | None,
    cache_size: int | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Trains a network on SHARDS, one or more folders, by path or URL, written by mgst-data extract.

    Of several folders, each is drawn equally often, or as often as its weight says. Then every person of a folder is
    drawn equally often. Pictures train the spatial stream.

    The results are the weights of the best and of the last epoch, a page with the curves (report.html), tables of all
    losses, TensorBoard logs, and the state from which the training can continue.
    \f

    Args:
        ctx: Context of click; holds ``--debug``.
        shards: Folders of shards, by path or URL; () if the file has a table of them.
        preset: Name of a preset; None for the default of this machine.
        config_file: TOML file instead of a preset.
        overrides: Texts ``"table.name=value"`` of ``--set``.
        backbone_weights: Initial weights of the backbone: a file, "package", "hub" or "random".
        out: Path or URL of the folder for weights and logs; None for ``runs/PRESET``.
        device: "auto", "cpu" or "cuda".
        devices: Processes on this machine.
        cache: Folder for copies of shards that are behind URLs; None for no copies.
        cache_size: Largest size of all copies, bytes; None for the default.
        as_json: Whether to print one JSON object.
        flags: All other options, by name of a field of the configuration.

    Raises:
        UsageError: if both a preset and a file are given.
    """  # noqa: D301 - click shows only the text above the form feed
    if preset and config_file:
        raise click.UsageError("--preset and --config cannot be combined", ctx)

    # Imported here because torch takes seconds to import, and --help must be fast.
    from mgst_data.core.errors import printable
    from mgst_model.train import Stopped, make_fabric
    from mgst_model.train import train as run
    from mgst_model.train.data import has_stills
    from mgst_model.train.report import write_report

    from ..common.tables import preset_file
    from .build import build_experiment, build_sources, preset_for
    from .folder import training_folder
    from .progress import quieten_libraries, show_trained, train_watcher

    if not ctx.meta.get("debug"):
        quieten_libraries()
    chosen, reason = (preset, "") if preset else preset_for(device)
    given = [*overrides, *([f"network.pretrained={backbone_weights}"] if backbone_weights else [])]
    experiment = build_experiment(config_file or preset_file(chosen), flags, given)
    out = out or Path("runs", config_file.stem if config_file else chosen)
    sources = build_sources(config_file, shards, overrides)
    copies = open_cache(cache, cache_size, [source.location for source in sources])
    several = devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    stills = several and has_stills(sources, experiment.data)
    fabric = make_fabric(experiment, device=device, devices=devices, stills=stills)
    first = fabric.is_global_zero
    if first:
        settings = f"configuration {config_file}" if config_file else f"preset {chosen}{reason}"
        click.echo(f"{printable(settings)}; output folder: {printable(out)}", err=True)
    with training_folder(out, fabric) as folder:
        try:
            with train_watcher(folder, quiet=not first) as watcher:
                best = run(experiment, sources, folder.path, fabric=fabric, watcher=watcher, cache=copies)
        except Stopped:
            if first:
                folder.upload()
                click.echo(f"stopped: {printable(out)}; run the same command again to continue", err=True)
            ctx.exit(INTERRUPTED)
        if first:
            page = write_report(folder.path, location=folder.location)
    if first:
        show_trained(folder, best, page, as_json=as_json)


def main() -> None:
    """Entry point of the console script ``mgst-train``."""
    run_script(train)
