"""Output folders, which may be behind a URL, that several processes on any machines write to.

The command opens the folder and, behind a URL, locks it. Each process writes and uploads sub-folders of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from mgst_data.shards.outputs import OutputFolder, UploadedFolder, counts, workspace_of
from mgst_data.shards.remote_files import errors_at
from mgst_data.shards.remote_lock import RemoteLock, lock_folder, remove_if_empty
from mgst_data.shards.storage import output_errors
from mgst_data.shards.store import ShardStore

# Folder of the workspace in which several processes of a machine write.
_WORKERS = "workers"
# Shared files that this process has uploaded: URL and size.
_SENT: set[tuple[str, int]] = set()


class _ReservedFolder(UploadedFolder):
    """An output folder behind a URL that other processes write to.

    Args:
        store: The folder.
        locks: Its lock.
    """

    def __init__(self, store: ShardStore, locks: tuple[RemoteLock, ...]) -> None:
        super().__init__(store.location, workspace_of(store))
        self._locks = locks

    def upload(self, *within: Path) -> None:  # noqa: ARG002 - there are no files here
        for lock in self._locks:
            lock.check()


class _WorkerFolder(UploadedFolder):
    """The part of an output folder behind a URL that one process writes, while the command holds the lock.

    Args:
        store: The folder.
        path: Local folder to write to.
        mark: Name of the files that are uploaded last.
        shared: Sub-folder whose files are the same for all works; "" for none.
    """

    def __init__(self, store: ShardStore, path: Path, mark: str, shared: str) -> None:
        super().__init__(store.location, path)
        self._store, self._mark, self._shared = store, mark, shared

    def upload(self, *within: Path) -> None:
        """Uploads the files of sub-folders; none for everything. Marks are deleted first, and uploaded last."""
        found = sorted(path for root in within or (self.path,) for path in root.rglob("*") if path.is_file())
        names = [path.relative_to(self.path).as_posix() for path in found]
        names = [name for name in names if counts(name) and self._is_new(name)]
        marks = [name for name in names if PurePosixPath(name).name == self._mark]
        for name in marks:
            self._store.remove(name)
        self.put(name for name in names if name not in marks)
        self.put(marks)
        _SENT.update(self._url(name) for name in names if name.startswith(f"{self._shared}/"))

    def _url(self, name: str) -> tuple[str, int]:
        return self._store.url(name), (self.path / name).stat().st_size

    def _is_new(self, name: str) -> bool:
        return not (self._shared and name.startswith(f"{self._shared}/") and self._url(name) in _SENT)


@contextmanager
def reserved_folder(out: str | Path) -> Iterator[OutputFolder]:
    """Opens the output folder of a command whose files other processes write, see :func:`worker_folder`.

    A folder behind a URL is locked until the block ends. ``upload`` checks that it still is.

    Args:
        out: Path or fsspec URL of the folder. A local folder is not locked.

    Yields:
        The folder. There is nothing in the local one of a URL.

    Raises:
        OutputError: if the folder cannot be written, or if another run writes into it.
        UsageError: if there is no file system for the URL.
    """
    store = ShardStore.at(out)
    if not store.remote:
        yield OutputFolder(str(store.workspace), store.workspace)
        return
    with ExitStack() as stack:
        stack.callback(remove_if_empty, store.workspace)
        folder = _ReservedFolder(store, lock_folder(store, stack))
        stack.callback(shutil.rmtree, store.workspace / _WORKERS, ignore_errors=True)
        yield folder


@contextmanager
def worker_folder(out: str | Path, name: str, *, mark: str = "", shared: str = "") -> Iterator[OutputFolder]:
    """Opens, in a process on any machine, a folder that a command has opened with :func:`reserved_folder`.

    Args:
        out: Path or fsspec URL of the folder.
        name: Name of the work, which no other process does at the same time.
        mark: Name of the files that mark an output as complete. They are uploaded last.
        shared: Sub-folder whose files are the same for all works: each process uploads them once; "" for none.

    Yields:
        The folder. Its local one is empty if it is behind a URL, and is deleted at the end.

    Raises:
        OutputError: if the folder cannot be written.
    """
    store = ShardStore.at(out)
    if not store.remote:
        yield OutputFolder(str(store.workspace), store.workspace)
        return
    path = store.workspace / _WORKERS / name
    shutil.rmtree(path, ignore_errors=True)  # of a worker that was killed
    try:
        with output_errors(path):
            path.mkdir(parents=True)
        with errors_at(path, store.location):
            yield _WorkerFolder(store, path, mark, shared)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        remove_if_empty(path.parent)
        remove_if_empty(store.workspace)
