"""The command ``mgst-calibrate``: stores in a network how real videos score."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import LoneCommand, debug_option, run_script
from ..common.options import LOCATION, device_option, json_option, option, options

EPILOG = """\b
Examples:
  mgst-calibrate shards --split val --weights runs/base
  mgst-calibrate clips stills --weights runs/base --out calibrated
  mgst-predict talk.mp4 --weights calibrated/best.safetensors --threshold 5%

Give real videos like those that you will score, of as many people as you
have. Run mgst-data people on the shards first, unless the data set names the
people: a person counts once. Videos that the network was trained on, and
other videos of their people, are refused.

mgst-predict then reports the p-value of a score: (1 + people who score at
least as high) / (people + 1). For a real video of a new person, drawn in the
same way as those of the calibration, it is at most 5 % in at most 5 % of the
cases, and so on. It says nothing about fakes.

\b
Exit codes: 0 complete, 1 failed, 2 wrong option or input, 130 interrupted.
"""


@click.command("mgst-calibrate", cls=LoneCommand, epilog=EPILOG)
@click.argument("shards", nargs=-1, required=True, metavar="SHARDS...")
@options(
    "Network",
    option(
        "--weights",
        required=True,
        type=LOCATION,
        metavar="PATH",
        help="Weights of a trained network: file or checkpoint folder, by path or URL.",
    ),
    device_option(),
    option(
        "--batch", type=click.IntRange(1, 1024), default=8, show_default=True, metavar="N", help="Windows per batch."
    ),
)
@options(
    "Input",
    option(
        "--split",
        default="all",
        type=click.Choice(["train", "val", "test", "all"]),
        show_default=True,
        help="Only videos of this split.",
    ),
)
@options(
    "Output",
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL for a copy of the weights with the calibration. [default: change the card of the weights]",
    ),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
def calibrate(
    shards: tuple[str, ...],
    weights: str | Path,
    device: str,
    batch: int,
    split: str,
    out: str | Path | None,
    as_json: bool,
) -> None:
    """Measures how real videos score that a network has not seen, and stores it with the network.

    SHARDS are one or more folders, by path or URL, written by mgst-data extract; fake videos in them are ignored. The
    scores, and the face size, sharpness, turn, brightness and length of the videos, are written into the card of the
    weights (the .json file); the weights do not change. Videos and still pictures are calibrated separately.
    \f

    Args:
        shards: Folders of shards, by path or URL.
        weights: File or folder of the weights, by path or URL.
        device: "auto", "cpu" or "cuda".
        batch: Windows per batch.
        split: "train", "val", "test" or "all".
        out: Path or URL of the folder for a copy of the weights; None to change their card.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    # Imported here because torch takes seconds to import, and --help must be fast.
    from .measure import measure, show

    found = measure(shards, weights, split=None if split == "all" else split, device=device, batch=batch, out=out)
    show(found, as_json=as_json)


def main() -> None:
    """Entry point of the console script ``mgst-calibrate``."""
    run_script(calibrate)
