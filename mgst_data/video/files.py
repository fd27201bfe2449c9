"""Opens and checks files and URLs for the decoders, and makes the errors for files that cannot be read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from mgst_data.core import UsageError, VideoError
from mgst_data.core.errors import first_line
from mgst_data.core.locations import is_url, package_errors


def is_folder(path: str) -> bool:
    """Returns whether the path is a folder on disk; False for names that are invalid on the file system."""
    return not is_url(path) and os.path.isdir(path)  # noqa: PTH112 - often called, and False for invalid names


def open_bytes(path: str) -> AbstractContextManager[BinaryIO]:
    """Opens a file, or a URL as a seekable stream that downloads only the parts that are read.

    Raises:
        VideoError: if the file cannot be read; see :func:`check_file`.
        UsageError: if fsspec does not know this kind of URL, or if the package that it needs is not installed.
    """
    if not is_url(path):
        check_file(path)
        return Path(path).open("rb")
    import fsspec  # imported here, because only remote files need it

    try:
        return _with_errors(path, cast("AbstractContextManager[BinaryIO]", fsspec.open(path, "rb")))
    except ImportError as error:
        raise UsageError(str(error), where=path, hint="install that package, or copy the file here first") from error
    except ValueError as error:  # an unknown protocol
        raise UsageError(str(error), where=path, hint="copy the file here first") from error


@contextmanager
def _with_errors(path: str, file: AbstractContextManager[BinaryIO]) -> Iterator[BinaryIO]:
    """Turns the errors of the packages of stores, which are no OSError, into one line.

    Raises:
        VideoError: if the block raises one.
    """
    try:
        with file as opened:
            yield opened
    except package_errors() as error:
        hint = "check the URL, the network and the credentials, then run the same command again"
        what = f"the store does not answer as expected: {first_line(error)}"
        raise VideoError(what, where=path, hint=hint, reason="unreadable") from error


def check_file(path: str) -> None:
    """Checks that a file can be read.

    Raises:
        VideoError: if the file is missing, not a regular file, not readable or empty.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        failure = cannot_open(path, error)
        raise failure from error
    if not stat.S_ISREG(status.st_mode):
        hint = "the path is a pipe, a socket, a device or a folder; save its content as a file"
        raise VideoError("not a regular file", where=path, hint=hint, reason="not_a_file")
    if not os.access(path, os.R_OK):
        failure = cannot_open(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        raise failure
    if status.st_size == 0:
        raise VideoError("the file is empty", where=path, hint="copy or download it again", reason="empty_file")


def cannot_open(path: str, error: OSError) -> VideoError:
    """Returns the error for a file or URL that does not exist or cannot be opened.

    Args:
        path: Path or URL.
        error: Error of the operating system or of fsspec.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return VideoError("no such file", where=path, hint="check the path", reason="missing")
    what = error.strerror or str(error)
    return VideoError(what, where=path, hint="check the name and the permissions of the file", reason="unreadable")


def not_a_video(path: str) -> VideoError:
    """Returns the error for a file in which no container or archive was recognised."""
    if not is_url(path) and _begins_as_mp4(path):
        return VideoError(
            "the file is truncated before its index (moov)",
            where=path,
            hint="copy or download it again; no frame can be decoded without the index",
            reason="truncated",
        )
    return VideoError(
        "not a video",
        where=path,
        hint="the format is unknown, or the file ends within its header; check the file",
        reason="not_a_video",
    )


def no_video_stream(path: str) -> VideoError:
    """Returns the error for a container without a video stream."""
    return VideoError(
        "no video stream",
        where=path,
        hint="the file contains only sound, text or a cover picture; check the file",
        reason="no_video_stream",
    )


def no_frame_decoded(path: str, *, damaged: bool) -> VideoError:
    """Returns the error for a video stream from which no frame was decoded.

    Args:
        path: Path or URL of the video.
        damaged: Whether damage was found in the stream.
    """
    if damaged:
        hint = "the stream is damaged from its start; copy or download it again"
        return VideoError("no frame can be decoded", where=path, hint=hint, reason="decode_error")
    return VideoError("the video has no frames", where=path, hint="record or export it again", reason="no_frames")


def _begins_as_mp4(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"moov", b"wide")
