"""Reads the lists and tables of a data set. Errors name the file and the line."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgst_data.core import FAKE, REAL, LayoutError
from mgst_data.core.documents import parse_json


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        columns: Names of the columns, in lower case.
        rows: Line number and values by column name, for each row.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_text(path: Path) -> str:
    """Reads a text file; bytes that are not UTF-8 are decoded to surrogates, as in file names.

    Raises:
        LayoutError: if the file cannot be read, is not a regular file or is not text.
    """
    if path.exists() and not path.is_file():
        # Opening a pipe would block until a writer opens it.
        raise LayoutError("not a regular file", where=path, hint="replace it with a text file")
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        failure = unreadable(error, path)
        raise failure from error
    if "\0" in text:
        raise LayoutError("not UTF-8 text", where=path, hint="save it as UTF-8")
    return text


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        LayoutError: if the file cannot be read or is not valid JSON.
    """
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise LayoutError(f"not valid JSON: {error}", where=path, hint="download the file again") from error


def read_csv(path: Path) -> Table:
    """Reads a CSV table with a header. Column names are converted to lower case; empty lines are ignored.

    Raises:
        LayoutError: if the file is not valid CSV, or if a line has another number of values than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        lines = [(reader.line_num, [value.strip() for value in values]) for values in reader if values]
    except csv.Error as error:
        raise LayoutError(
            f"not valid CSV: {error}", where=f"{path}:{reader.line_num}", hint="correct the line"
        ) from error
    columns = tuple(name.lower() for name in lines[0][1]) if lines else ()
    for number, values in lines:
        if len(values) != len(columns):
            what = f"has {len(values)} values for {len(columns)} columns"
            raise LayoutError(what, where=f"{path}:{number}", hint="put values with commas in double quotes")
    return Table(columns, tuple((number, dict(zip(columns, values, strict=True))) for number, values in lines[1:]))


def parse_label(value: object) -> int | None:
    """Returns the label for 0, 1, "real" or "fake", in upper or lower case; None for any other value."""
    return {"0": REAL, "real": REAL, "1": FAKE, "fake": FAKE}.get(str(value).strip().lower())


def unreadable(error: OSError, path: str | Path, reason: str = "") -> LayoutError:
    """Returns the error for a file or folder that cannot be opened.

    Args:
        error: Error of the operating system.
        path: File or folder.
        reason: Reason code; by default that of :class:`LayoutError`.
    """
    what = (error.strerror or "cannot be read").lower()
    hint = "check its permissions" if isinstance(error, PermissionError) else "check the path"
    return LayoutError(what, where=path, hint=hint, reason=reason)
