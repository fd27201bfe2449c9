"""Files and URLs before a decoder sees them, and why it cannot read them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

from mgst_data.core import UsageError, VideoError
from mgst_data.core.locations import is_url


def is_folder(path: str) -> bool:
    """Whether the path is a folder on disk; False for names that no disk accepts."""
    try:
        return not is_url(path) and Path(path).is_dir()
    except OSError:
        return False


def open_bytes(path: str) -> AbstractContextManager[BinaryIO]:
    """A file, or a URL as a seekable stream that fetches what is read.

    Raises:
        VideoError: see :func:`check_file`.
        UsageError: if the package that fsspec needs for this kind of URL is not installed.
    """
    if not is_url(path):
        check_file(path)
        return Path(path).open("rb")
    import fsspec  # only those who read remote files pay for it

    try:
        return cast("AbstractContextManager[BinaryIO]", fsspec.open(path, "rb"))
    except ImportError as error:
        raise UsageError(str(error), where=path, hint="install that package, or copy the file here first") from error


def check_file(path: str) -> None:
    """Raises VideoError if the file is not there, no regular file, not readable or empty."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise cannot_open(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        hint = "it is a pipe, a socket, a device or a folder; save its content as a file"
        raise VideoError("not a regular file", where=path, hint=hint, reason="not_a_file")
    if not os.access(path, os.R_OK):
        raise cannot_open(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    if status.st_size == 0:
        raise VideoError("the file is empty", where=path, hint="copy or download it again", reason="empty_file")


def cannot_open(path: str, error: OSError) -> VideoError:
    """A file or URL that is not there or may not be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return VideoError("no such file", where=path, hint="check the path", reason="missing")
    what = error.strerror or str(error)
    return VideoError(what, where=path, hint="check the file's name and permissions", reason="unreadable")


def not_a_video(path: str) -> VideoError:
    """A file that was read, but in which no container or archive was recognised."""
    if not is_url(path) and _begins_as_mp4(path):
        return VideoError(
            "the file is cut off before its index (moov)",
            where=path,
            hint="copy or download it again; without the index nothing can be decoded",
            reason="truncated",
        )
    return VideoError(
        "not a video", where=path, hint="its content is no known format, or ends in the header", reason="not_a_video"
    )


def no_video_stream(path: str) -> VideoError:
    """A container without pictures that move."""
    return VideoError(
        "no video stream", where=path, hint="it holds only sound, text or a cover", reason="no_video_stream"
    )


def no_frame_decoded(path: str, *, damaged: bool) -> VideoError:
    """A video stream out of which no frame came."""
    if damaged:
        hint = "the stream is damaged from its start; copy or download it again"
        return VideoError("no frame can be decoded", where=path, hint=hint, reason="decode_error")
    return VideoError("the video has no frames", where=path, hint="record or export it again", reason="no_frames")


def _begins_as_mp4(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"moov", b"wide")
