"""Keeps what was computed from each shard in the subfolder ``people``, so that it is computed only once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Shaped

from mgst_data.core import ShardError
from mgst_data.shards import ShardReport
from mgst_data.shards.storage import output_errors
from mgst_data.shards.store import ShardStore

FOLDER = "people"
# A structured array: one row per track, or per hashed frame.
Rows = Shaped[np.ndarray, " n"]


def store_of(folder: str) -> ShardStore:
    """Returns the subfolder ``people`` of a folder of shards.

    Args:
        folder: Path or fsspec URL of the folder of shards.
    """
    return ShardStore.at(ShardStore.at(folder).url(FOLDER))


def kept_name(report: ShardReport, kind: str) -> str:
    """Returns the file name of the rows of a shard. It depends on the shard's content and on how the rows are made.

    Args:
        report: Report of the shard.
        kind: Name of the rows, a dot, and whatever determines them, for example ``"faces.NETWORK"``.
    """
    content = "\n".join([*(file.sha256 for file in report.files), kind])
    digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    return f"{report.name}.{kind.partition('.')[0]}-{digest}.npy"


def without_rows(folder: str, reports: Iterable[ShardReport], kind: str) -> list[tuple[str, ShardReport]]:
    """Returns the shards whose rows are not kept yet, each with its folder.

    Args:
        folder: Path or fsspec URL of the folder of shards.
        reports: Reports of its shards.
        kind: See :func:`kept_name`.

    Raises:
        ShardError: if the folder cannot be listed.
    """
    there = set(store_of(folder).names())
    return [(folder, report) for report in reports if kept_name(report, kind) not in there]


def save_rows(folder: str, report: ShardReport, kind: str, rows: Rows) -> None:
    """Writes the rows of a shard, and deletes those of earlier versions of the shard.

    Args:
        folder: Path or fsspec URL of the folder of the shard.
        report: Report of the shard.
        kind: See :func:`kept_name`.
        rows: A structured array without Python objects.

    Raises:
        OutputError: if the folder cannot be written.
        ShardError: if a folder behind a URL cannot be listed.
    """
    store, name = store_of(folder), kept_name(report, kind)
    stream = io.BytesIO()
    np.save(stream, rows, allow_pickle=False)
    if not store.remote:
        with output_errors(store.workspace):
            store.workspace.mkdir(exist_ok=True)
    start = name.rpartition("-")[0] + "-"
    for earlier in store.names():
        if earlier.startswith(start) and earlier.endswith(".npy"):
            store.remove(earlier)
    store.write(name, stream.getvalue())


def load_rows(folder: str, reports: Sequence[ShardReport], kind: str) -> list[Rows]:
    """Reads the rows of shards.

    Args:
        folder: Path or fsspec URL of the folder of the shards.
        reports: Reports of the shards.
        kind: See :func:`kept_name`.

    Raises:
        ShardError: if a file is missing or damaged.
    """
    store, names = store_of(folder), [kept_name(report, kind) for report in reports]
    found = dict(store.read_all(names))
    loaded: list[Rows] = []
    for name in names:
        try:
            loaded.append(np.load(io.BytesIO(found[name]), allow_pickle=False))
        except (KeyError, OSError, ValueError, EOFError) as error:
            hint = "delete it and run the same command again"
            raise ShardError("damaged", where=store.url(name), hint=hint) from error
    return loaded
