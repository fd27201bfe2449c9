"""Lists the files of a folder behind a URL, and copies them to this machine."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mgst_data.core import MgstError, OutputError, UsageError
from mgst_data.core.locations import cache_folder, is_url, join
from mgst_data.shards.storage import at_url, output_errors

# What stores say of a file that changes with its content, the most reliable first.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "oid", "mtime", "LastModified", "last_modified",
             "updated", "created")  # fmt: skip
Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a store says of a file.

    Attributes:
        size: Size, bytes.
        version: Text that changes with the content of the file.
    """

    size: int
    version: str


def list_files(url: str, *, deep: bool = True, fault: Callable[..., MgstError] = UsageError) -> dict[str, RemoteFile]:
    """Lists the files of a folder, with one call of the store.

    Args:
        url: fsspec URL of the folder.
        deep: Whether to list the files of its sub-folders, too.
        fault: Makes the error if it cannot be listed, see :func:`mgst_data.shards.storage.at_url`.

    Returns:
        The files by their path in the folder, sorted; none if the folder does not exist.

    Raises:
        MgstError: from ``fault``, if the folder cannot be listed.
    """

    def listed(files: Any, path: str) -> dict[str, RemoteFile]:
        files.invalidate_cache(path)
        start = len(path.rstrip("/")) + 1
        if deep:
            found = files.find(path, detail=True)
        else:
            found = {one["name"].rstrip("/"): one for one in files.ls(path, detail=True) if one["type"] == "file"}
        return {name[start:]: _file(info) for name, info in sorted(found.items())}

    try:
        return at_url(url, listed, fault=fault)
    except FileNotFoundError:
        return {}


def _file(info: dict[str, Any]) -> RemoteFile:
    return RemoteFile(int(info.get("size") or 0), next((str(info[name]) for name in _VERSIONS if info.get(name)), ""))


def copy_names(
    url: str,
    names: Iterable[str],
    root: Path,
    *,
    wanted: Wanted,
    fault: Callable[..., MgstError] = UsageError,
) -> list[str]:
    """Makes an image of a folder: a local folder with the same names.

    Args:
        url: fsspec URL of the folder.
        names: Paths of its files in the folder, from :func:`list_files`.
        root: Local folder to make.
        wanted: Tells from the path of a file in the folder whether it is copied. The others are empty.
        fault: Makes the error if the folder cannot be read, see :func:`mgst_data.shards.storage.at_url`.

    Returns:
        The paths that a local folder cannot have.

    Raises:
        MgstError: from ``fault``, if the folder cannot be read.
        OutputError: if the disk is full.
    """
    refused, copied, made = list[str](), list[str](), set[str]()
    for name in names:
        if not name or name.startswith("/") or ".." in name.split("/"):
            refused.append(name)
            continue
        path = f"{root}/{name}"
        try:
            if (folder := path.rpartition("/")[0]) not in made:
                Path(folder).mkdir(parents=True, exist_ok=True)
                made.add(folder)
            if wanted(name):
                copied.append(name)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))  # several times as fast as Path.touch
        except (OSError, ValueError):  # too long, a file and a folder of the same name, or a NUL character
            refused.append(name)
    try:
        copy_files(url, copied, root, fault=fault)
    except FileNotFoundError as error:
        raise fault("a file was deleted while it was copied", where=url, hint="run the command again") from error
    return refused


def copy_files(url: str, names: Iterable[str], root: Path, *, fault: Callable[..., MgstError] = UsageError) -> None:
    """Copies files of a folder behind a URL into a local folder.

    Args:
        url: fsspec URL of the folder.
        names: Paths of the files in the folder.
        root: Local folder.
        fault: Makes the error if a file cannot be copied.

    Raises:
        FileNotFoundError: if a file does not exist.
        MgstError: from ``fault``, if a file cannot be copied.
        OutputError: if the disk is full.
    """
    copies = {name: root.joinpath(*PurePosixPath(name).parts) for name in names}
    if not copies:
        return
    with output_errors(root):
        for copy in copies.values():
            copy.parent.mkdir(parents=True, exist_ok=True)

    def get(files: Any, path: str) -> None:
        files.get([join(path, name) for name in copies], [str(copy) for copy in copies.values()])

    at_url(url, get, fault=fault)


@contextmanager
def local_copy(
    location: str | Path, *, wanted: Wanted = lambda _: True, fault: Callable[..., MgstError] = UsageError
) -> Iterator[Path]:
    """Gives a local path for a file or folder, which may be behind a URL. A copy is deleted when the block ends.

    Args:
        location: Path or fsspec URL.
        wanted: Tells from the path of a file in a folder whether it is copied. The others are empty.
        fault: Makes the error if it does not exist or cannot be read.

    Raises:
        MgstError: from ``fault``, if it does not exist behind the URL, or cannot be read.
        OutputError: if the disk is full.
    """
    url = str(location).rstrip("/")
    if not is_url(url):
        yield Path(location)
        return
    folder, _, name = url.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="mgst-") as temporary:
        root = Path(temporary, name)
        there = list_files(url, fault=fault)
        if set(there) - {""}:
            copy_names(url, there, root, wanted=wanted, fault=fault)
        else:  # a file, or nothing
            try:
                copy_files(folder, [name], Path(temporary), fault=fault)
            except FileNotFoundError as error:
                raise fault("no such file or folder", where=url, hint="check the URL") from error
        with errors_at(root, url):
            yield root


def kept_copy(url: str, files: dict[str, RemoteFile]) -> Path:
    """Copies files of a folder once: the copy is kept in the cache as long as the files do not change.

    Args:
        url: fsspec URL of the folder.
        files: The files to copy, by name.

    Returns:
        The local folder, which has the name of the folder behind the URL.

    Raises:
        UsageError: if a file cannot be copied.
        OutputError: if the copy cannot be written.
    """
    about = "\n".join([url, *(f"{name} {file.size} {file.version}" for name, file in sorted(files.items()))])
    digest = hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    kept = cache_folder() / "downloads" / digest / (url.rstrip("/").rpartition("/")[2] or "files")
    if kept.is_dir():
        return kept
    with output_errors(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".part-") as unfinished:
        part = Path(unfinished, kept.name)
        try:
            copy_files(url, files, part)
        except FileNotFoundError as error:
            raise UsageError(
                "a file was deleted while it was copied", where=url, hint="run the command again"
            ) from error
        with suppress(OSError):  # another process may have been faster
            part.rename(kept)
    if not kept.is_dir():
        raise OutputError("cannot be written", where=kept, hint="set MGST_CACHE to another folder")
    return kept


@contextmanager
def errors_at(here: Path, there: str) -> Iterator[None]:
    """Puts a URL in place of its local copy in the errors of a block.

    Args:
        here: Local file or folder.
        there: Its URL.

    Raises:
        MgstError: if the block raises one.
    """
    try:
        yield
    except MgstError as error:
        what, where, hint = (text.replace(str(here), there) for text in (error.what, error.where, error.hint))
        moved = type(error)(what, where=where, hint=hint, reason=error.reason)
        raise moved from error
