"""Where the files of a folder of shards are: in a local folder, or in an object store behind a URL.

A store has no files that grow, and no renaming. So shards are written in a local *workspace*, and a finished file is
sent to the store in one upload, which a reader sees completely or not at all. For a local folder, the workspace is the
folder itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mgst_data.core import OutputError, ShardError
from mgst_data.core.locations import cache_folder, is_url, join
from mgst_data.shards.storage import at_url, output_errors, publish, read_bytes, write_atomic

_FILE = "file://"
# Files that are read with one call, which a store answers in parallel.
_AT_ONCE = 256
# Stores whose package has another name for "only if the file does not exist".
_CREATES = {"abfs": {"overwrite": False}, "abfss": {"overwrite": False}, "az": {"overwrite": False}}


@dataclass(frozen=True, slots=True)
class ShardStore:
    """Reads and writes the files of a folder by name. It can be sent to another process.

    Attributes:
        location: Path or URL of the folder.
        workspace: Local folder in which shards are written.
    """

    location: str
    workspace: Path

    @staticmethod
    def at(location: str | Path) -> ShardStore:
        """Returns the store of a folder.

        Args:
            location: Path or fsspec URL of the folder. ``file://`` URLs are treated as paths.
        """
        text = str(location)
        if not is_url(text) or text.startswith(_FILE):
            text = text.removeprefix(_FILE)
            return ShardStore(text, Path(text))
        text = text.rstrip("/")
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return ShardStore(text, cache_folder() / "uploads" / digest[:16])

    @property
    def remote(self) -> bool:
        """Whether the folder is behind a URL."""
        return is_url(self.location)

    def url(self, name: str) -> str:
        """Returns the path or URL of a file."""
        return join(self.location, name)

    def read(self, name: str) -> bytes:
        """Reads a file.

        Args:
            name: Name of the file.

        Raises:
            FileNotFoundError: if it does not exist.
            ShardError: if it cannot be read.
        """
        return read_bytes(self.url(name))

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yields name and content of many files, in order; those that do not exist are left out.

        Args:
            names: Names of the files.

        Raises:
            ShardError: if one cannot be read.
        """
        if not self.remote:
            for name in names:
                with suppress(FileNotFoundError):
                    yield name, self.read(name)
            return
        remaining = iter(names)
        while some := list(islice(remaining, _AT_ONCE)):

            def read(files: Any, path: str, some: list[str] = some) -> dict[str, bytes]:
                # With a first byte, a store does not ask for the size of every file first.
                found = files.cat_ranges([join(path, name) for name in some], 0, None, on_error="return")
                by_name = dict(zip(some, found, strict=True))
                for name, data in by_name.items():
                    if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                        with suppress(FileNotFoundError):
                            by_name[name] = files.cat_file(join(path, name))  # an empty file has no first byte
                return {name: data for name, data in by_name.items() if isinstance(data, bytes)}

            yield from at_url(self.location, read, fault=ShardError).items()

    def names(self) -> list[str]:
        """Returns the names of all files, sorted; without files if the folder does not exist.

        Raises:
            ShardError: if the folder cannot be listed.
        """
        if not self.remote:
            try:
                return sorted(path.name for path in Path(self.location).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []
            except OSError as error:
                raise ShardError(error.strerror or str(error), where=self.location) from error

        def listed(files: Any, path: str) -> list[str]:
            files.invalidate_cache(path)
            return [str(one).rstrip("/").rpartition("/")[2] for one in files.ls(path, detail=False)]

        try:
            return sorted(at_url(self.location, listed, fault=ShardError))
        except FileNotFoundError:
            return []

    def write(self, name: str, data: bytes | bytearray) -> None:
        """Writes a file: it exists completely or not at all.

        Args:
            name: Name of the file.
            data: Its content.

        Raises:
            OutputError: if it cannot be written.
        """
        if self.remote:
            self._change(name, lambda files, path: files.pipe_file(path, bytes(data)))
        else:
            write_atomic(Path(self.location, name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file behind a URL if it does not exist. Of several writers at the same time, one succeeds.

        Args:
            name: Name of the file.
            data: Its content.

        Returns:
            Whether the file was written.

        Raises:
            OutputError: if it cannot be written.
        """
        asked = _CREATES.get(self.location.partition("://")[0], {"mode": "create"})
        try:
            self._change(name, lambda files, path: files.pipe_file(path, data, **asked))
        except FileExistsError:
            return False
        return True

    def publish(self, part: Path, name: str) -> None:
        """Makes a finished file of the workspace a file of the folder. A local file is renamed, another is uploaded.

        Args:
            part: The finished file, synchronised to the disk.
            name: Name of the file in the folder.

        Raises:
            OutputError: if it cannot be written.
        """
        if self.remote:
            self._change(name, lambda files, path: files.put_file(str(part), path))
        else:
            with output_errors(Path(self.location, name)):
                publish(part, Path(self.location, name))

    def remove(self, name: str) -> None:
        """Deletes a file. It may not exist.

        Args:
            name: Name of the file.

        Raises:
            OutputError: if it cannot be deleted.
        """
        if self.remote:
            with suppress(FileNotFoundError):
                at_url(self.url(name), lambda files, path: files.rm_file(path), fault=OutputError)
        else:
            with output_errors(Path(self.location, name)):
                Path(self.location, name).unlink(missing_ok=True)

    def _change(self, name: str, work: Any) -> None:
        try:
            at_url(self.url(name), work, fault=OutputError)
        except FileNotFoundError as error:
            hint = "create the bucket first, or correct the URL"
            raise OutputError("the store has no such bucket", where=self.url(name), hint=hint) from error
