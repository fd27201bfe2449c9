"""``mgst-data demo``."""

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
    help="Folder of the videos.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one gives other movements.")
@debug_option
def demo(out: Path, seed: int) -> None:
    """Renders a small data set to try everything with.

    A real portrait is moved like a talking head, and its face is swapped, in the layout of FaceForensics++.
    """
    from mgst_data.demo import render_demo

    from ..common.progress import Work, display

    work = Work("rendering", unit="videos")
    with display(work, interval=None):
        videos = render_demo(
            out, seed=seed, progress=lambda done, total: work.tell("rendering", done=done, total=total)
        )
    click.echo(f"{out}: {len(videos)} videos in the layout of FaceForensics++")
    click.echo(f"next: mgst-data extract --src {shlex.quote(str(out))} --out shards")
