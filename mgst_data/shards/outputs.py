"""Output folders and files of commands, which may be behind a URL.

A command writes into a local folder. If the output is behind a URL, this is a workspace, and what has changed in it is
uploaded: each file whole, and the file that marks the output as complete last.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from mgst_data.core import OutputError
from mgst_data.core.errors import MgstWarning
from mgst_data.core.locations import join
from mgst_data.shards.lock import LOCK
from mgst_data.shards.remote_files import RemoteFile, Wanted, copy_names, errors_at, list_files
from mgst_data.shards.remote_lock import RemoteLock, lock_folder, remove_if_empty
from mgst_data.shards.storage import PART, at_url, output_errors
from mgst_data.shards.store import ShardStore

# Files that are uploaded with one call, which a store answers in parallel.
_AT_ONCE = 64
# The journal of a workspace: what is known of each file.
_JOURNAL = "journal.jsonl"
# Size, time of change and number of a local file: they change when it is written.
Stamp = tuple[int, int, int]


class OutputFolder:
    """The output folder of a command. :func:`output_folder` opens it. This base class is for a local folder.

    Args:
        location: Path or URL of the folder.
        path: Local folder to write to.
    """

    def __init__(self, location: str, path: Path) -> None:
        self.location, self.path = location, path

    @property
    def remote(self) -> bool:
        """Whether the folder is behind a URL."""
        return False

    def upload(self, *within: Path) -> None:
        """Uploads what has changed. It has no effect on a local folder.

        Args:
            within: Sub-folders, which are uploaded alone; none for everything.

        Raises:
            OutputError: if a file cannot be written, or if another run has taken over the folder.
        """

    def drop(self, folder: Path) -> None:
        """Deletes the local copy of a sub-folder that was uploaded. It has no effect on a local folder.

        Args:
            folder: The sub-folder.
        """

    def name(self, path: Path) -> str:
        """Returns where users find a file of the folder: its path, or its URL."""
        return str(path)


class UploadedFolder(OutputFolder):
    """A local folder whose files are uploaded to a folder behind a URL.

    Args:
        location: URL of the folder.
        path: Local folder to write to.
    """

    @property
    def remote(self) -> bool:
        """Whether the folder is behind a URL: yes."""
        return True

    def name(self, path: Path) -> str:
        """Returns the URL of a file of the folder."""
        return join(self.location, path.relative_to(self.path).as_posix())

    def put(self, names: Iterable[str]) -> None:
        """Uploads files.

        Args:
            names: Paths of the files in the folder.

        Raises:
            OutputError: if a file cannot be written.
        """
        remaining = iter(names)
        while some := list(islice(remaining, _AT_ONCE)):
            self._put(some)

    def _put(self, names: list[str]) -> None:
        sources = [str(self.path / name) for name in names]

        def put(files: Any, path: str) -> None:
            files.put(sources, [join(path, name) for name in names])

        try:
            at_url(self.location, put, fault=OutputError)
        except FileNotFoundError as error:
            what = "cannot be uploaded: the bucket or a local file is gone"
            raise OutputError(what, where=self.location, hint="run the same command again") from error


class _RemoteFolder(UploadedFolder):
    """An output folder behind a URL.

    The journal says for each file which version the store had when the run began, and which local file was sent. So the
    next run knows whether the store has changed in between. If it has, the workspace is made again from the store.

    Args:
        store: The folder.
        locks: Its lock.
        mark: Name of the files that are uploaded last.
        withdrawn: Whether the mark is deleted before other files change.
    """

    def __init__(self, store: ShardStore, locks: tuple[RemoteLock, ...], *, mark: str, withdrawn: bool) -> None:
        super().__init__(store.location, workspace_of(store))
        self._store, self._locks, self._mark, self._withdrawn = store, locks, mark, withdrawn
        # Of each file: its version behind the URL ("" if it has none), and the stamp of the local file that is the same
        # (None if there is none, or if it is not known whether it has arrived).
        self._versions: dict[str, str] = {}
        self._sent: dict[str, Stamp | None] = {}
        self._dropped: set[str] = set()

    def open(self, wanted: Wanted) -> None:
        """Takes up the workspace of an interrupted run, or makes it from the files behind the URL.

        Raises:
            OutputError: if the folder cannot be read, or the workspace cannot be written.
        """
        there = {name: file for name, file in list_files(self.location, fault=OutputError).items() if counts(name)}
        if self.path.is_dir() and self._journal.is_file():
            if self._matches(there):
                return
            what = f"{self.location}: was changed from elsewhere, so what an interrupted run has left here is not used"
            warnings.warn(what, MgstWarning, stacklevel=4)
        with output_errors(self.path):
            for stale in (self._journal, self.path):
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
            self.path.mkdir(parents=True)
        refused = set(copy_names(self.location, there, self.path, wanted=wanted, fault=OutputError))
        self._versions = {name: file.version for name, file in there.items() if name not in refused}
        self._sent = {name: _stamp(self.path / name) for name in self._versions}
        self._note({"name": name, "version": self._versions[name], "sent": self._sent[name]} for name in self._versions)

    def upload(self, *within: Path) -> None:
        for lock in self._locks:
            lock.check()
        inside = [path.relative_to(self.path).as_posix() for path in within]
        changed, gone = self._pending(inside)
        marks = [name for name in changed if PurePosixPath(name).name == self._mark]
        others = [name for name in changed if name not in marks]
        withdrawn = [name for name in marks if name in self._sent] if self._withdrawn and (others or gone) else []
        stamps = {name: _stamp(self.path / name) for name in changed}
        self._note({"name": name, "begun": None} for name in (*withdrawn, *gone))
        self._note({"name": name, "begun": stamps[name]} for name in changed)
        for name in (*withdrawn, *gone):
            self._store.remove(name)
            self._sent.pop(name, None)
        self.put(others)
        self.put(marks)
        self._sent |= stamps

    def drop(self, folder: Path) -> None:
        if folder == self.path:
            return
        inside = [folder.relative_to(self.path).as_posix()]
        dropped = [name for name in self._sent if _inside(name, inside)]
        self._note({"name": name, "dropped": True} for name in dropped)
        self._dropped.update(dropped)
        with output_errors(folder):
            for name in dropped:
                (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Deletes the workspace, unless it has work that was not uploaded."""
        with suppress(OSError):
            changed, gone = self._pending([])
            if not (changed or gone or any(path.name.endswith(PART) for path in self.path.rglob("*"))):
                shutil.rmtree(self.path.parent)
                self._journal.unlink(missing_ok=True)

    @property
    def _journal(self) -> Path:
        return self._store.workspace / _JOURNAL

    def _pending(self, inside: list[str]) -> tuple[list[str], list[str]]:
        """Returns the files that were written since they were sent, and those that were deleted."""
        here: dict[str, Stamp] = {}
        for root in [self.path / place for place in inside] or [self.path]:
            for path in sorted(root.rglob("*")):
                name = path.relative_to(self.path).as_posix()
                if path.is_file() and counts(name):
                    here[name] = _stamp(path)
        changed = [name for name, stamp in here.items() if self._sent.get(name) != stamp]
        gone = [name for name in self._sent if name not in here and name not in self._dropped and _inside(name, inside)]
        return changed, gone

    def _note(self, rows: Iterable[dict[str, Any]]) -> None:
        with output_errors(self._journal), self._journal.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def _matches(self, there: dict[str, RemoteFile]) -> bool:
        """Reads the journal, and returns whether the store is as the interrupted run has left it."""
        begun: dict[str, list[Stamp | None]] = {}
        try:
            for text in self._journal.read_text(encoding="utf-8").splitlines():
                row = json.loads(text)
                if "begun" in row:
                    begun.setdefault(row["name"], []).append(row["begun"])
                elif "dropped" in row:
                    self._dropped.add(row["name"])
                else:
                    self._versions[row["name"]], self._sent[row["name"]] = row["version"], tuple(row["sent"])
        except (OSError, ValueError, KeyError, TypeError):  # no journal, or one that ends in the middle of a line
            return self._forget()
        for name in {*there, *self._versions, *begun}:
            file, was = there.get(name), self._versions.get(name)
            if file is None:
                possible = was is None or None in begun.get(name, [])
            else:
                sizes = [stamp[0] for stamp in begun.get(name, []) if stamp]
                possible = file.version == was or file.size in sizes
            if not possible:
                return self._forget()
        for name in begun:
            self._sent[name] = None
        return True

    def _forget(self) -> bool:
        self._versions, self._sent, self._dropped = {}, {}, set()
        return False


@contextmanager
def output_folder(
    out: str | Path, *, wanted: Wanted = lambda _: True, mark: str = "", withdrawn: bool = True
) -> Iterator[OutputFolder]:
    """Opens the output folder of a command. What has changed in it is uploaded when the block ends without an error.

    A folder behind a URL is locked until the block ends. Its files are in the local folder, those that are not wanted
    without their content. After an error or an interruption, the local folder stays: the same command goes on there,
    unless the folder behind the URL has changed.

    Args:
        out: Path or fsspec URL of the folder. A local folder is used as it is, and not locked.
        wanted: Tells from the path of a file in the folder whether the command reads its content.
        mark: Name of the files that mark an output as complete. They are uploaded last.
        withdrawn: Whether a mark behind the URL is deleted before other files change.

    Yields:
        The folder.

    Raises:
        OutputError: if the folder cannot be read or written, or if another run writes into it.
        UsageError: if there is no file system for the URL.
    """
    store = ShardStore.at(out)
    if not store.remote:
        yield OutputFolder(str(store.workspace), store.workspace)
        return
    with ExitStack() as stack:
        stack.callback(remove_if_empty, store.workspace)
        folder = _RemoteFolder(store, lock_folder(store, stack), mark=mark, withdrawn=withdrawn)
        stack.callback(folder.close)
        folder.open(wanted)
        with errors_at(folder.path, folder.location):
            yield folder
            folder.upload()


@contextmanager
def output_file(out: str | Path) -> Iterator[OutputFolder]:
    """Opens the folder of an output file. If the file is behind a URL, it is uploaded when the block ends.

    Files that the command writes beside it are uploaded before it.

    Args:
        out: Path or fsspec URL of the file.

    Yields:
        The folder: its local one is temporary if the file is behind a URL.

    Raises:
        OutputError: if the file cannot be written behind the URL.
        UsageError: if there is no file system for the URL.
    """
    store = ShardStore.at(out)
    if not store.remote:
        yield OutputFolder(str(store.workspace.parent), store.workspace.parent)
        return
    url, _, name = store.location.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="mgst-") as temporary:
        folder = UploadedFolder(url, Path(temporary))
        with errors_at(folder.path, folder.location):
            yield folder
        made = sorted(Path(temporary).iterdir(), key=lambda path: (path.name == name, path.name))
        for path in made:
            ShardStore.at(url).publish(path, path.name)


def workspace_of(store: ShardStore) -> Path:
    """Returns the local folder in which a command writes the output for a folder behind a URL.

    Args:
        store: The folder.
    """
    return store.workspace / "files" / store.location.rpartition("/")[2]


def counts(name: str) -> bool:
    """Returns whether a file belongs to an output: not if it is a lock, or if it or its folder is unfinished.

    Args:
        name: Path of the file in the folder.
    """
    return not any(part.endswith((PART, LOCK)) for part in PurePosixPath(name).parts)


def _inside(name: str, folders: list[str]) -> bool:
    return not folders or any(name.startswith(f"{folder}/") for folder in folders)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
