"""The command ``mgst-data demo``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import LOCATION, Command


@click.command(cls=Command)
@click.option(
    "--out",
    type=LOCATION,
    default=Path("demo/videos"),
    show_default=True,
    metavar="FOLDER",
    help="Folder or URL for the videos.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the random movements.")
@debug_option
def demo(out: str | Path, seed: int) -> None:
    """Renders a small data set for trying out the commands.

    Real videos: the face in a portrait photograph moves like that of a speaker. Fake videos: its face is swapped. The
    files are in the directory layout of FaceForensics++.
    \f

    Args:
        out: Path or URL of the folder for the videos.
        seed: Seed of the random movements.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.datasets.find import DEMO_MARK
    from mgst_data.demo import render_demo
    from mgst_data.shards.outputs import output_folder

    from ..common.progress import Work, display

    work = Work("rendering", unit="videos")
    with display(work, interval=None), output_folder(out, wanted=lambda _: False, mark=DEMO_MARK) as folder:
        videos = render_demo(
            folder.path, seed=seed, progress=lambda done, total: work.tell("rendering", done=done, total=total)
        )
    click.echo(f"{out}: {len(videos)} videos in the directory layout of FaceForensics++")
    click.echo(f"next: mgst-data extract --src {shlex.quote(str(out))} --out shards")
