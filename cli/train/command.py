"""The command ``mgst-train``: shards in, a trained network out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..common.errors import INTERRUPTED, LoneCommand, debug_option, run_script
from ..common.options import json_option, option, options

EPILOG = """\b
Examples:
  mgst-train shards
  mgst-train shards --preset base --out runs/first
  mgst-train shards --preset small --set train.lr=3e-4 --set network.guidance=none --out runs/no_guidance
  torchrun --nproc-per-node 8 -m mgst_cli.train shards --preset base

A training that was stopped (Ctrl-C, SIGTERM) continues exactly where it was when the same command is given again.
Fakes are made of the real videos by self-blending; --set data.fakes=both learns from fake videos as well.

\b
Exit codes: 0 trained, 1 failed, 2 wrong option or input,
130 stopped.
"""
PRESETS = ("base", "small", "small_frames", "small_patches", "small_joined", "clip", "sbi", "demo")


@click.command("mgst-train", cls=LoneCommand, epilog=EPILOG,
               context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})  # fmt: skip
@click.argument("shards")
@options(
    "Training",
    option("--preset", type=click.Choice(PRESETS), help="Network and settings. [base with a GPU, small without]"),
    option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file in place of a preset."),
    option("--set", "overrides", multiple=True, metavar="TABLE.NAME=VALUE", help="Override one; may be repeated."),
    option("--epochs", type=click.IntRange(min=1), help="Passes over the videos."),
    option("--seed", type=int, help="Seed of everything that is random. [0]"),
    option(
        "--backbone-weights", metavar="PATH", help="Weights the backbone begins with: a file, package, hub or random."
    ),
)
@options(
    "Run",
    option("--out", type=click.Path(path_type=Path), help="Folder of the training. [runs/PRESET]"),
    option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Device to train on. [auto]"),
    option("--devices", default=1, type=click.IntRange(min=1), help="Processes on this machine. [1]"),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def train(
    ctx: click.Context,
    /,
    shards: str,
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    backbone_weights: str | None,
    out: Path | None,
    device: str,
    devices: int,
    as_json: bool,
    **flags: Any,
) -> None:
    """Trains a network on SHARDS, a folder that mgst-data extract has written.

    The folder of the training holds the weights of the best and of the last epoch, tables of all losses, curves for
    TensorBoard, and the state from which the training can continue.
    """
    if preset and config_file:
        raise click.UsageError("--preset and --config exclude each other", ctx)

    # Only now: these import torch, and --help should not wait for it.
    from mgst_data.core.errors import printable
    from mgst_model.train import Stopped, make_fabric
    from mgst_model.train import train as run

    from ..common.tables import preset_file
    from .build import build_experiment, preset_for
    from .progress import quieten_libraries, show_trained, train_watcher

    if not ctx.meta.get("debug"):
        quieten_libraries()
    chosen, reason = (preset, "") if preset else preset_for(device)
    given = [*overrides, *([f"network.pretrained={backbone_weights}"] if backbone_weights else [])]
    experiment = build_experiment(config_file or preset_file(chosen), flags, given)
    out = out or Path("runs", config_file.stem if config_file else chosen)
    fabric = make_fabric(experiment, device=device, devices=devices)
    first = fabric.is_global_zero
    if first:
        settings = f"configuration {config_file}" if config_file else f"preset {chosen}{reason}"
        click.echo(f"{printable(settings)}; folder of the training: {printable(out)}", err=True)
    try:
        with train_watcher(quiet=not first) as watcher:
            best = run(experiment, shards, out, fabric=fabric, watcher=watcher)
    except Stopped:
        if first:
            click.echo(f"stopped; the same command continues this training: {printable(out)}", err=True)
        ctx.exit(INTERRUPTED)
    if first:
        show_trained(out, best, as_json=as_json)


def main() -> None:
    """The console script."""
    run_script(train)
