"""The command ``mgst-train``: shards in, a trained network out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .errors import INTERRUPTED, LoneCommand, debug_option, run_script
from .options import json_option, option, options

EPILOG = """\b
Examples:
  mgst-train demo/shards --preset small --out demo/network
  mgst-train shards --out runs/base
  mgst-train shards --preset small --set train.lr=3e-4 --set network.guidance=none --out runs/parallel
  torchrun --nproc-per-node 8 -m mgst_cli.train shards --out runs/base

A training that was stopped (Ctrl-C, SIGTERM) goes on with the same command, exactly where it was.
Of real videos, fakes are made by self-blending; --set data.fakes=both learns from fake videos as well.

\b
Exit codes: 0 trained, 1 failed, 2 asked for something that cannot be done,
130 stopped.
"""
PRESETS = ("base", "small", "small_frames", "small_patches", "small_joined", "clip", "sbi", "demo")


@click.command("mgst-train", cls=LoneCommand, epilog=EPILOG,
               context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})  # fmt: skip
@click.argument("shards")
@options(
    "Training",
    option("--preset", type=click.Choice(PRESETS), help="Network and numbers that go well together. [base]"),
    option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file in place of a preset."),
    option("--set", "overrides", multiple=True, metavar="TABLE.NAME=VALUE", help="Override one; may be repeated."),
    option("--epochs", type=click.IntRange(min=1), help="Passes over the videos."),
    option("--seed", type=int, help="Of everything that is random. [0]"),
    option("--weights", metavar="PATH", help="Weights the backbone begins with: a file, package, hub or random."),
)
@options(
    "Run",
    option("--out", type=click.Path(path_type=Path), required=True, help="Folder, a new one or one to go on with."),
    option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="That trains. [auto]"),
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
    weights: str | None,
    out: Path,
    device: str,
    devices: int,
    as_json: bool,
    **flags: Any,
) -> None:
    """Trains a network on a folder of shards.

    Written are the weights of the best and of the last epoch, tables of all losses, curves for TensorBoard, and the
    state from which the training can go on.
    """
    if preset and config_file:
        raise click.UsageError("--preset and --config exclude each other", ctx)

    # Only now: these import torch, and --help should not wait for it.
    from mgst_model.train import Stopped, make_fabric
    from mgst_model.train import train as run

    from .experiment import build_experiment, preset_file
    from .train_progress import make_train_watcher, show_trained

    given = [*overrides, *([f"network.pretrained={weights}"] if weights else [])]
    experiment = build_experiment(config_file or preset_file(preset or "base"), flags, given)
    fabric = make_fabric(experiment, device=device, devices=devices)
    try:
        with make_train_watcher(quiet=not fabric.is_global_zero) as watcher:
            best = run(experiment, shards, out, fabric=fabric, watcher=watcher)
    except Stopped:
        if fabric.is_global_zero:
            click.echo(f"stopped; the same command goes on from here: {out}", err=True)
        ctx.exit(INTERRUPTED)
    if fabric.is_global_zero:
        show_trained(out, best, as_json=as_json)


def main() -> None:
    """The console script."""
    run_script(train)


if __name__ == "__main__":
    main()
