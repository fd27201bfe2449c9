"""Locks an output folder. Extraction, training, evaluation and prediction use the same lock."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import warnings
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from mgst_data.core import OutputError
from mgst_data.core.errors import MgstWarning
from mgst_data.shards.storage import output_errors

LOCK = ".lock"
# Seconds between two tries of a run that waits.
_PAUSE = 0.05
# Locks of this process.
_HELD: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderLock:
    """Holds the lock of a folder until it is released, or until the process ends.

    The operating system releases the lock when the process ends in any way, so a lock is never stale. The lock file
    names the process for the user. It is deleted when the lock is released. Use the lock as a context manager, or call
    :meth:`release`.

    Args:
        folder: Folder to lock. It is created if it does not exist.
        name: Name of the lock file.
        wait: Seconds to wait while another run holds the lock.

    Raises:
        OutputError: with the reason "locked" if another run holds the lock, or if the folder cannot be written.
    """

    def __init__(self, folder: str | Path, *, name: str = LOCK, wait: float = 0.0) -> None:
        folder = Path(folder)
        self._path, self._until = folder / name, time.monotonic() + wait
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Another run may delete the file after it is opened here and before it is locked; then try again.
        while not self._take(folder):
            self._file.close()
        # Releases the lock when this object is garbage-collected, if release() was not called.
        self._let_go = weakref.finalize(self, _let_go, self._path, self._file, os.getpid())
        _HELD.add(self)

    def _take(self, folder: Path) -> bool:
        """Opens and locks the file; returns False to try again, also if another run has deleted it in between.

        Raises:
            OutputError: if another run holds the lock.
        """
        with output_errors(folder):
            self._file = cast("BinaryIO", self._path.open("ab+", buffering=0))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < self._until:
                time.sleep(_PAUSE)
                return False
            self._file.seek(0)
            holder = self._file.read().decode(errors="replace") or "unknown"
            self._file.close()
            hint = "wait for that run, stop it, or choose another output folder"
            raise OutputError(f"in use by another run ({holder})", where=folder, hint=hint, reason="locked") from error
        except OSError as error:
            what = f"{folder}: cannot be locked ({error.strerror}); make sure that no other run writes into this folder"
            warnings.warn(what, MgstWarning, stacklevel=4)
        try:
            with output_errors(folder):
                if not (self._path.exists() and os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())):
                    return False
                self._file.truncate(0)
                self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OutputError:  # the disk is full
            _let_go(self._path, self._file, os.getpid())
            raise
        return True

    def release(self) -> None:
        """Releases the lock. A second call has no effect."""
        self._let_go()

    def forget(self) -> None:
        """Closes the lock file in a forked child, which would otherwise hold the lock after the end of its parent."""
        self._file.close()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Returns whether a run holds the lock of a lock file.

    Args:
        path: The lock file. It may not exist.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it does not exist, or the file system has no locks
        return False
    return False


def _let_go(path: Path, file: BinaryIO, owner: int) -> None:
    if os.getpid() == owner:  # a forked child has a copy of everything
        with suppress(OSError):  # the folder may be gone
            path.unlink()
        with suppress(OSError):  # without this, children that have inherited the file would keep the lock
            fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _forget_all() -> None:
    for lock in _HELD:
        lock.forget()


# Processes that read for a training are forked from it. When it is killed, they run for seconds before they notice.
os.register_at_fork(after_in_child=_forget_all)
