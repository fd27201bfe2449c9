"""One run at a time writes into a folder: extraction, training, evaluation and prediction take the same lock."""

from __future__ import annotations

import fcntl
import os
import socket
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


class FolderLock:
    """Holds the lock of a folder until it is released, or the process ends.

    The operating system drops the lock with the process, however that ends: a lock is never stale. The file's text
    names the process for people; the file goes when the lock is released. Use it as a context, or call
    :meth:`release`.

    Args:
        folder: Is made if it does not exist.

    Raises:
        OutputError: with the reason "locked" if another run holds the lock; or if the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._path = folder / LOCK
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Another run may remove the file between its opening and its locking: then it is no longer the folder's lock.
        while not self._take(folder):
            self._file.close()
        # Whoever forgets to release it does so when this object goes.
        self._let_go = weakref.finalize(self, _let_go, self._path, self._file, os.getpid())

    def _take(self, folder: Path) -> bool:
        """Opens and locks the file; False if it was removed meanwhile."""
        with output_errors(folder):
            self._file = cast("BinaryIO", self._path.open("ab+", buffering=0))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().decode(errors="replace") or "unknown"
            self._file.close()
            hint = "wait for it, stop it, or choose another output folder"
            raise OutputError(f"in use by another run ({holder})", where=folder, hint=hint, reason="locked") from error
        except OSError as error:
            what = f"{folder}: cannot be locked ({error.strerror}); make sure that no other run writes here"
            warnings.warn(what, MgstWarning, stacklevel=4)
        with output_errors(folder):
            if not (self._path.exists() and os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())):
                return False
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        return True

    def release(self) -> None:
        """Gives the lock back; may be called again."""
        self._let_go()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _let_go(path: Path, file: BinaryIO, owner: int) -> None:
    if os.getpid() == owner:  # a forked child has a copy of everything
        with suppress(OSError):  # the folder may be gone
            path.unlink()
        with suppress(OSError):  # children that have inherited the file would hold the lock on
            fcntl.flock(file, fcntl.LOCK_UN)
    file.close()
