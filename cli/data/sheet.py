"""The command ``mgst-data sheet``."""

from __future__ import annotations

from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import LOCATION, Command

EPILOG = """\b
Examples:
  mgst-data sheet shards
  mgst-data sheet shards --out sheets --chunks 2
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards")
@click.option("--out", type=LOCATION, metavar="FOLDER", help="Folder or URL for the sheets.  [default: SHARDS-sheets]")
@click.option("--split", metavar="NAME", help="Only videos of this split.")
@click.option("--method", multiple=True, metavar="NAME", help="Only videos of this method. Can be repeated.")
@click.option(
    "--chunks", type=click.IntRange(min=1), metavar="N", help="Chunks per video, evenly spaced.  [default: all]"
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    metavar="N",
    help="Rows per sheet, one chunk each; pictures share rows.",
)
@click.option(
    "--columns", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="Frames per row."
)
@click.option(
    "--side", type=click.IntRange(min=16), default=144, show_default=True, metavar="PIXELS", help="Side of each crop."
)
@debug_option
def sheet(
    shards: str,
    out: str | Path | None,
    split: str | None,
    method: tuple[str, ...],
    chunks: int | None,
    rows: int,
    columns: int,
    side: int,
) -> None:
    """Draws contact sheets of the chunks in SHARDS.

    Each row shows frames of one chunk with the face box and the landmarks. Pictures share rows. Invalid landmarks are
    red.
    \f

    Args:
        shards: Path or URL of the folder of shards.
        out: Path or URL of the folder for the sheets; None for ``SHARDS-sheets``.
        split: Only videos of this split; None for all.
        method: Only videos of these methods; () for all.
        chunks: Chunks per video, evenly spaced; None for all.
        rows: Rows per sheet, one chunk each.
        columns: Frames per row.
        side: Side of each crop, pixels.

    Raises:
        UsageError: if no video matches, or a matching video has no chunk.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.core import UsageError
    from mgst_data.core.errors import printable
    from mgst_data.preview import write_sheets
    from mgst_data.shards import ShardReader
    from mgst_data.shards.outputs import output_folder

    from ..common.inputs import beside

    reader = ShardReader.open(shards, split=split, methods=method or None)
    if not len(reader):
        raise UsageError("no chunk matches --split and --method", where=shards, hint="omit --split or --method")
    with output_folder(out or beside(shards, "sheets"), wanted=lambda _: False) as folder:
        count = write_sheets(reader, folder.path, per_video=chunks, rows=rows, columns=columns, side=side)
    click.echo(f"{printable(folder.location)}: {count:,} {'sheet' if count == 1 else 'sheets'}")
