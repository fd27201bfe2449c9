"""The options of a local cache for shards behind URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import SIZE, option

if TYPE_CHECKING:
    from mgst_data.shards import ShardCache

DEFAULT = "50GB"


def cache_options() -> tuple[Callable[..., Any], ...]:
    """Declares the options ``--cache`` and ``--cache-size``."""
    return (
        option(
            "--cache",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Local folder for copies of shards that are behind URLs. Several runs may share it.",
        ),
        option(
            "--cache-size",
            type=SIZE,
            metavar="SIZE",
            help=f"Largest size of all copies in --cache together, such as 500MB or 1.5TB. [default: {DEFAULT}]",
        ),
    )


def open_cache(folder: Path | None, size: int | None, places: Iterable[str]) -> ShardCache | None:
    """Returns the cache that the options ask for; None without ``--cache``, or if all shards are local.

    Args:
        folder: Value of ``--cache``.
        size: Value of ``--cache-size``, bytes.
        places: Folders of shards, by path or URL.

    Raises:
        UsageError: if there is a size without a folder.
        OutputError: if the folder cannot be written.
    """
    from mgst_data.core import UsageError
    from mgst_data.core.locations import is_url
    from mgst_data.shards import ShardCache

    if folder is None:
        if size is not None:
            raise UsageError("--cache-size needs --cache", hint="add --cache FOLDER")
        return None
    if not any(map(is_url, places)):
        click.echo("note: --cache is not used: all shards are local", err=True)
        return None
    return ShardCache(folder) if size is None else ShardCache(folder, size=size)
