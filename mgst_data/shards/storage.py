"""Reads local files and fsspec URLs, and writes local files atomically."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from mgst_data.core import OutputError, ShardError
from mgst_data.core.locations import is_url

PART = ".part"
# The damaged shard must be deleted: the extraction treats a shard of the right size as complete.
DAMAGED = "copy this shard again, or delete it and run the same extraction again; it makes the shard again"
_OUTPUT_FAULTS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: (
        "the file is too large for its file system or for a limit",
        "raise the limit (ulimit -f), or choose an output folder on another file system",
    ),
    errno.EROFS: ("the file system is read-only", "choose another output folder"),
    errno.EACCES: ("no permission to write", "choose another output folder or change its permissions"),
    errno.EPERM: ("no permission to write", "choose another output folder or change its permissions"),
    errno.ENOTDIR: ("a part of this path is a file", "choose another output folder"),
    errno.EEXIST: ("this is a file, not a folder", "choose another output folder"),
}


def read_bytes(location: str) -> bytes:
    """Reads a whole file.

    Args:
        location: Path or URL of the file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ShardError: if the file cannot be read.
    """
    try:
        if not is_url(location):
            return Path(location).read_bytes()
        import fsspec  # only URLs need it

        with fsspec.open(location, "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ShardError(error.strerror or str(error), where=location) from error


def read_span(location: str, offset: int, size: int) -> memoryview:
    """Reads bytes ``offset`` to ``offset + size`` of a file.

    Local files are memory-mapped: no data is copied, and pages are read from the disk only when they are used.

    Args:
        location: Path or URL of the file.
        offset: First byte.
        size: Number of bytes.

    Raises:
        ShardError: if the file is missing, cannot be read, or ends earlier.
    """
    try:
        if is_url(location):
            import fsspec  # only URLs need it

            file_system, path = fsspec.core.url_to_fs(location)
            data = memoryview(file_system.cat_file(path, start=offset, end=offset + size))
        else:
            status = os.stat(location)  # noqa: PTH116 (called for every sample: a Path costs more than the call)
            data = _mapped(location, status.st_mtime_ns, status.st_size)[offset : offset + size]
    except OSError as error:
        raise ShardError(error.strerror or str(error), where=location) from error
    if len(data) < size:
        raise ShardError(f"ends before byte {offset + size}", where=location, hint=DAMAGED)
    return data


# The time and size of the file are part of the cache key, so that a shard that is written again is mapped again.
@lru_cache(maxsize=128)
def _mapped(path: str, modified: int, size: int) -> memoryview:  # noqa: ARG001
    if not size:
        return memoryview(b"")
    with open(path, "rb") as file:  # noqa: PTH123
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Converts an OSError of a write operation into an OutputError.

    Args:
        path: File or folder that is written, for the error message.

    Raises:
        OutputError: if the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        what, hint = _OUTPUT_FAULTS.get(error.errno or 0, (error.strerror or str(error), ""))
        raise OutputError(what, where=path, hint=hint) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file atomically: it exists completely or not at all, even after a power failure.

    Args:
        path: File to write.
        data: Content of the file.

    Raises:
        OutputError: if the file cannot be written. Then no partial file is left.
    """
    part = path.with_name(path.name + PART)
    with output_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                sync(file)
            publish(part, path)
        except BaseException:  # also for KeyboardInterrupt
            part.unlink(missing_ok=True)
            raise


def sync(file: BinaryIO) -> None:
    """Waits until all written data is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def publish(part: Path, path: Path) -> None:
    """Renames a finished, synchronised file to its final name.

    Args:
        part: Finished file.
        path: Final path, in the same folder.
    """
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # not supported by some network file systems; the file is already on the disk
            os.fsync(folder)
    finally:
        os.close(folder)
