"""The command ``mgst-predict``: videos and weights in, scores out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mgst_data.processes import heavy_imports
from mgst_model.predict.process import RunProcess

from ..common.errors import LoneCommand, debug_option, interrupted_at_once, run_script
from ..common.options import json_option, option, options

if TYPE_CHECKING:
    from mgst_model.predict.detector import Precision

EPILOG = """\b
Examples:
  mgst-predict talk.mp4 --weights best.safetensors
  mgst-predict clips/ 'more/*.mp4' list.txt --weights best.safetensors --out scores --no-video
  mgst-predict talk.mp4 --weights best.safetensors --stride 4 --json

The score of a video is that of its main face: the mean over its windows. It
lies in [0, 1]; higher means more likely fake. It is not a probability, because
no network here is calibrated, and it is not a proof.

\b
Exit codes: 0 all scored, 1 an input cannot be read, 2 wrong option or input,
3 no face in a video, 130 interrupted.
"""


@click.command("mgst-predict", cls=LoneCommand, epilog=EPILOG,
               context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})  # fmt: skip
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@options(
    "Network",
    option("--weights", type=click.Path(path_type=Path), required=True, help="Trained network: its file or folder."),
    option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs. [auto]"),
    option(
        "--precision",
        default="auto",
        type=click.Choice(["auto", "fp32", "bf16"]),
        help="Number format of the network; auto: bf16 where the processor has it. [auto]",
    ),
    option("--batch", type=click.IntRange(1, 1024), help="Windows per call. [2 on a CPU, 16 on a GPU]"),
    option("--stride", type=click.IntRange(min=1), help="Frames from one window to the next. [length of a window]"),
)
@options(
    "Output",
    option("--out", type=click.Path(path_type=Path), help="Folder of the results. [VIDEO-scores beside the video]"),
    option(
        "--threshold",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help="Scores above it mean fake.",
    ),
    option("--no-video", is_flag=True, help="Do not write the video with the scores drawn in."),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    videos: tuple[str, ...],
    weights: Path,
    device: str,
    precision: str,
    batch: int | None,
    stride: int | None,
    out: Path | None,
    threshold: float,
    no_video: bool,
    as_json: bool,
) -> None:
    """Scores how fake the faces in videos look.

    VIDEO is a file or a URL; a folder of videos, or of the frames of one; a list (.txt with a path on each line); a
    pattern such as 'clips/*.mp4'; or a picture, if the network looks at single frames. Every face is followed and
    scored over time. Written are all scores (scores.json), their curves (timeline.png) and the video with boxes, heat
    maps of patches and curves.
    """
    with ExitStack() as stack:
        extraction = stack.enter_context(RunProcess()) if device != "cuda" else None
        stack.enter_context(interrupted_at_once(extraction.kill if extraction else lambda: None))
        # Only now: these import torch, and neither --help nor that process should wait for it.
        with heavy_imports():
            from .batch import predict_all

        code = predict_all(
            videos,
            weights,
            extraction=extraction,
            device=device,
            precision=cast("Precision", precision),
            batch=batch,
            stride=stride,
            out=out,
            threshold=threshold,
            video=not no_video,
            as_json=as_json,
            debug=bool(ctx.meta.get("debug")),
        )
    if code:
        ctx.exit(code)


def main() -> None:
    """The console script."""
    run_script(predict)
