"""Prints tables, lines and numbers in readable form."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table


def line(text: str = "", *, err: bool = False) -> None:
    """Prints one line of any length. It is not broken: only the terminal may wrap it.

    Args:
        text: The line, without a newline at the end.
        err: Print to stderr instead of stdout.
    """
    click.echo(text, err=err)


def table(first: str, *columns: str) -> Table:
    """Returns an empty table: the first column holds names, the other columns hold numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(first, overflow="fold")
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def show_table(made: Table) -> None:
    """Prints a table to stdout."""
    Console(highlight=False).print(made)


def size(count: float) -> str:
    """Formats a number of bytes: ``"45.1 MB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count(number: int, what: str) -> str:
    """Formats a number with its noun: ``"1 video"``, ``"1,024 videos"``.

    Args:
        number: How many there are.
        what: Noun in the singular; the plural must end in s.
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Formats seconds as hours, minutes and seconds: ``"0:01:30"``. Hours are not converted to days."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def section(heading: str, lines: Iterable[str]) -> None:
    """Prints an empty line, a heading, and indented lines.

    Args:
        heading: Heading of the section.
        lines: Lines below the heading.
    """
    line("\n".join(("", heading, *(f"  {text}" for text in lines))))
