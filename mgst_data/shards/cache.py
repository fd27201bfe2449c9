"""Local copies of shards behind URLs, made in the background by a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from mgst_data.core import MgstError, ShardError
from mgst_data.core.errors import MgstWarning
from mgst_data.core.locations import is_url
from mgst_data.processes import start_quietly
from mgst_data.shards.cache_folder import CHANGED, CacheFolder
from mgst_data.shards.report import ShardFile
from mgst_data.shards.storage import read_spans

CACHE_SIZE = 50 * 10**9
# Shards that are fetched at the same time. A store gives one reader a part of its speed only.
_PARALLEL = 8
# Seconds between two looks at whether the parent process is still there, and until shards that could not be fetched are
# tried again; then the shards in use are also marked as used.
_ALERT, _TURN = 1.0, 60.0
# Seconds that a read from a store takes, before it is measured; the longest time that counts as one, because the store
# may have failed for a moment; and the time between two looks for a copy.
_PACE, _SLOWEST, _GLANCE = 0.1, 1.0, 0.005
# A copy is waited for no longer than this number of reads from the store takes.
_MOST = 8
# Unit of st_blocks, bytes.
_BLOCK = 512
# Forked, as the workers of a DataLoader are: the process starts at once, and does not import the script of the user.
_CONTEXT = multiprocessing.get_context("fork")


class ShardCache:
    """A folder with local copies of shards that are behind URLs. Several processes may share it.

    A process in the background fetches whole shards. Until a shard is there, its samples are read from the store, so a
    training starts at once; only a copy that is expected before an answer of the store is waited for. The least
    recently used shards are removed when a new one needs their room, but never one that a running process uses. A shard
    that finds no room is read from the store, sample by sample. The samples are the same in all cases.

    A shard is compared with the digest in its report before it is used. Its file appears complete or not at all.

    Args:
        folder: Folder of the cache, on a local disk. It is created if it does not exist.
        size: Largest size of all shards in the folder together, bytes.

    Raises:
        OutputError: if the folder cannot be written, or has no locks.
    """

    def __init__(self, folder: str | Path, *, size: int = CACHE_SIZE) -> None:
        self._folder = CacheFolder(folder, size)
        self._known: dict[str, ShardFile] = {}
        self._asked: set[str] = set()
        self._filler: _Filler | None = None
        self._pace = _PACE

    @property
    def folder(self) -> Path:
        """Folder of the cache."""
        return self._folder.folder

    @property
    def size(self) -> int:
        """Largest size of all shards in the folder together, bytes."""
        return self._folder.size

    def __repr__(self) -> str:
        return f"ShardCache({str(self.folder)!r}, size={self.size})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filler": None}

    def add(self, url: str, file: ShardFile) -> None:
        """Makes a shard known to the cache.

        Args:
            url: URL of the shard.
            file: Its size and digest, from its report.

        Raises:
            UsageError: if the cache is smaller than the shard.
        """
        self._folder.check_size(url, file)
        self._known[url] = file

    def find(self, url: str) -> str:
        """Returns the path of the local copy of a shard, or its URL if there is none.

        Args:
            url: Path or URL of the shard.
        """
        file = self._known.get(url)
        if file is None:
            return url
        path = f"{self.folder}/{file.sha256}.tar"
        try:
            # A Path costs more than the call. After a loss of power a file may have another size.
            return path if os.stat(path).st_size == file.bytes else url  # noqa: PTH116
        except OSError:
            return url

    def read(self, spans: Sequence[tuple[str, int, int]]) -> list[memoryview | ShardError]:
        """Reads parts of shards from their local copies; those of shards without a copy from the store.

        If a shard is being fetched, and its copy is expected before an answer of the store, it waits for the copy.

        Args:
            spans: Path or URL of a shard, first byte and number of bytes of each part.

        Returns:
            The bytes of each part, or why they cannot be read.
        """
        began = time.monotonic()
        written = [self._written(shard) for shard, _, _ in spans]
        coming = {n: bytes_ for n, bytes_ in enumerate(written) if bytes_ is not None}
        if not coming:
            return self._read(spans)
        others = [n for n in range(len(spans)) if n not in coming]
        found = dict(zip(others, self._read([spans[n] for n in others]), strict=True))
        while any(self._is_worth_waiting(spans[n][0], coming[n], time.monotonic() - began) for n in coming):
            time.sleep(_GLANCE)
        found |= zip(coming, self._read([spans[n] for n in coming]), strict=True)
        return [found[n] for n in range(len(spans))]

    def _written(self, shard: str) -> int | None:
        """Returns how many bytes of a shard are fetched so far; None if no process is fetching it."""
        file = self._known.get(shard)
        if file is None or self.find(shard) != shard:
            return None
        try:
            # The size would count gaps, where parts of a large file are fetched at the same time.
            return os.stat(self._folder.part(file)).st_blocks * _BLOCK  # noqa: PTH116
        except OSError:
            return None

    def _is_worth_waiting(self, shard: str, before: int, seconds: float) -> bool:
        """Whether a shard will probably be there before an answer of the store would be.

        Args:
            shard: URL of the shard.
            before: Bytes that were fetched when the waiting began.
            seconds: Time since then.
        """
        written = self._written(shard)
        if written is None:
            return False
        left = max(self._known[shard].bytes - written, 1)
        grows = left * seconds <= self._pace * (written - before)
        return seconds < self._pace or (grows and seconds < _MOST * self._pace)

    def _read(self, spans: Sequence[tuple[str, int, int]]) -> list[memoryview | ShardError]:
        began = time.monotonic()
        places = [(self.find(shard), offset, size) for shard, offset, size in spans]
        data = read_spans(places)
        if any(is_url(place) for place, _, _ in places):
            self._pace = min(time.monotonic() - began, _SLOWEST)
        for number, (shard, offset, size) in enumerate(spans):
            # A copy that was removed in this moment, or is on a failing disk, is replaced by the original.
            if isinstance(data[number], ShardError) and places[number][0] != shard:
                (data[number],) = read_spans([(shard, offset, size)])
        return data

    def fetch(self, urls: Iterable[str]) -> None:
        """Fetches shards in the background, in this order, until the process ends or :meth:`close` is called.

        Args:
            urls: URLs of the shards that will be read next. Those that are not known to the cache are ignored.
        """
        new = [url for url in dict.fromkeys(urls) if url in self._known and url not in self._asked]
        if not new:
            return
        self._asked |= set(new)
        if self._filler is None or self._filler.owner != os.getpid():
            self._filler = _Filler(self._folder)
        self._filler.ask([(url, self._known[url]) for url in new])

    def check(self) -> None:
        """Warns of shards that could not be fetched. They are read from the store."""
        if self._filler is not None and self._filler.owner == os.getpid():
            self._filler.check()

    def close(self) -> None:
        """Stops fetching. Shards that are in the cache stay there."""
        if self._filler is not None and self._filler.owner == os.getpid():
            self._filler.close()
        self._filler, self._asked = None, set()


class _Filler:
    """The process that fetches, seen from the process that needs the shards.

    Args:
        folder: Folder of the cache.
    """

    def __init__(self, folder: CacheFolder) -> None:
        self.owner = os.getpid()
        self._pipe, there = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(folder, there, self.owner), daemon=True)
        self._said: set[str] = set()
        with start_quietly():
            self._process.start()
        there.close()

    def ask(self, shards: list[tuple[str, ShardFile]]) -> None:
        with suppress(OSError):  # the process has ended: all is read from the store
            self._pipe.send(shards)

    def check(self) -> None:
        try:
            while self._pipe.poll():
                error: MgstError = self._pipe.recv()
                self._warn(f"not in the cache, read from the store: {error}")
        except (EOFError, OSError):
            self._process.join()
            if self._process.exitcode:
                what = f"the process that fetches shards ended with exit code {self._process.exitcode}"
                self._warn(f"{what}; shards that are not in the cache are read from the store")

    def _warn(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warnings.warn(what, MgstWarning, stacklevel=5)

    def close(self) -> None:
        self.check()
        self._pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(folder: CacheFolder, pipe: Connection, parent: int) -> None:
    """Fetches shards until the parent process ends, or this one is terminated."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    todo: queue.SimpleQueue[tuple[str, ShardFile]] = queue.SimpleQueue()
    failed: queue.SimpleQueue[MgstError] = queue.SimpleQueue()
    later: queue.SimpleQueue[tuple[str, ShardFile]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            url, file = todo.get()
            try:
                if not folder.fetch(url, file):
                    later.put((url, file))
            except MgstError as error:
                failed.put(error)
                if error.reason != CHANGED:  # otherwise fetching it again would give the same content
                    later.put((url, file))

    try:
        try:
            folder.make_room()
        except MgstError as error:
            failed.put(error)
        for _ in range(_PARALLEL):
            threading.Thread(target=work, daemon=True).start()
        turn = time.monotonic() + _TURN
        while os.getppid() == parent:
            if pipe.poll(_ALERT):
                for shard in pipe.recv():
                    todo.put(shard)
            while not failed.empty():
                pipe.send(failed.get())
            if time.monotonic() > turn:
                turn = time.monotonic() + _TURN
                folder.touch()
                for _ in range(later.qsize()):
                    todo.put(later.get())
    except (EOFError, OSError):  # the parent has closed the pipe
        pass
    finally:
        folder.touch()
        folder.abandon()


def _end(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signature of signal handlers
    raise SystemExit(0)
