"""A data set's folder: listing it and naming what is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mgst_data.core import VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url, join
from mgst_data.datasets.files import unreadable
from mgst_data.datasets.keys import video_key
from mgst_data.datasets.layout import Note

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts",
)  # fmt: skip
METADATA_SUFFIXES = (".json", ".csv", ".txt")


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in one folder, sorted; names with a leading dot are left out."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder in which everything is named relative to it, with ``/`` between the parts and "" for itself.

    Attributes:
        root: Absolute path of the folder.
        suffix: The suffix that keys leave out.
    """

    root: Path
    suffix: str = ".mp4"

    @staticmethod
    def of(root: Path, suffix: str = ".mp4") -> Tree:
        """The tree at any path, absolute or not."""
        return Tree(root.absolute(), suffix)

    def path(self, at: str) -> str:
        """The absolute path of a name; a URL stays as it is."""
        if is_url(at):
            return at
        return os.path.join(self.root, at) if at else str(self.root)  # noqa: PTH118 - ten times pathlib's speed

    def has_folder(self, at: str) -> bool:
        """Whether a folder of that name is there."""
        return os.path.isdir(self.path(at))  # noqa: PTH112 - False, not an error, where access is denied

    def has_file(self, at: str) -> bool:
        """Whether a file of that name is there."""
        return os.path.isfile(self.path(at))  # noqa: PTH113

    def listing(self, at: str = "") -> Listing:
        """Lists a folder; costs no call per file except for links.

        Raises:
            LayoutError: if the folder cannot be read.
        """
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.path(at)) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            raise unreadable(error, self.path(at)) from error
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def walk(self, at: str, notes: list[Note]) -> Iterator[str]:
        """Gives a folder and all folders below it, in order; one that is reached twice through links is noted."""
        seen: set[tuple[int, int]] = set()
        waiting = [at]
        while waiting:
            folder = waiting.pop()
            try:
                status = Path(self.path(folder)).stat()
            except OSError as error:
                raise unreadable(error, self.path(folder)) from error
            if (status.st_dev, status.st_ino) in seen:
                notes.append(Note(printable(folder), "links to a folder that was scanned already", "same_folder"))
                continue
            seen.add((status.st_dev, status.st_ino))
            yield folder
            waiting += [join(folder, name) for name in reversed(self.listing(folder).folders)]

    def videos(self, at: str, notes: list[Note]) -> list[str]:
        """Names the videos of a folder that may keep them in ``videos/``; releases and preparations differ in this."""
        inner = join(at, "videos")
        if not self.has_folder(inner):
            return self.videos_in(at, notes)
        beside = self.videos_in(at, notes)
        if beside:
            what = f"{some(beside)}: beside videos/, which is taken instead"
            notes.append(Note(printable(at) or ".", what, "beside_videos"))
        return self.videos_in(inner, notes)

    def videos_in(self, at: str, notes: list[Note]) -> list[str]:
        """Names the video files directly in a folder, by suffix; notes the other files."""
        files = self.listing(at).files
        videos = [name for name in files if name.lower().endswith(VIDEO_SUFFIXES)]
        others = [name for name in files if not name.lower().endswith((*VIDEO_SUFFIXES, *METADATA_SUFFIXES))]
        if others:
            notes.append(Note(printable(at) or ".", f"{some(others)}: no video by name", "not_video"))
        return [join(at, name) for name in videos]

    def record(
        self,
        video: str,
        *,
        dataset: str,
        split: str,
        label: int,
        method: str = "real",
        compression: str = "",
        source: str = "",
        target: str = "",
        mask: str = "",
    ) -> VideoRecord:
        """The record of a video of this tree. ``video`` and ``mask`` are relative names."""
        return VideoRecord(
            key=video_key(video, self.suffix),
            path=self.path(video),
            video=printable(video),
            dataset=dataset,
            split=split,
            label=label,
            method=method,
            compression=compression,
            source_key=source,
            target_key=target,
            mask_path=self.path(mask) if mask else "",
        )


def stem(video: str) -> str:
    """The file name without folder and suffix."""
    return os.path.splitext(video.rpartition("/")[2])[0]  # noqa: PTH122 - names are strings here, not paths


def some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Names the first few and counts the rest: ``"a, b and 7 more"``."""
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
