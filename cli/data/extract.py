"""The command ``mgst-data extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..common.errors import INTERRUPTED, debug_option
from ..common.options import LOCAL, PAPERS, SIZE, Command, InputType, device_option, json_option, option, options

EPILOG = """\b
Examples:
  mgst-data extract --src FaceForensics++ --compression c23 --out shards
  mgst-data extract --src FaceForensics++ --masks --chunks 4 --out shards
  mgst-data extract --src my_videos.csv --out shards --workers 8
  mgst-data extract --src photos --identity folder --out photo_shards
  mgst-data extract --src FaceForensics++ --out shards --retry-skipped no_face
  mgst-data extract --src FaceForensics++ --out /shared/shards --part 3/16
  mgst-data extract --src FaceForensics++ --out s3://bucket/shards

To continue an interrupted run, run the same command again. Finished videos
are kept.

Exit codes: 0 complete; 1 failed, or with --strict a video was skipped or kept
with a note; 2 wrong option or input; 130 interrupted.
"""


@click.command(cls=Command, epilog=EPILOG)
@options(
    "Data set",
    option(
        "--src",
        type=InputType(),
        metavar="PATH",
        required=True,
        help="Folder of the data set or of pictures, or a manifest (.csv or .jsonl); also by URL.",
    ),
    option(
        "--layout",
        metavar="NAME",
        help="Directory layout, such as faceforensics, celebdf, dfdc, folder or manifest; auto detects it. The "
        "documentation of data sets lists all names. [default: auto]",
    ),
    option("--split", multiple=True, metavar="NAME", help="Only videos of this split. Can be repeated."),
    option(
        "--method",
        multiple=True,
        metavar="NAME",
        help="Only videos of this method, such as Deepfakes, or real for real videos. Can be repeated.",
    ),
    option(
        "--compression",
        multiple=True,
        metavar="NAME",
        help="Only videos of this compression level, such as c23. Can be repeated.",
    ),
    option("--limit", type=int, metavar="N", help="Largest number of videos, spread evenly over labels and methods."),
    option(
        "--splits", metavar="FOLDER", help="Folder or URL of the official split files, if it is not in the data set."
    ),
    option("--reals", metavar="FOLDER", help="Folder of the real videos, for data sets that contain only fakes."),
    option(
        "--identity",
        metavar="HOW",
        help="Identity of each picture of the layout images: folder, for one folder per identity, or a regular "
        "expression on the path whose group is the identity.",
    ),
    option("--masks", is_flag=True, help="Also store the manipulation masks of the data set."),
    option(
        "--people",
        metavar="FOLDER",
        help="Folder or URL of shards of the same videos, on which mgst-data people has run: use its splits and "
        "persons where the data set has none.",
    ),
    option("--allow-leakage", is_flag=True, help="Continue even if one person is in two splits."),
)
@options(
    "Chunks",
    option("--frames", type=int, metavar="N", help="Frames per chunk, 1 to 1000. [default: 32]"),
    option("--chunks", type=int, metavar="N", help="Chunks per video, evenly spaced; 0 for all. [default: 0]"),
    option(
        "--tracks",
        type=click.Choice(["all", "main"]),
        help="Faces to store: all faces of a video, or only the main face. [default: all]",
    ),
    option(
        "--min-face",
        type=int,
        metavar="PIXELS",
        help="Smallest side of a face box, in pixels of the video; at least 12. [default: 40]",
    ),
    option("--min-frames", type=int, metavar="N", help="Drop tracks with fewer frames. [default: 8]"),
    option(
        "--min-score",
        type=float,
        metavar="P",
        help="Drop chunks with a lower median face probability, 0 to 1. [default: 0.9]",
    ),
    option(
        "--damaged",
        type=click.Choice(["drop", "keep"]),
        help="Damaged frames: drop them, or keep and mark them. [default: drop]",
    ),
)
@options(
    "Crops",
    option("--size", type=int, metavar="PIXELS", help="Largest side of a crop, 16 to 4096 pixels. [default: 320]"),
    option(
        "--margin",
        type=float,
        metavar="RATIO",
        help="Margin around the face box, as a multiple of its longer side, 0 to 2. [default: 0.3]",
    ),
    option("--upsample", is_flag=True, help="Enlarge small crops to --size."),
    option(
        "--image-format",
        type=click.Choice(["jpg", "png", "webp"]),
        help="File format of the crops; png and webp are lossless. [default: jpg]",
    ),
    option("--quality", type=int, metavar="N", help="JPEG quality, 1 to 100. [default: 95]"),
)
@options(
    "Models",
    option("--reader", metavar="NAME", help="Video reader: pyav or torchcodec. [default: pyav]"),
    option("--detector", metavar="NAME", help="Face detector: mtcnn or centerface. [default: mtcnn]"),
    option("--landmarks", metavar="NAME", help="Landmark model. [default: dlib]"),
    option(
        "--landmark-model",
        metavar="FILE",
        help="File of the landmark model. [default: the installed model with 68 points]",
    ),
)
@options(
    "Run",
    option("--out", type=click.Path(), metavar="FOLDER",
           help="Folder or URL for the shards: a new one, or one of an interrupted run. Required without --dry-run."),
    option("--config", "config_file", type=LOCAL, metavar="FILE|PAPER",
           help=f"TOML file with options, or those of a paper: {', '.join(PAPERS)}. Options on the command line "
           "override it."),
    option("--set", "overrides", multiple=True, metavar="TABLE.NAME=VALUE",
           help="Set one option of the configuration, such as extract.size=256. Can be repeated."),
    option("--workers", type=int, metavar="N",
           help="Number of worker processes. [default: one per core; with ray, as many as the cluster has room for]"),
    option("--executor", default="process", metavar="NAME",
           help="How work is distributed: process, serial or ray. [default: process]"),
    option("--gpus-per-worker", type=float, metavar="SHARE",
           help="Share of a GPU that Ray reserves for a worker, such as 0.25. [default: 1 with --device cuda]"),
    device_option(" for the face detector"),
    option("--videos-per-shard", type=click.IntRange(min=1), metavar="N",
           help="Videos per new shard. [default: 16; 128 if all are pictures]"),
    option("--retry-skipped", "retry", is_flag=False, flag_value="all", default="", metavar="[REASON]",
           help="Extract skipped videos again: all of them, or those skipped for REASON, such as no_face."),
    option("--part", default="", metavar="K/N",
           help="Make only part K of N of the shards, for N runs into one folder on any machines."),
    option("--video-timeout", type=float, metavar="SECONDS",
           help="Skip a video that takes longer, with the reason timeout. [default: no limit]"),
    option("--worker-memory", type=SIZE, metavar="SIZE",
           help="Memory of each worker, such as 4GB. Skip a video that needs more, with the reason out_of_memory. "
           "Ray instead starts a worker only where so much is free. "
           "[default: no limit]"),
    option("--strict", is_flag=True, help="Exit with code 1 if a video is skipped or kept with a note."),
    option("--dry-run", is_flag=True, help="Show what would be extracted. Write nothing."),
)  # fmt: skip
@json_option
@debug_option
@click.pass_context
def extract(
    ctx: click.Context,
    /,
    src: str,
    out: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    workers: int | None,
    executor: str,
    gpus_per_worker: float | None,
    device: str,
    videos_per_shard: int | None,
    retry: str,
    part: str,
    video_timeout: float | None,
    worker_memory: int | None,
    strict: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Extracts face tracks of every video into shards.

    A shard is a tar file of samples in WebDataset format. One sample is one chunk: crops of consecutive frames of one
    face, with landmarks. mgst_data.shards.ShardReader reads shards, and so does the library webdataset.
    \f

    Args:
        ctx: Context of click; holds ``--debug``.
        src: Path or URL of the folder of the data set, or of a manifest.
        out: Folder for the shards; None only with ``dry_run``.
        config_file: TOML file with options, or the name of a paper.
        overrides: Texts ``"table.name=value"`` of ``--set``.
        workers: Number of workers; None for one per core.
        executor: Name of the executor that distributes the work.
        gpus_per_worker: Share of a GPU of a worker; None for the default.
        device: "auto", "cpu" or "cuda".
        videos_per_shard: Videos per new shard; None for the usual number.
        retry: Skipped videos to extract again: "all", a reason, or "" for none.
        part: Part of the shards to make, such as "3/16"; "" for all.
        video_timeout: Seconds for each video; None for no limit.
        worker_memory: Bytes of memory of each worker; None for no limit.
        strict: Whether skipped videos and notes give exit code 1.
        dry_run: Whether to show what would be extracted and write nothing.
        as_json: Whether to print one JSON object.
        flags: All other options, by name of a field of SourceConfig or ExtractConfig.

    Raises:
        MissingParameter: If ``out`` is missing.
    """  # noqa: D301 - click shows only the text above the form feed
    if out is None and not dry_run:
        raise click.MissingParameter(param_hint="'--out'", param_type="option", ctx=ctx)

    # Imported here because torch takes seconds to import, and --help must be fast.
    from mgst_data.extract import extract as run
    from mgst_data.shards import Part

    from ..common.tables import preset_file
    from . import show
    from .progress import extract_watcher
    from .source import build_config, scan_source

    if config_file is not None and config_file.as_posix() in PAPERS:
        config_file = preset_file(config_file.as_posix())
    portion = Part.parse(part) if part else None
    config = build_config(config_file, flags, overrides)
    scan = scan_source(src, config.source, masks=config.extract.masks)
    show.scan(scan)
    if dry_run or out is None:
        show.plan(scan, out, videos_per_shard=videos_per_shard, as_json=as_json)
        return
    try:
        with extract_watcher() as watcher:
            summary = run(
                scan,
                config.extract,
                out,
                executor=executor,
                workers=workers,
                gpus_per_worker=gpus_per_worker,
                device=device,
                videos_per_shard=videos_per_shard,
                retry=retry,
                part=portion,
                video_timeout=video_timeout,
                worker_memory=worker_memory,
                debug=bool(ctx.meta.get("debug")),
                watcher=watcher,
            )
    except KeyboardInterrupt:
        show.interrupted(out)
        ctx.exit(INTERRUPTED)
    show.summary(summary, as_json=as_json)
    if strict and (summary.skipped or summary.noted):
        ctx.exit(1)
