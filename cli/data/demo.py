"""The command ``mgst-data demo``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import Command


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo/videos"),
    show_default=True,
    metavar="FOLDER",
    help="Folder for the videos.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random movements.")
@debug_option
def demo(out: Path, seed: int) -> None:
    """Renders a small data set for trying out the commands.

    Real videos: the face in a portrait photograph moves like that of a speaker. Fake videos: its face is swapped. The
    files are in the directory layout of FaceForensics++.
    \f

    Args:
        out: Folder for the videos.
        seed: Seed of the random movements.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.demo import render_demo

    from ..common.progress import Work, display

    work = Work("rendering", unit="videos")
    with display(work, interval=None):
        videos = render_demo(
            out, seed=seed, progress=lambda done, total: work.tell("rendering", done=done, total=total)
        )
    click.echo(f"{out}: {len(videos)} videos in the directory layout of FaceForensics++")
    click.echo(f"next: mgst-data extract --src {shlex.quote(str(out))} --out shards")
