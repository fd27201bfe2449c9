"""Keeps what was computed from each shard in the subfolder ``people``, so that it is computed only once."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from mgst_data.core import ShardError
from mgst_data.shards import ShardReport
from mgst_data.shards.storage import output_errors, write_atomic

FOLDER = "people"
# A structured array: one row per track, or per hashed frame.
Rows = Shaped[np.ndarray, " n"]


def kept_at(folder: str, report: ShardReport, kind: str) -> Path:
    """Returns the path of the rows of a shard. It depends on the content of the shard and on how the rows are made.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.
        kind: Name of the rows, a dot, and whatever determines them, for example ``"faces.NETWORK"``.
    """
    content = "\n".join([*(file.sha256 for file in report.files), kind])
    digest = hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
    return Path(folder, FOLDER, f"{report.name}.{kind.partition('.')[0]}-{digest}.npy")


def save_rows(folder: str, report: ShardReport, kind: str, rows: Rows) -> None:
    """Writes the rows of a shard, and deletes those of earlier versions of the shard.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.
        kind: See :func:`kept_at`.
        rows: A structured array without Python objects.

    Raises:
        OutputError: if the folder cannot be written.
    """
    path = kept_at(folder, report, kind)
    stream = io.BytesIO()
    np.save(stream, rows, allow_pickle=False)
    with output_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
        for earlier in path.parent.glob(f"{report.name}.{kind.partition('.')[0]}-*.npy"):
            earlier.unlink()
    write_atomic(path, stream.getvalue())


def load_rows(folder: str, report: ShardReport, kind: str) -> Rows:
    """Reads the rows of a shard.

    Args:
        folder: Folder of the shard.
        report: Report of the shard.
        kind: See :func:`kept_at`.

    Raises:
        ShardError: if the file is missing or damaged.
    """
    path = kept_at(folder, report, kind)
    try:
        rows: Rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ShardError("damaged", where=path, hint="delete it and run the same command again") from error
    return rows
