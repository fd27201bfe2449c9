"""The command ``mgst-data report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import LOCATION, Command, json_option, option, options

EPILOG = """\b
Examples:
  mgst-data report shards
  mgst-data report shards --src data/ffpp --out report
  mgst-data report shards_a s3://bucket/shards_b --split test

Open index.html in a browser. It needs no server and no network. The folder
holds pictures of faces: keep it as private as the shards.
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards", nargs=-1, required=True)
@options(
    "Output",
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL of the report. [default: SHARDS-report]",
    ),
    option(
        "--src",
        multiple=True,
        metavar="FOLDER",
        help="Folder or URL of the data set, to show first frames of skipped videos. Can be repeated.",
    ),
    option("--split", metavar="NAME", help="Only videos of this split."),
    option("--method", multiple=True, metavar="NAME", help="Only videos of this method. Can be repeated."),
    option(
        "--no-near-duplicates",
        is_flag=True,
        help="Do not look for videos that are copies of others. Their hashes are kept beside the shards.",
    ),
)
@options(
    "Film strips",
    option("--frames", type=click.IntRange(1, 100), metavar="N", help="Frames of each track. [default: 12]"),
    option("--side", type=click.IntRange(16, 512), metavar="PIXELS", help="Side of each frame. [default: 144]"),
)
@options(
    "Run",
    option("--workers", type=click.IntRange(min=1), metavar="N",
           help="Number of threads, and of processes that compare videos. [default: one per core]"),
)  # fmt: skip
@json_option
@debug_option
def report(
    shards: tuple[str, ...],
    out: str | Path | None,
    src: tuple[str, ...],
    split: str | None,
    method: tuple[str, ...],
    no_near_duplicates: bool,
    frames: int | None,
    side: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Writes an HTML report on folders of shards.

    SHARDS are paths or URLs. The page has totals, skipped videos with the reason, distributions, and a wall of all
    tracks that can be filtered and sorted. Each track opens as a film strip with landmarks, masks and numbers. Possible
    duplicates and outliers come first.
    \f

    Args:
        shards: Paths or URLs of folders of shards.
        out: Path or URL of the folder of the report; None for ``SHARDS-report``.
        src: Paths or URLs of the folders of the data sets.
        split: Only videos of this split; None for all.
        method: Only videos of these methods; () for all.
        no_near_duplicates: Whether not to look for near-duplicates.
        frames: Frames of each film strip; None for the default.
        side: Side of each frame, pixels; None for the default.
        workers: Number of threads and processes; None for one per core.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.core.errors import printable
    from mgst_data.report import write_report
    from mgst_data.report.write import PAGE
    from mgst_data.shards.outputs import output_folder

    from ..common.inputs import beside
    from ..common.progress import Work, display
    from ..common.show import count, line

    work = Work("reading", unit="parts")
    sizes = {"frames": frames, "side": side}
    place = output_folder(out or beside(shards[0], "report"), wanted=lambda _: False, mark=PAGE)
    with display(work) as shown, place as folder:

        def saw(what: str, done: int, total: int) -> None:
            work.tell(what, done=done, total=total)
            shown.tick()

        result = write_report(
            shards,
            folder.path,
            split=split,
            methods=method or None,
            roots=src,
            duplicates=not no_near_duplicates,
            workers=workers,
            saw=saw,
            **{name: value for name, value in sizes.items() if value is not None},
        )
        work.tell("uploading") if folder.remote else None
    page = folder.name(result.page)
    if as_json:
        content = {"page": page, "tracks": result.tracks, "duplicates": result.duplicates,
                   "outliers": result.outliers, "totals": result.totals.as_dict()}  # fmt: skip
        click.echo(json.dumps(content, indent=1))
        return
    found = [count(result.tracks, "track"), f"{result.outliers:,} with outliers"]
    if result.duplicates is not None:
        found.append(count(result.duplicates, "pair") + " of possible duplicates")
    line(f"{', '.join(found)}; open {printable(page)}")
