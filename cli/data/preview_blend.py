"""``mgst-data preview-blend``."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import Command, option, options

EPILOG = """\b
Examples:
  mgst-data preview-blend talk.mp4
  mgst-data preview-blend talk.mp4 --preset sbi --set mask.ratios=[1.0]
  mgst-data preview-blend shards --shard --count 8 --set gate.single=1

Options of --set are those of mgst_data.augment.SelfBlend. Chances that share a
table (gate, mask.regions) are replaced by those that are named.
"""


@click.command("preview-blend", cls=Command, epilog=EPILOG)
@click.argument("video")
@options(
    "Source",
    option("--shard", is_flag=True, help="VIDEO is a folder of shards, or one of them."),
    option("--frames", type=click.IntRange(1, 300), default=16, show_default=True, help="Of a segment."),
    option("--size", type=click.IntRange(32, 1024), default=256, show_default=True, help="Of a frame, pixels."),
)
@options(
    "Blend",
    option(
        "--preset",
        default="frame_random",
        metavar="NAME",
        help="frame_random, sbi, consistent or strong_drift. [frame_random]",
    ),
    option("--seed", type=int, default=0, show_default=True, help="Another one gives other draws."),
    option("--count", type=click.IntRange(1, 100), default=4, show_default=True, help="Draws."),
    option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Change an option; may be repeated."),
)
@options(
    "Output",
    option("--out", type=click.Path(path_type=Path), help="Folder. [VIDEO-blends beside the video]"),
)  # fmt: skip
@debug_option
def preview_blend(
    video: str,
    shard: bool,
    frames: int,
    size: int,
    preset: str,
    seed: int,
    count: int,
    overrides: tuple[str, ...],
    out: Path | None,
) -> None:
    """Shows what self-blending makes of a face.

    VIDEO is a video or a picture, of which the main face is taken, or with --shard a folder of shards. Written are a
    video (real twin, fake, mask and difference side by side), a contact sheet, and a JSON file of all that was drawn.
    """
    # Only now: these import torch, and --help should not wait for it.
    from ..common.inputs import beside
    from .blend_options import blend_options
    from .blends import Source, preview

    blend = blend_options(preset, overrides)  # what makes no sense is said before anything is read
    out = out or beside(video, "blends")
    preview(Source(video, shard, frames, size), out, preset=preset, blend=blend, seed=seed, count=count)
