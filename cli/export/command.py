"""The command ``mgst-export``: writes a network for other runtimes."""

from __future__ import annotations

from pathlib import Path

import click

from mgst_data.processes import heavy_imports

from ..common.errors import LoneCommand, debug_option, run_script
from ..common.options import LOCATION, json_option, option, options

EPILOG = """\b
Examples:
  mgst-export runs/base --to onnx
  mgst-export runs/base --to openvino --out detector.xml
  mgst-export runs/base --to onnx --int8 --crops shards --out small.onnx
  mgst-export --to torch-export --frames 8 --out mgst.pt2

The file is compared with the original on crops of faces. If an output differs by more than 0.0001, no file is written.
Its metadata has a description of the input (size, frames, face margin, normalisation) and the card of the weights.

\b
Exit codes: 0 complete, 1 the outputs differ, 2 wrong option or input,
130 interrupted.
"""
TARGETS = ("onnx", "torch-export", "openvino")


@click.command("mgst-export", cls=LoneCommand, epilog=EPILOG)
@click.argument("weights", required=False, type=LOCATION, metavar="[WEIGHTS]")
@options(
    "Output",
    option(
        "--to",
        required=True,
        type=click.Choice(TARGETS),
        help="Format: ONNX, torch.export (for PyTorch without mgst), or OpenVINO.",
    ),
    option(
        "--out",
        type=LOCATION,
        metavar="FILE",
        help="Path or URL of the file to write. [default: next to the weights, or mgst.SUFFIX]",
    ),
    option(
        "--frames",
        type=click.IntRange(min=1),
        metavar="N",
        help="Fixed number of frames of each segment. [default: any number]",
    ),
    option(
        "--int8",
        is_flag=True,
        default=False,
        help="Write 8-bit integers (ONNX only), calibrated on half of --crops; the change of the scores on the other "
        "half is printed.",
    ),
)
@options(
    "Input",
    option(
        "--crops",
        metavar="SHARDS",
        help="Folder or URL of shards with the crops to compare on, and to calibrate --int8. [default: rendered faces]",
    ),
    option(
        "--segments",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Number of segments of crops. [default: 4 rendered, 16 of SHARDS, 64 with --int8]",
    ),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
def export(
    weights: str | Path | None,
    to: str,
    out: str | Path | None,
    frames: int | None,
    int8: bool,
    crops: str | None,
    segments: int | None,
    as_json: bool,
) -> None:
    """Writes a network to a file that other runtimes read.

    WEIGHTS are a file or a checkpoint folder, by path or URL, or a repository (hf://user/name); without them, the
    weights that come with mgst. The input is frames (batch, frames, 3, size, size), RGB in [0, 1]; the outputs are
    score, frame_scores, and, if the network has them, patch_scores and embeddings. The number of segments is dynamic,
    and the number of frames too, unless --frames fixes it.
    \f

    Args:
        weights: File or folder of the weights, by path or URL, or ``hf://user/name``; None for those that come with
            mgst.
        to: Format.
        out: Path or URL of the file to write; None for one next to the weights.
        frames: Fixed number of frames; None for any number.
        int8: Whether to write 8-bit integers.
        crops: Folder or URL of shards; None for rendered faces.
        segments: Number of segments of crops; None for the default.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    # Imported here because torch takes seconds to import, and --help must be fast.
    with heavy_imports():
        from .write import export_weights

    export_weights(weights, to, out, frames=frames, int8=int8, crops=crops, segments=segments, as_json=as_json)


def main() -> None:
    """Entry point of the console script ``mgst-export``."""
    run_script(export)
