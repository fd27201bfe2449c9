"""Tables, lines and numbers for people."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table


def line(text: str = "", *, err: bool = False) -> None:
    """Prints one line, however long; the terminal may wrap it, a file gets it whole."""
    click.echo(text, err=err)


def table(first: str, *columns: str) -> Table:
    """A table of names and numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(first, overflow="fold")
    for column in columns:
        made.add_column(column, justify="right", no_wrap=True)
    return made


def show_table(made: Table) -> None:
    """Prints a table to stdout."""
    Console(highlight=False).print(made)


def size(count: float) -> str:
    """A number of bytes for people: ``"45.1 MB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "bytes" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count(number: int, what: str) -> str:
    """``"1 video"``, ``"1,024 videos"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """``"0:01:30"``; hours go beyond a day."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def section(heading: str, lines: Iterable[str]) -> None:
    """Prints an empty line, a heading, and lines below it, indented."""
    line("\n".join(("", heading, *(f"  {text}" for text in lines))))
