"""What every format of an export has in common: its description, its writer, and files that are not written twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from mgst_data.export.tracks import Track, TrackFrame
from mgst_data.shards.schema import Data
from mgst_data.shards.storage import output_errors


class TrackWriter(Protocol):
    """Writes tracks in one format, into a folder that it is made with."""

    def add(self, track: Track, frames: Iterator[TrackFrame]) -> None:
        """Writes a track.

        Args:
            track: The track.
            frames: Its chosen frames, in order. All of them must be used.

        Raises:
            OutputError: if a file cannot be written.
        """

    def finish(self) -> str:
        """Writes what needs all tracks, after ``tracks.csv``; returns the YAML head of the ``README.md``, or "".

        Raises:
            OutputError: if a file cannot be written.
        """

    def close(self) -> None:
        """Closes all files, also after an error."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of another tool.

    Attributes:
        title: Name for people.
        writer: Makes the writer for a folder.
        files: Which files there are, as lines of Markdown.
        use: Python code that reads the export; ``{split}`` stands for a split.
        command: Makes the shell command that opens the export, from its folder and its splits.
        package: Optional package that writing needs; "" for none.
    """

    title: str
    writer: Callable[[Path], TrackWriter]
    files: str
    use: str
    command: Callable[[Path, Sequence[str]], str]
    package: str = ""


def save(path: Path, data: Data) -> None:
    """Writes a picture, and its folder. A file of the same size is from an interrupted run of this export, and is kept.

    Args:
        path: File to write.
        data: Content of the file.

    Raises:
        OutputError: if the file cannot be written.
    """
    with output_errors(path):
        try:
            if path.stat().st_size == len(data):
                return
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class JsonLines:
    """A long JSON array in a file of its own, one item a line, that is put into another file later.

    Args:
        path: File of the items. It is replaced.

    Raises:
        OutputError: if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._begun = path, False
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w+", encoding="ascii")

    def write(self, item: dict[str, Any]) -> None:
        """Appends an item.

        Args:
            item: JSON values.

        Raises:
            OutputError: if the file cannot be written.
        """
        text = json.dumps(item, separators=(",", ":"), allow_nan=False)
        with output_errors(self._path):
            self._file.write(f",\n{text}" if self._begun else text)
        self._begun = True

    def move_into(self, file: TextIO) -> None:
        """Copies the array to a file, and deletes its own.

        Args:
            file: File that is open for writing.

        Raises:
            OutputError: if a file cannot be written.
        """
        with output_errors(self._path):
            self._file.seek(0)
            file.write("[\n")
            while text := self._file.read(2**20):
                file.write(text)
            file.write("\n]")
            self.close()
            self._path.unlink()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
