"""The files of a cache of shards: a folder of bounded size that several processes use at the same time.

A shard is named by its digest. So a shard that was written again is another file, and two folders with the same shard
share it. Next to the finished shards are parts that are being fetched, locks, and the file of the claims.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from mgst_data.core import OutputError, ShardError, UsageError
from mgst_data.core.errors import printable
from mgst_data.shards.lock import LOCK, FolderLock, is_held
from mgst_data.shards.report import ShardFile
from mgst_data.shards.storage import DAMAGED, PART, at_url, output_errors, publish, sync

# Reason code of a shard whose digest is not that of its report.
CHANGED = "content_changed"
_TAR = ".tar"
_CLAIMS = "claims"
# Seconds to wait while another process looks for room.
_PATIENCE = 60.0
# Hexadecimal digits of a digest that give the place of its claim: a number of 60 bits.
_DIGITS = 15


class CacheFolder:
    """Fetches shards into a folder, and removes the least recently used ones to keep its size.

    Of all processes that need a shard, one fetches it. A *claim* is a lock on one byte of the file ``claims``, which
    says that a running process uses a shard. The operating system drops it when the process ends. A shard with a claim
    is not removed. The claims of a process are lost when it closes the file, so a process has one object per folder.

    Args:
        folder: Folder of the cache. It is created if it does not exist.
        size: Largest size of all shards together, bytes.

    Raises:
        OutputError: if the folder cannot be written, or has no locks.
    """

    def __init__(self, folder: str | Path, size: int) -> None:
        self.folder, self.size = Path(folder), size
        self._claims: int | None = None
        self._mine: set[str] = set()
        self._parts: set[Path] = set()
        try:
            with output_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                probe = os.open(self.folder / _CLAIMS, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    fcntl.lockf(probe, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 0)
                finally:
                    os.close(probe)
        except OutputError as error:
            hint = "choose another folder for the cache (--cache), on a file system with locks"
            raise OutputError(f"no cache can be made here: {error.what}", where=folder, hint=hint) from error

    def path(self, file: ShardFile) -> Path:
        """Returns the path of a shard in the cache. It may not exist."""
        return self.folder / f"{file.sha256}{_TAR}"

    def part(self, file: ShardFile) -> Path:
        """Returns the path of a shard while it is being fetched. It may not exist."""
        return self.folder / f"{file.sha256}.{file.bytes}{PART}"

    def check_size(self, url: str, file: ShardFile) -> None:
        """Checks that a shard fits into the cache.

        Args:
            url: URL of the shard.
            file: Its size and digest.

        Raises:
            UsageError: if it does not.
        """
        if file.bytes > self.size:
            what = (
                f"the cache of {self.size:,} bytes is smaller than the shard {printable(url)} of {file.bytes:,} bytes"
            )
            raise UsageError(what, where=self.folder, hint="give the cache more room (--cache-size)")

    def fetch(self, url: str, file: ShardFile) -> bool:
        """Claims a shard, and fetches it if it is not there.

        Args:
            url: URL of the shard.
            file: Its size and digest.

        Returns:
            Whether the shard is there. It is not if another process is fetching it, or if other shards that are in use
            leave no room.

        Raises:
            ShardError: if it cannot be read, or has another digest.
            OutputError: if the cache cannot be written.
        """
        self._claim(file.sha256)
        path = self.path(file)
        if self._is_there(path, file):
            return True
        try:
            lock = FolderLock(self.folder, name=f"{file.sha256}{LOCK}")
        except OutputError as error:
            if error.reason == "locked":
                return False
            raise
        with lock:
            if self._is_there(path, file):  # another process has finished it before this one got the lock
                return True
            part = self.part(file)
            part.unlink(missing_ok=True)  # left by a process that was killed
            if not self.make_room(file.bytes, part):
                self._release(file.sha256)
                return False
            self._parts.add(part)
            try:
                self._copy(url, file, part)
                with output_errors(path):
                    publish(part, path)
            finally:
                part.unlink(missing_ok=True)
                self._parts.discard(part)
        return True

    def _copy(self, url: str, file: ShardFile, part: Path) -> None:
        try:
            at_url(url, lambda files, path: files.get_file(path, str(part)), fault=ShardError)
        except FileNotFoundError as error:
            raise ShardError("no such file", where=url) from error
        with part.open("rb+") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != file.sha256:
                what = "its content has changed since it was written"
                raise ShardError(what, where=url, hint=DAMAGED, reason=CHANGED)
            with output_errors(part):
                sync(stream)

    def make_room(self, size: int = 0, part: Path | None = None) -> bool:
        """Removes parts of processes that have ended, and the least recently used shards that no process uses.

        Args:
            size: Number of bytes that are needed.
            part: File that then holds the place of the new shard; None for no new shard.

        Returns:
            Whether there is room. If there is none, no shard is removed.
        """
        with FolderLock(self.folder, wait=_PATIENCE), output_errors(self.folder):
            used, shards = self._used()
            chosen: list[Path] = []
            try:
                for _, bytes_, path in sorted(shards):
                    if used + size <= self.size:
                        break
                    if self._lock_unused(path.stem):
                        chosen.append(path)
                        used -= bytes_
                if used + size > self.size:
                    return False
                for path in chosen:
                    path.unlink(missing_ok=True)
                if part is not None:
                    part.touch()
                return True
            finally:
                for path in chosen:
                    self._release(path.stem)

    def _used(self) -> tuple[int, list[tuple[int, int, Path]]]:
        """Returns the bytes in use, and time of use, size and path of every shard."""
        used, shards = 0, []
        for path in self.folder.iterdir():
            digest, _, rest = path.name.partition(".")
            with suppress(FileNotFoundError):  # another process has renamed or removed it
                if path.suffix == _TAR:
                    status = path.stat()
                    used += status.st_size
                    shards.append((status.st_mtime_ns, status.st_size, path))
                elif path.suffix == PART and is_held(self.folder / f"{digest}{LOCK}"):
                    used += int(rest.removesuffix(PART))
                elif path.suffix == PART:
                    path.unlink()
                    (self.folder / f"{digest}{LOCK}").unlink(missing_ok=True)
        return used, shards

    def touch(self) -> None:
        """Marks the shards that this process uses as used now."""
        for digest in list(self._mine):
            with suppress(OSError):
                os.utime(self.folder / f"{digest}{_TAR}")

    def abandon(self) -> None:
        """Removes the parts that this process is fetching, before it ends."""
        for part in list(self._parts):
            part.unlink(missing_ok=True)
            part.with_name(part.name.partition(".")[0] + LOCK).unlink(missing_ok=True)

    def _is_there(self, path: Path, file: ShardFile) -> bool:
        try:
            return path.stat().st_size == file.bytes
        except FileNotFoundError:
            return False

    def _claim(self, digest: str) -> None:
        self._mine.add(digest)
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, _place(digest))
        with suppress(OSError):
            os.utime(self.folder / f"{digest}{_TAR}")

    def _lock_unused(self, digest: str) -> bool:
        """Locks the claim of a shard; returns False if a process uses the shard."""
        if digest in self._mine:  # a lock does not conflict with one of the same process
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(digest))
        except OSError:
            return False
        return True

    def _release(self, digest: str) -> None:
        self._mine.discard(digest)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(digest))

    @property
    def _file(self) -> int:
        if self._claims is None:
            self._claims = os.open(self.folder / _CLAIMS, os.O_RDWR)
        return self._claims


def _place(digest: str) -> int:
    return int(digest[:_DIGITS], 16)
