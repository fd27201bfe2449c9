"""One run at a time writes into a folder: extraction, training, evaluation and prediction take the same lock."""

from __future__ import annotations

import fcntl
import os
import socket
import warnings
from pathlib import Path
from types import TracebackType

from mgst_data.core import OutputError
from mgst_data.shards.storage import output_errors

LOCK = ".lock"


class FolderLock:
    """Holds the lock of a folder until it is released, or the process ends.

    The operating system drops the lock with the process, however that ends: a lock is never stale. The file's text
    names the process for people. Use it as a context, or call :meth:`release`.

    Args:
        folder: Is made if it does not exist.

    Raises:
        OutputError: with the reason "locked" if another run holds the lock; or if the folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / LOCK).open("ab+", buffering=0)
        try:
            self._take(folder)
        except BaseException:
            self._file.close()
            raise

    def _take(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().decode(errors="replace") or "unknown"
            hint = "wait for it, stop it, or choose another output folder"
            raise OutputError(f"in use by another run ({holder})", where=folder, hint=hint, reason="locked") from error
        except OSError as error:
            what = f"{folder}: cannot be locked ({error.strerror}); make sure that no other run writes here"
            warnings.warn(what, stacklevel=4)
        with output_errors(folder):
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Gives the lock back; may be called again."""
        self._file.close()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
