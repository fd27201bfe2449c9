"""``mgst-data extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..common.errors import INTERRUPTED, debug_option
from ..common.options import Command, json_option, option, options

EPILOG = """\b
Examples:
  mgst-data extract --src FaceForensics++ --compression c23 --out shards
  mgst-data extract --src FaceForensics++ --masks --chunks 4 --out shards
  mgst-data extract --src my_videos.csv --out shards --workers 8
  mgst-data extract --src FaceForensics++ --out shards --retry-skipped no_face

A run that was stopped goes on with the same command; finished videos are kept.
Exit codes: 0 complete, 1 failed (with --strict: or videos were skipped, or
kept with a note), 2 asked for something that cannot be done, 130 interrupted.
"""


@click.command(cls=Command, epilog=EPILOG)
@options(
    "Data set",
    option("--src", type=click.Path(path_type=Path), required=True, help="Folder of the data set, or a manifest."),
    option("--layout", help="How it lies on disk: faceforensics, celebdf, dfdc, folder, manifest, ... [auto]"),
    option("--split", multiple=True, help="Only this split; may be repeated."),
    option("--method", multiple=True, help="Only this method ('real' for real videos); may be repeated."),
    option("--compression", multiple=True, help="Only this compression; may be repeated."),
    option("--limit", type=int, metavar="N", help="At most so many videos, spread evenly over labels and methods."),
    option("--splits", help="Folder of the official split files, where it is not in the data set."),
    option("--reals", help="Where the real videos lie, for data sets that come without."),
    option("--masks", is_flag=True, help="Carry manipulation masks along."),
    option("--allow-leakage", is_flag=True, help="Go on although a person is in two splits."),
)
@options(
    "Chunks",
    option("--frames", type=int, help="Frames per chunk. [32]"),
    option("--chunks", type=int, help="Chunks per video, evenly spaced; 0 for all. [0]"),
    option("--tracks", type=click.Choice(["all", "main"]), help="All faces of a video, or its main one. [all]"),
    option("--min-face", type=int, help="Side of the smallest face, pixels of the video. [40]"),
    option("--min-frames", type=int, help="Shorter tracks are dropped. [8]"),
    option("--min-score", type=float, help="Chunks of a lower median face probability are dropped. [0.9]"),
    option("--damaged", type=click.Choice(["drop", "keep"]), help="Frames decoded from damaged data. [drop]"),
)
@options(
    "Crops",
    option("--size", type=int, help="Longest side of the crops, pixels. [320]"),
    option("--margin", type=float, help="Shown around the face's box, in its longer sides. [0.3]"),
    option("--upsample", is_flag=True, help="Enlarge the crops of small faces to that size."),
    option("--image-format", type=click.Choice(["jpg", "png", "webp"]), help="How crops are stored. [jpg]"),
    option("--quality", type=int, help="Of JPEG. [95]"),
)
@options(
    "Models",
    option("--reader", help="What reads videos. [pyav]"),
    option("--detector", help="What finds faces. [mtcnn]"),
    option("--landmarks", help="What finds landmarks. [dlib]"),
    option("--landmark-model", help="Its file. [68 points, installed along]"),
)
@options(
    "Run",
    option("--out", type=click.Path(), help="Folder of shards, a new one or one to go on with."),
    option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file to take options from."),
    option("--set", "overrides", multiple=True, metavar="TABLE.NAME=VALUE", help="Override one; may be repeated."),
    option("--workers", type=int, help="Videos worked on at a time. [one per core]"),
    option("--executor", default="process", help="process, serial or ray. [process]"),
    option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="For the networks. [auto]"),
    option("--videos-per-shard", type=click.IntRange(min=1), default=16, help="Of new shards. [16]"),
    option("--retry-skipped", "retry", is_flag=False, flag_value="all", default="", metavar="[REASON]",
           help="Try skipped videos again: all, or those skipped for a reason."),
    option("--strict", is_flag=True, help="Videos that are skipped, or kept with a note, make the exit code 1."),
    option("--dry-run", is_flag=True, help="Show what would be extracted, and write nothing."),
)  # fmt: skip
@json_option
@debug_option
@click.pass_context
def extract(
    ctx: click.Context,
    /,
    src: Path,
    out: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    workers: int | None,
    executor: str,
    device: str,
    videos_per_shard: int,
    retry: str,
    strict: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Tracks the faces of every video and stores them as shards.

    A shard is a tar file of chunks: crops of consecutive frames of one face, with landmarks. It is read by
    mgst_data.shards.ShardReader, and by webdataset.
    """
    if out is None and not dry_run:
        raise click.MissingParameter(param_hint="'--out'", param_type="option", ctx=ctx)

    # Only now: these import torch, and --help should not wait for it.
    from mgst_data.extract import extract as run

    from . import show
    from .progress import extract_watcher
    from .source import build_config, scan_source

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
                device=device,
                videos_per_shard=videos_per_shard,
                retry=retry,
                debug=bool(ctx.meta.get("debug")),
                watcher=watcher,
            )
    except KeyboardInterrupt:
        show.interrupted(out)
        ctx.exit(INTERRUPTED)
    show.summary(summary, as_json=as_json)
    if strict and (summary.skipped or summary.noted):
        ctx.exit(1)
