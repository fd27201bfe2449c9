"""Folder of a data set: lists files and folders, finds videos and makes their records."""

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
    """The sorted names in one folder; names with a leading dot are left out.

    Attributes:
        folders: Names of subfolders.
        files: Names of files.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder whose files and subfolders are named by relative paths.

    Relative paths have ``/`` between their parts; "" is the folder itself.

    Attributes:
        root: Absolute path of the folder.
        suffix: Suffix that is left out of keys.
    """

    root: Path
    suffix: str = ".mp4"

    @staticmethod
    def of(root: Path, suffix: str = ".mp4") -> Tree:
        """Creates a tree.

        Args:
            root: Absolute or relative path of the folder.
            suffix: Suffix that is left out of keys.
        """
        return Tree(root.absolute(), suffix)

    def path(self, at: str) -> str:
        """Returns the absolute path of a relative path; a URL is returned unchanged."""
        if is_url(at):
            return at
        return os.path.join(self.root, at) if at else str(self.root)  # noqa: PTH118 - ten times faster than pathlib

    def has_folder(self, at: str) -> bool:
        """Returns whether a folder with this relative path exists."""
        return os.path.isdir(self.path(at))  # noqa: PTH112 - False, not an error, where access is denied

    def has_file(self, at: str) -> bool:
        """Returns whether a file with this relative path exists."""
        return os.path.isfile(self.path(at))  # noqa: PTH113

    def listing(self, at: str = "") -> Listing:
        """Lists a folder. It needs no system call per file, except for links.

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
            failure = unreadable(error, self.path(at))
            raise failure from error
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def walk(self, at: str, notes: list[Note]) -> Iterator[str]:
        """Yields a folder and all folders below it, in order.

        Args:
            at: Relative path of the folder.
            notes: List to which a note is added for every folder that links reach a second time.

        Raises:
            LayoutError: if a folder cannot be read.
        """
        seen: set[tuple[int, int]] = set()
        waiting = [at]
        while waiting:
            folder = waiting.pop()
            try:
                status = Path(self.path(folder)).stat()
            except OSError as error:
                failure = unreadable(error, self.path(folder))
                raise failure from error
            if (status.st_dev, status.st_ino) in seen:
                what = "not used: it links to a folder that is already scanned"
                notes.append(Note(printable(folder), what, "same_folder"))
                continue
            seen.add((status.st_dev, status.st_ino))
            yield folder
            waiting += [join(folder, name) for name in reversed(self.listing(folder).folders)]

    def videos(self, at: str, notes: list[Note]) -> list[str]:
        """Returns the relative paths of the videos of a folder.

        If the folder has a subfolder ``videos/``, the videos of the subfolder are returned. Copies of the same data set
        differ in this.

        Args:
            at: Relative path of the folder.
            notes: List to which a note is added for files that are left out.
        """
        inner = join(at, "videos")
        if not self.has_folder(inner):
            return self.videos_in(at, notes)
        unused = self.videos_in(at, notes)
        if unused:
            what = f"{some(unused)}: not used, because the folder videos/ exists"
            notes.append(Note(printable(at) or ".", what, "beside_videos"))
        return self.videos_in(inner, notes)

    def videos_in(self, at: str, notes: list[Note]) -> list[str]:
        """Returns the relative paths of the video files directly in a folder, recognised by their suffix.

        Args:
            at: Relative path of the folder.
            notes: List to which a note is added for the other files.
        """
        files = self.listing(at).files
        videos = [name for name in files if name.lower().endswith(VIDEO_SUFFIXES)]
        others = [name for name in files if not name.lower().endswith((*VIDEO_SUFFIXES, *METADATA_SUFFIXES))]
        if others:
            notes.append(
                Note(printable(at) or ".", f"{some(others)}: file name without the suffix of a video", "not_video")
            )
        return [join(at, name) for name in videos]

    def videos_below(self, at: str, notes: list[Note]) -> list[str]:
        """Returns the relative paths of the videos of a folder and of all folders below it, in order.

        Args:
            at: Relative path of the folder.
            notes: List to which a note is added for files that are left out, and for folders that links reach twice.

        Raises:
            LayoutError: if a folder cannot be read.
        """
        return [video for folder in self.walk(at, notes) for video in self.videos_in(folder, notes)]

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
        fake_spans: tuple[tuple[float, float], ...] = (),
        landmarks: str = "",
    ) -> VideoRecord:
        """Creates the record of a video.

        Args:
            video: Relative path of the video.
            dataset: Name of the data set.
            split: "train", "val", "test" or "".
            label: 0 for real, 1 for fake.
            method: Method of a fake; "real" for real videos.
            compression: Compression level; "" if unknown.
            source: Source identity; "" if unknown.
            target: Target identity; "" if unknown.
            mask: Relative path of the mask video; "" for none.
            fake_spans: Fake parts of a fake video, seconds; see :class:`mgst_data.core.VideoRecord`.
            landmarks: Relative path of the folder of prepared landmarks; "" for none.
        """
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
            fake_spans=fake_spans,
            landmarks_path=self.path(landmarks) if landmarks else "",
        )


def stem(video: str) -> str:
    """Returns the file name without folder and suffix."""
    return os.path.splitext(video.rpartition("/")[2])[0]  # noqa: PTH122 - names are strings here, not paths


def some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Returns the first names and the number of the others: ``"a, b and 7 more"``.

    Args:
        names: Names to list.
        most: Largest number of names to list.
    """
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
