"""The command ``mgst-data preview-blend``."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import LOCATION, Command, option, options

EPILOG = """\b
Examples:
  mgst-data preview-blend talk.mp4
  mgst-data preview-blend talk.mp4 --preset sbi --set mask.ratios=[1.0]
  mgst-data preview-blend shards --shard --count 8 --set frame_mask.single=1

--set takes the options of mgst_data.augment.SelfBlend. If it names
probabilities of a table (frame_mask, mask.regions), all others of that table are 0.
"""


@click.command("preview-blend", cls=Command, epilog=EPILOG)
@click.argument("video")
@options(
    "Source",
    option("--shard", is_flag=True, help="VIDEO is a folder of shards, or one shard."),
    option(
        "--frames", type=click.IntRange(1, 300), default=16, show_default=True, metavar="N", help="Frames per segment."
    ),
    option(
        "--size",
        type=click.IntRange(32, 1024),
        default=256,
        show_default=True,
        metavar="PIXELS",
        help="Side of each frame.",
    ),
)
@options(
    "Blend",
    option(
        "--preset",
        default="frame_random",
        metavar="NAME",
        help="Preset: frame_random, sbi, varied, consistent or strong_drift. [default: frame_random]",
    ),
    option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random parameters."),
    option(
        "--count",
        type=click.IntRange(1, 100),
        default=4,
        show_default=True,
        metavar="N",
        help="Number of blends to make.",
    ),
    option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set one option of the preset, such as drift=0. Can be repeated.",
    ),
)
@options(
    "Output",
    option("--out", type=LOCATION, metavar="FOLDER",
           help="Folder or URL for the results. [default: VIDEO-blends, next to the video]"),
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
    out: str | Path | None,
) -> None:
    """Applies self-blending to a face and writes a preview.

    VIDEO is the path or URL of a video or a picture; its main face is used. With --shard, VIDEO is a folder of shards.
    The results are a video (paired real segment, fake, mask and difference, side by side), a contact sheet, and a JSON
    file with all sampled parameters.
    \f

    Args:
        video: Video, picture, or with ``shard`` a folder of shards or one shard.
        shard: Whether ``video`` holds shards.
        frames: Frames per segment.
        size: Side of each frame, pixels.
        preset: Name of the preset.
        seed: Seed of the random parameters.
        count: Number of blends to make.
        overrides: Texts ``"name=value"`` of ``--set``.
        out: Path or URL of the folder for the results; None for ``VIDEO-blends`` next to the video.
    """  # noqa: D301 - click shows only the text above the form feed
    # Imported here because torch takes seconds to import, and --help must be fast.
    from ..common.inputs import beside
    from .blend_options import blend_options
    from .blends import Source, preview

    blend = blend_options(preset, overrides)  # report wrong options before any file is read
    out = out or beside(video, "blends")
    preview(Source(video, shard, frames, size), out, preset=preset, blend=blend, seed=seed, count=count)
