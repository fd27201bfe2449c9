"""Bytes in and out: local files or fsspec URLs to read, local files to write, whole or not at all."""

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
# An extraction takes a shard of the right size for complete; one that is gone is made anew.
DAMAGED = "copy this shard again, or delete it and run the same extraction again, which makes it anew"
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
    """A whole file; raises FileNotFoundError where there is none and ShardError where it cannot be read."""
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
    """Bytes ``offset`` to ``offset + size`` of a file.

    Local files are mapped into memory: nothing is copied, and what is not looked at is not read from the disk.

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


# The time and size of the file are part of the key, so that a shard written anew is mapped anew.
@lru_cache(maxsize=128)
def _mapped(path: str, modified: int, size: int) -> memoryview:  # noqa: ARG001
    if not size:
        return memoryview(b"")
    with open(path, "rb") as file:  # noqa: PTH123
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says about writing into an OutputError."""
    try:
        yield
    except OSError as error:
        what, hint = _OUTPUT_FAULTS.get(error.errno or 0, (error.strerror or str(error), ""))
        raise OutputError(what, where=path, hint=hint) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file so that it is there whole or not at all, even after a power cut; no part of it is left behind."""
    part = path.with_name(path.name + PART)
    with output_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                sync(file)
            publish(part, path)
        except BaseException:  # an interruption too
            part.unlink(missing_ok=True)
            raise


def sync(file: BinaryIO) -> None:
    """Waits until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def publish(part: Path, path: Path) -> None:
    """Gives a finished, synchronised file its name."""
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot; the file itself is on the disk already
            os.fsync(folder)
    finally:
        os.close(folder)
