"""``mgst-data sheet``."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import Command

EPILOG = """\b
Examples:
  mgst-data sheet shards
  mgst-data sheet shards --out sheets --chunks 2
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the pictures.  [SHARDS-sheets]")
@click.option("--split", help="Only this split.")
@click.option("--method", multiple=True, help="Only this method; may be repeated.")
@click.option("--chunks", type=click.IntRange(min=1), help="Chunks per video, evenly spaced.  [all]")
@click.option("--rows", type=click.IntRange(min=1), default=12, show_default=True, help="Chunks per picture.")
@click.option("--columns", type=click.IntRange(min=1), default=8, show_default=True, help="Frames per chunk.")
@click.option("--side", type=click.IntRange(min=16), default=144, show_default=True, help="Of each crop, pixels.")
@debug_option
def sheet(
    shards: str,
    out: Path | None,
    split: str | None,
    method: tuple[str, ...],
    chunks: int | None,
    rows: int,
    columns: int,
    side: int,
) -> None:
    """Draws contact sheets of what is in SHARDS.

    A row shows frames of one chunk, with the face's box and the landmarks; invalid ones are red.
    """
    from mgst_data.core import UsageError
    from mgst_data.core.errors import printable
    from mgst_data.preview import write_sheets
    from mgst_data.shards import ShardReader

    from ..common.inputs import beside

    out = out or beside(shards, "sheets")
    reader = ShardReader.open(shards, split=split, methods=method or None)
    if not len(reader):
        raise UsageError("no face was kept here of such videos", where=shards, hint="leave --split or --method out")
    count = write_sheets(reader, out, per_video=chunks, rows=rows, columns=columns, side=side)
    click.echo(f"{printable(out)}: {count:,} {'sheet' if count == 1 else 'sheets'}")
