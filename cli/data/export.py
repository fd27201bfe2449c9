"""The command ``mgst-data export``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from ..common.errors import debug_option
from ..common.options import LOCATION, Command, json_option, option, options

FORMATS = ("fiftyone", "hf", "coco-video", "folders")
EPILOG = """\b
Examples:
  mgst-data export shards --to folders --out pictures
  mgst-data export shards --to hf --out dataset --split train
  mgst-data export shards_a s3://bucket/shards_b --to coco-video --every 5
  mgst-data export shards --to fiftyone --frames 10

\b
Formats:
  fiftyone    a folder that FiftyOne imports, to look at faces and label them
  hf          Parquet files for Hugging Face datasets, with a card
  coco-video  COCO with videos, tracks, boxes, landmarks and masks
  folders     pictures in SPLIT/real and SPLIT/fake, for ImageFolder

All have a table of the tracks, tracks.csv, and a README.md. hf and coco-video
need the extra formats. The folder holds pictures of faces: keep it as private
as the shards. Exit codes: 0 complete, 1 damaged shard, 2 wrong option or input,
130 interrupted; the same command then continues.
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards", nargs=-1, required=True)
@options(
    "Output",
    option("--to", required=True, type=click.Choice(FORMATS), help="Format; see below."),
    option(
        "--out",
        type=LOCATION,
        metavar="FOLDER",
        help="Folder or URL of the export: new, empty, or an interrupted export. [default: SHARDS-FORMAT]",
    ),
)
@options(
    "Selection",
    option("--split", metavar="NAME", help="Only videos of this split."),
    option("--label", type=click.Choice(["real", "fake"]), help="Only real or only fake videos. [default: both]"),
    option("--method", multiple=True, metavar="NAME", help="Only videos of this method. Can be repeated."),
    option("--every", type=click.IntRange(min=1), metavar="N", help="Take every N-th frame of a track. [default: 1]"),
    option(
        "--frames",
        type=click.IntRange(min=1),
        metavar="N",
        help="Largest number of frames of a track, evenly spaced. [default: all]",
    ),
)
@json_option
@debug_option
def export(
    shards: tuple[str, ...],
    to: str,
    out: str | Path | None,
    split: str | None,
    label: str | None,
    method: tuple[str, ...],
    every: int | None,
    frames: int | None,
    as_json: bool,
) -> None:
    """Exports the tracks of finished SHARDS to the format of another tool.

    SHARDS are paths or URLs. Crops are copied, not encoded again. The label of a frame is its own: a fake video may be
    real in parts. The last line of the output is the command that opens the export.
    \f

    Args:
        shards: Paths or URLs of folders of shards.
        to: Format.
        out: Path or URL of the folder of the export; None for ``SHARDS-FORMAT``.
        split: Only videos of this split; None for all.
        label: Only "real" or only "fake" videos; None for both.
        method: Only videos of these methods; () for all.
        every: Takes every n-th frame; None for all.
        frames: Largest number of frames of a track; None for no limit.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.core.errors import printable
    from mgst_data.export import export_tracks
    from mgst_data.export.tracks import LABELS
    from mgst_data.export.write import STATE
    from mgst_data.shards.outputs import output_folder

    from ..common.inputs import beside
    from ..common.progress import Work, display
    from ..common.show import count, line

    work = Work("reading", unit="tracks")
    place = output_folder(out or beside(shards[0], to), wanted=lambda name: name == STATE, mark=STATE)
    with display(work) as shown, place as folder:

        def saw(what: str, done: int, total: int) -> None:
            work.tell(what, done=done, total=total)
            shown.tick()

        made = export_tracks(
            shards,
            folder.path,
            to=to,
            split=split,
            label=None if label is None else LABELS.index(label),
            methods=method or None,
            every=every or 1,
            frames=frames,
            saw=saw,
        )
        work.tell("uploading") if folder.remote else None
    command = made.command
    if folder.remote:  # the other tools read local folders
        made = replace(made, folder=Path(made.folder.name))
        command = f"copy {folder.location} to this machine, then: {made.command}"
    if as_json:
        content = {"folder": folder.location, "format": made.format, "tracks": made.tracks, "frames": made.frames,
                   "splits": made.splits, "was_complete": made.was_complete, "command": command}  # fmt: skip
        click.echo(json.dumps(content, indent=1))
        return
    done = "nothing to do: already exported" if made.was_complete else "exported"
    line(f"{printable(folder.location)}: {done} {count(made.tracks, 'track')} with {count(made.frames, 'frame')}")
    line(printable(command))
