"""The ``README.md`` of an export: what is in it, where it comes from, and how to read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple

from mgst_data import __version__
from mgst_data.export.fields import FRAME_FIELDS, TRACK_FIELDS
from mgst_data.export.format import Format
from mgst_data.export.table import COLUMNS, TABLE, Count
from mgst_data.export.tracks import ALL_SPLITS

CARD = "README.md"
_PAGE = """\
# Face tracks of {datasets}

Crops of faces that were followed through videos, exported by mgst {version} for {title}.
{choice}

## Contents

{counts}

{methods}

A track is one face in one video. The crop stays where it is until the face moves out of it; the crops of a track may
therefore differ in size.

## Files

{files}- `{table}`: one row per track.
- `README.md`: this page.
- `export.json`: the options of the export. It was written last; while it is there, the export is complete.

## Read it

```python
{use}```

## Coordinates

The origin is the upper left corner; x points to the right, y down. "Pixels of the crop" are those of the exported
picture, "pixels of the video" those of the frame that it was cut from. `crop_from_frame` is the transform from the
second to the first.

## Fields

{fields}

Columns of `{table}` beside these:

{columns}

## Sources, licences and privacy

The crops are parts of frames of these data sets: {datasets}. The licences and terms of use of the data sets hold for
the crops, too; many do not allow passing them on. Labels and methods are those of the data sets. Boxes and
landmarks were made by models and have errors. The pictures show faces of people: keep them as private as the videos.
"""


def write_card(
    made: Format, counts: Mapping[str, Count], datasets: Mapping[str, Iterable[str]], *, choice: str, head: str
) -> str:
    """Returns the text of the card.

    Args:
        made: The format.
        counts: Numbers of tracks and frames by split.
        datasets: Methods by data set.
        choice: Which frames were chosen, as a sentence.
        head: YAML head, or "".
    """
    splits = [split for split in ALL_SPLITS if split in counts]
    rows = [(split, *astuple(counts[split])) for split in splits]
    methods = [(name or "unknown", ", ".join(sorted(some))) for name, some in sorted(datasets.items())]
    return head + _PAGE.format(
        datasets=", ".join(name for name, _ in methods),
        version=__version__,
        title=made.title,
        choice=choice,
        counts=_table(("split", "tracks", "real frames", "fake frames"), rows),
        methods=_table(("data set", "methods"), methods),
        files=made.files,
        table=TABLE,
        use=made.use.replace("{split}", splits[0]),
        fields=_table(
            ("field", "meaning"), [(f"`{name}`", text) for name, text in (FRAME_FIELDS | TRACK_FIELDS).items()]
        ),
        columns=_table(("column", "meaning"), [(f"`{name}`", text) for name, text in COLUMNS.items()]),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
