"""The command ``mgst-predict``: scores videos with a trained network."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mgst_data.processes import heavy_imports
from mgst_model.predict.process import RunProcess

from ..common.errors import LoneCommand, debug_option, interrupted_at_once, run_script
from ..common.options import (
    LOCATION,
    device_option,
    json_option,
    option,
    options,
    weights_option,
    worker_options,
)
from .threshold import Wanted, read_threshold

if TYPE_CHECKING:
    from mgst_model.predict.runtime import Precision, Runtime

EPILOG = """\b
Examples:
  mgst-predict talk.mp4
  mgst-predict clips/ 'more/*.mp4' list.txt --weights best.safetensors --out scores --no-video
  mgst-predict talk.mp4 --weights best.safetensors --stride 4 --json
  mgst-predict talk.mp4 --weights hf://user/name@v1.0
  mgst-predict talk.mp4 --runtime onnx
  mgst-predict s3://bucket/clips --out s3://bucket/scores
  mgst-predict s3://bucket/clips --out s3://bucket/scores --executor ray
  mgst-predict talk.mp4 --threshold 5% --explain

The score of a video is the score of its main face: the mean over all windows.
It is in [0, 1]; higher means more likely fake. It is not a probability and
not a proof. Verdicts: "fake" above the threshold, "not called fake" below it
(which does not show that the video is real), and "cannot say" where the video
is unlike the real videos that the network was calibrated with.

Calibrated networks (mgst-calibrate) also print how many real videos score as
high, and a p-value. For a real video of a person drawn in the same way as the
people of the calibration, it is at most 5 % in at most 5 % of the cases, and
so on.

\b
Exit codes: 0 complete, 1 an input cannot be read, 2 wrong option or input,
3 no face in a video, 130 interrupted.
"""


@click.command("mgst-predict", cls=LoneCommand, epilog=EPILOG)
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@options(
    "Network",
    weights_option(),
    option(
        "--runtime",
        type=click.Choice(["torch", "onnx"]),
        help="Library that runs the network. onnx runs on the CPU, and exports weights first if they are no .onnx "
        "file; the export is kept. [default: torch; onnx for an .onnx file]",
    ),
    device_option(),
    option(
        "--precision",
        default="auto",
        type=click.Choice(["auto", "fp32", "bf16"]),
        help="Number format of the network; auto uses bf16 if the processor supports it. [default: auto]",
    ),
    option(
        "--batch",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Windows per batch. [default: 2 on a CPU, 16 on a GPU]",
    ),
    option(
        "--stride",
        type=click.IntRange(min=1),
        metavar="FRAMES",
        help="Frames from the start of one window to the next, at most the length of a window. "
        "[default: length of a window]",
    ),
)
@options(
    "Output",
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL for the results. [default: VIDEO-scores, next to the video]",
    ),
    option(
        "--threshold",
        callback=read_threshold,
        metavar="SCORE|RATE%",
        help="Threshold of the verdict: a score above it is called fake. Or the largest false-positive rate that the "
        "threshold holds, such as 5%, if the network is calibrated. [default: 10% if it is calibrated, else 0.5]",
    ),
    option(
        "--explain",
        is_flag=True,
        default=False,
        help="Show which regions of the face carry the score, also for networks without patch scores. It takes about "
        "four times as long, and needs the extra explain.",
    ),
    option("--no-video", is_flag=True, help="Do not write the video with the drawn scores."),
    option("--no-report", is_flag=True, help="Do not write the page report.html."),
)
@options(
    "Workers",
    *worker_options("videos"),
    option(
        "--video-timeout",
        type=float,
        metavar="SECONDS",
        help="Report a video that takes longer, with the reason timeout. [default: no limit]",
    ),
)
@json_option
@click.version_option(package_name="mgst")
@debug_option
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    videos: tuple[str, ...],
    weights: str | Path | None,
    runtime: str | None,
    device: str,
    precision: str,
    batch: int | None,
    stride: int | None,
    out: str | Path | None,
    threshold: Wanted | None,
    explain: bool,
    no_video: bool,
    no_report: bool,
    executor: str,
    workers: int | None,
    gpus_per_worker: float | None,
    video_timeout: float | None,
    worker_memory: int | None,
    as_json: bool,
) -> None:
    """Scores the faces in videos: higher means more likely fake.

    VIDEO is a file; a folder of videos, or of the frames of one video; a list (.txt file with one path per line); a
    pattern such as 'clips/*.mp4'; or a picture, if the network scores single frames. A video, a folder of videos, a
    list and a picture may also be URLs. Every face is tracked and scored over time. The results are a page that plays
    the video with its scores (report.html), all scores (scores.json), a plot over time (timeline.png), and a copy of
    the video with face boxes, patch heat maps and score curves.
    \f

    Args:
        ctx: Context of click; holds ``--debug``.
        videos: Paths, URLs, folders, lists and patterns.
        weights: File or folder of the weights, by path or URL, or ``hf://user/name``; None for those that come with
            mgst.
        runtime: "torch" or "onnx"; None for the one that suits the weights.
        device: "auto", "cpu" or "cuda".
        precision: "auto", "fp32" or "bf16".
        batch: Windows per batch; None for the default of the device.
        stride: Frames from the start of one window to the next; None for the length of a window.
        out: Path or URL of the output folder; None for a folder next to each video.
        threshold: A score, or a false-positive rate; None for the threshold of the network.
        explain: Whether to compute maps of the face.
        no_video: Whether to write no video.
        no_report: Whether to write no page.
        executor: Name of the executor that distributes the videos.
        workers: Number of workers; None for the default of the executor.
        gpus_per_worker: Share of a GPU of a worker; None for the default.
        video_timeout: Seconds for each video; None for no limit.
        worker_memory: Bytes of memory of each worker; None for no limit.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    asked = (workers, gpus_per_worker, worker_memory, video_timeout)
    here = executor == "serial" and asked == (None, None, None, None)
    with ExitStack() as stack:
        extraction = stack.enter_context(RunProcess()) if here and device != "cuda" else None
        stack.enter_context(interrupted_at_once(extraction.kill if extraction else lambda: None))
        # Imported here because torch takes seconds to import: --help and the process above must not wait for it.
        with heavy_imports():
            from ..common.spread import Spread
            from .batch import predict_all

        code = predict_all(
            videos,
            weights,
            extraction=extraction,
            spread=None if here else Spread(executor, *asked),
            runtime=cast("Runtime | None", runtime),
            device=device,
            precision=cast("Precision", precision),
            batch=batch,
            stride=stride,
            out=out,
            wanted=threshold,
            explain=explain,
            video=not no_video,
            report=not no_report,
            as_json=as_json,
            debug=bool(ctx.meta.get("debug")),
        )
    if code:
        ctx.exit(code)


def main() -> None:
    """Entry point of the console script ``mgst-predict``."""
    run_script(predict)
