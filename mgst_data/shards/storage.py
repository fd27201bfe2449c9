"""Reads local files and fsspec URLs, and writes local files atomically. ``store.py`` writes to URLs."""

from __future__ import annotations

import errno
import mmap
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from mgst_data.core import MgstError, OutputError, ShardError, UsageError
from mgst_data.core.locations import is_url, package_errors

T = TypeVar("T")

PART = ".part"
# Suffix of the folder in which a worker has copies of remote videos.
COPIES = "copies"
# An operation on a URL is tried so often, with a random pause between the tries whose upper end doubles from this
# number of seconds. The packages of the stores try again too, so no new try begins after _LONGEST seconds.
_TRIES, _PAUSE, _LONGEST = 5, 0.4, 20.0
# Answers of a store that another try does not change.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
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

# Faults of the local disk, where a file from a store is copied to.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def read_bytes(location: str) -> bytes:
    """Reads a whole file.

    Args:
        location: Path or URL of the file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ShardError: if the file cannot be read.
    """
    if is_url(location):
        return bytes(at_url(location, lambda files, path: files.cat_file(path), fault=ShardError))
    try:
        return Path(location).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ShardError(error.strerror or str(error), where=location) from error


def at_url(location: str, work: Callable[[Any, str], T], *, fault: Callable[..., MgstError]) -> T:
    """Works on a file behind a URL. Tries again after errors that may pass, such as a busy store.

    Args:
        location: URL of the file or folder.
        work: Receives the fsspec file system, and the path in it.
        fault: Makes the error for all that the store cannot do: a class of errors, or a function like one.

    Returns:
        What ``work`` returns.

    Raises:
        FileNotFoundError: if the file, its folder or its bucket does not exist.
        FileExistsError: from ``work``.
        UsageError: if there is no file system for the URL.
        OutputError: if the local disk is full.
        MgstError: from ``fault``, for every other failure.
    """
    import fsspec  # only URLs need it, and the next one

    try:
        files, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise UsageError(str(error), where=location, hint="install its package, or correct the URL") from error
    tries = Retrying(
        stop=stop_after_attempt(_TRIES) | stop_after_delay(_LONGEST),
        wait=wait_random_exponential(_PAUSE, max=_LONGEST),
        retry=retry_if_exception(
            lambda error: isinstance(error, _store_errors()) and not (isinstance(error, _FINAL) or _is_full(error))
        ),
        reraise=True,
    )
    try:
        return tries(work, files, path)
    except (FileNotFoundError, FileExistsError):
        raise
    except PermissionError as error:
        hint = "check the credentials that the store reads from its environment, and the rights of their user"
        raise fault("no permission", where=location, hint=hint) from error
    except _store_errors() as error:
        if _is_full(error):
            what, hint = _OUTPUT_FAULTS[error.errno or 0]
            raise OutputError(what, where=error.filename or location, hint=hint) from error
        what = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        hint = "check the URL, the network and the credentials, then run the same command again"
        raise fault(f"the store does not answer as expected: {what}", where=location, hint=hint) from error


def _store_errors() -> tuple[type[BaseException], ...]:
    """Returns the classes of what stores raise."""
    return (OSError, *package_errors())


def _is_full(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in _FULL


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
            end = offset + size
            read = at_url(location, lambda files, path: files.cat_file(path, start=offset, end=end), fault=ShardError)
            data = memoryview(read)
        else:
            status = os.stat(location)  # noqa: PTH116 (called for every sample: a Path costs more than the call)
            data = _mapped(location, status.st_mtime_ns, status.st_size)[offset : offset + size]
    except OSError as error:
        raise ShardError(error.strerror or str(error), where=location) from error
    if len(data) < size:
        raise ShardError(f"ends before byte {offset + size}", where=location, hint=DAMAGED)
    return data


def read_spans(spans: Sequence[tuple[str, int, int]]) -> list[memoryview | ShardError]:
    """Reads parts of several files. Those behind URLs are asked for at the same time, so that their delays overlap.

    Args:
        spans: Path or URL, first byte and number of bytes of each part.

    Returns:
        The bytes of each part, or why they cannot be read.
    """
    remote: dict[str, list[int]] = defaultdict(list)
    found: dict[int, memoryview | ShardError] = {}
    for number, (location, offset, size) in enumerate(spans):
        if is_url(location):
            remote[location.partition("://")[0]].append(number)
        else:
            found[number] = _or_error(location, offset, size)
    for numbers in remote.values():
        found |= zip(numbers, _read_together([spans[number] for number in numbers]), strict=True)
    return [found[number] for number in range(len(spans))]


def _or_error(location: str, offset: int, size: int) -> memoryview | ShardError:
    try:
        return read_span(location, offset, size)
    except ShardError as error:
        return error


def _read_together(spans: Sequence[tuple[str, int, int]]) -> list[memoryview | ShardError]:
    """Reads parts of files of one store."""

    def read(files: Any, path: str) -> list[bytes | Exception]:  # noqa: ARG001 - the paths are those of all spans
        import fsspec

        paths = [fsspec.core.url_to_fs(location)[1] for location, _, _ in spans]
        starts, ends = [offset for _, offset, _ in spans], [offset + size for _, offset, size in spans]
        found: list[bytes | Exception] = files.cat_ranges(paths, starts, ends, on_error="return")
        for one in found:
            if isinstance(one, Exception) and not isinstance(one, FileNotFoundError):
                raise one
        return found

    if len(spans) == 1:
        return [_or_error(*spans[0])]
    try:
        every = at_url(spans[0][0], read, fault=ShardError)
    except ShardError as error:
        return [error] * len(spans)
    return [_checked(data, *span) for data, span in zip(every, spans, strict=True)]


def _checked(data: bytes | Exception, location: str, offset: int, size: int) -> memoryview | ShardError:
    if isinstance(data, Exception):
        return ShardError("no such file", where=location)
    if len(data) < size:
        return ShardError(f"ends before byte {offset + size}", where=location, hint=DAMAGED)
    return memoryview(data)


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


def write_atomic(path: Path, data: bytes | bytearray) -> None:
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
