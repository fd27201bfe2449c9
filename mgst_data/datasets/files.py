"""Reading the lists and tables that come with a data set, with errors that say what, where and which line."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import FAKE, REAL, LayoutError


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text: the names of its columns, and each row's line number and values by column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_text(path: Path) -> str:
    """Reads a text file; bytes that are no UTF-8 become surrogates, as in file names.

    Raises:
        LayoutError: if the file cannot be read, or is no regular file or no text.
    """
    if path.exists() and not path.is_file():
        # Opening a pipe would wait for somebody to write to it.
        raise LayoutError("is not a regular file", where=path, hint="put a text file in its place")
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise unreadable(error, path) from error
    if "\0" in text:
        raise LayoutError("is no UTF-8 text", where=path, hint="save it as UTF-8")
    return text


def read_json(path: Path) -> Any:
    """Reads a JSON file; raises LayoutError that says where it breaks."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"is no valid JSON: {error}", where=path, hint="fetch the file again") from error


def read_csv(path: Path) -> Table:
    """Reads a table with a header. Names of columns are in lower case; empty lines are passed over.

    Raises:
        LayoutError: if the file is no CSV or a line has another number of values than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        lines = [(reader.line_num, [value.strip() for value in values]) for values in reader if values]
    except csv.Error as error:
        raise LayoutError(
            f"is no valid CSV: {error}", where=f"{path}:{reader.line_num}", hint="fix the line"
        ) from error
    columns = tuple(name.lower() for name in lines[0][1]) if lines else ()
    for number, values in lines:
        if len(values) != len(columns):
            what = f"has {len(values)} values for {len(columns)} columns"
            raise LayoutError(what, where=f"{path}:{number}", hint="put values with commas in double quotes")
    return Table(columns, tuple((number, dict(zip(columns, values, strict=True))) for number, values in lines[1:]))


def parse_label(value: object) -> int | None:
    """Reads 0, 1, "real" or "fake" (in any case) as a label; None for anything else."""
    return {"0": REAL, "real": REAL, "1": FAKE, "fake": FAKE}.get(str(value).strip().lower())


def unreadable(error: OSError, path: str | Path, reason: str = "") -> LayoutError:
    """The error for a file or folder that the system refuses to open."""
    what = (error.strerror or "cannot be read").lower()
    hint = "check its permissions" if isinstance(error, PermissionError) else "check the path"
    return LayoutError(what, where=path, hint=hint, reason=reason)
