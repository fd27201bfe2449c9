"""Reads the lists and tables of a data set. Errors name the file and the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
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
    return "".join(text_lines(path, newline="\n"))


def text_lines(path: Path, newline: str = "") -> Iterator[str]:
    """Yields the lines of a text file, with their ends; the whole file is never in memory.

    Args:
        path: The file.
        newline: End of a line, as for ``open``: "" for all that Python knows.

    Raises:
        LayoutError: as for :func:`read_text`.
    """
    if path.exists() and not path.is_file():
        # Opening a pipe would block until a writer opens it.
        raise LayoutError("not a regular file", where=path, hint="replace it with a text file")
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
            for line in file:
                if "\0" in line:
                    raise LayoutError("not UTF-8 text", where=path, hint="save it as UTF-8")
                yield line
    except OSError as error:
        failure = unreadable(error, path)
        raise failure from error


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
    columns, rows = csv_rows(path)
    return Table(columns, tuple(rows))


def csv_rows(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[int, dict[str, str]]]]:
    """Returns the columns of a CSV table, and its rows one by one: line number and values by column name.

    Raises:
        LayoutError: as for :func:`read_csv`; for a row, when it is read.
    """
    lines = _csv_lines(path)
    columns = tuple(name.lower() for name in next(lines, (0, []))[1])

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for number, values in lines:
            if len(values) != len(columns):
                what = f"has {len(values)} values for {len(columns)} columns"
                raise LayoutError(what, where=f"{path}:{number}", hint="put values with commas in double quotes")
            yield number, dict(zip(columns, values, strict=True))

    return columns, rows()


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text_lines(path), strict=True)
    try:
        for values in reader:
            if values:
                yield reader.line_num, [value.strip() for value in values]
    except csv.Error as error:
        raise LayoutError(
            f"not valid CSV: {error}", where=f"{path}:{reader.line_num}", hint="correct the line"
        ) from error


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
