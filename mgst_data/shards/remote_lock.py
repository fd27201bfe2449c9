"""Locks a folder behind a URL, by an object that says until when it holds."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from mgst_data.core import OutputError, ShardError
from mgst_data.core.documents import parse_json
from mgst_data.shards.lock import LOCK, FolderLock
from mgst_data.shards.store import ShardStore

# Seconds after which a lock that is not renewed has expired, and between two renewals.
LIFETIME, RENEWAL = 120.0, 30.0
# Seconds between two tries of a run that waits, and after which a run that has replaced an expired lock sees whether
# another one has replaced it too.
_PAUSE, _SETTLED = 1.0, 2.0


class RemoteLock:
    """Holds the lock of a folder behind a URL until it is released, and renews it in a thread.

    A run that is killed leaves the lock behind. It expires after two minutes; a run with the same workspace takes it
    over at once, because the lock of the workspace shows that the other run has ended. The clocks of the machines may
    differ by a minute. Use the lock as a context manager.

    Args:
        store: The folder. The caller holds the lock of its workspace.
        name: Name of the lock.
        wait: Seconds to wait while another run holds the lock.

    Raises:
        OutputError: with the reason "locked" if another run holds the lock, or if the folder cannot be written.
    """

    def __init__(self, store: ShardStore, *, name: str, wait: float = 0.0) -> None:
        self._store, self._name, self._run = store, name, uuid.uuid4().hex
        self._memory = store.workspace / f"{name}.run"
        until = time.monotonic() + wait
        while not self._take():
            if time.monotonic() >= until:
                holder = (read_lock(store, name) or {}).get("holder", "unknown")
                hint = f"wait for that run or stop it; the lock of a lost machine expires after {LIFETIME:.0f} s"
                raise OutputError(f"in use by another run ({holder})", where=store.location, hint=hint, reason="locked")
            time.sleep(_PAUSE)
        self._lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="renew-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Checks that the lock is still held.

        Raises:
            OutputError: if another run has taken it, because it could not be renewed in time.
        """
        if self._lost:
            what = "another run has taken over this folder, because the store did not answer for a long time"
            raise OutputError(what, where=self._store.location, hint="wait for that run", reason="locked")

    def _take(self) -> bool:
        there = read_lock(self._store, self._name)
        mine = there is not None and there.get("run") == self._remembered()
        if there is not None:
            if is_valid(there) and not mine:
                return False
            self._store.remove(self._name)
        self._store.create(self._name, self._content())
        if not self._is_mine():
            return False
        if there is not None and not mine:
            time.sleep(_SETTLED)
            if not self._is_mine():
                return False
        self._memory.write_text(self._run)
        return True

    def _is_mine(self) -> bool:
        """Returns whether the lock names this run.

        The answer of the store to its creation does not tell: a lock may be there although the store refuses to create
        it, because the network has lost the answer to a first try. And not every store lets only one run create it.
        """
        return (read_lock(self._store, self._name) or {}).get("run") == self._run

    def _remembered(self) -> str:
        """Returns the run that has last held this lock from the same workspace."""
        try:
            return self._memory.read_text()
        except OSError:
            return ""

    def _content(self) -> bytes:
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        return json.dumps({"run": self._run, "holder": holder, "expires": time.time() + LIFETIME}).encode()

    def _renew(self) -> None:
        while not self._end.wait(RENEWAL):
            # A store that does not answer is asked again; until the lock expires, nobody else takes it.
            with suppress(OutputError, ShardError):
                there = read_lock(self._store, self._name)
                if there is None or there.get("run") != self._run:
                    self._lost = True
                    return
                self._store.write(self._name, self._content())

    def __enter__(self) -> RemoteLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if not self._lost:
            try:
                self._store.remove(self._name)
            except OutputError:
                # The lock stays, and the next run from this workspace takes it over.
                if kind is None:
                    raise
                return
        self._memory.unlink(missing_ok=True)


def read_lock(store: ShardStore, name: str) -> dict[str, Any] | None:
    """Returns what a lock says: the run, its process and machine, and when it expires; None if nobody has it.

    Args:
        store: The folder.
        name: Name of the lock.

    Raises:
        ShardError: if the folder cannot be read.
    """
    try:
        found = parse_json(store.read(name))
    except (FileNotFoundError, ValueError):  # a damaged lock holds nothing
        return None
    return found if isinstance(found, dict) else None


def is_valid(lock: dict[str, Any]) -> bool:
    """Returns whether a lock has not expired. One that would hold for long was written by a clock that is wrong."""
    expires = lock.get("expires")
    return isinstance(expires, int | float) and 0 < expires - time.time() < 2 * LIFETIME


def lock_folder(store: ShardStore, stack: ExitStack, *, name: str = LOCK, wait: float = 0.0) -> tuple[RemoteLock, ...]:
    """Locks a folder until a stack is left. Behind a URL, its workspace and the folder itself are locked.

    Args:
        store: The folder.
        stack: Releases the locks.
        name: Name of the lock.
        wait: Seconds to wait while another run holds the lock.

    Returns:
        The lock behind the URL, which a run may lose; nothing for a local folder.

    Raises:
        OutputError: with the reason "locked" if another run holds the lock, or if the folder cannot be written.
    """
    stack.enter_context(FolderLock(store.workspace, name=name, wait=wait))
    return (stack.enter_context(RemoteLock(store, name=name, wait=wait)),) if store.remote else ()


def remove_if_empty(workspace: Path) -> None:
    """Deletes the workspace of a folder, unless it has the work of an interrupted run.

    Args:
        workspace: The workspace. It may not exist.
    """
    with suppress(OSError):
        workspace.rmdir()
