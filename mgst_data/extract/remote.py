"""Data sets behind URLs: lists them with one call, and fetches one video at a time."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from mgst_data.core import LayoutError, VideoError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_picture, is_url, join
from mgst_data.datasets import Note, Scan, scan_dataset
from mgst_data.datasets.manifest import SUFFIXES as MANIFESTS
from mgst_data.datasets.tree import METADATA_SUFFIXES, VIDEO_SUFFIXES
from mgst_data.shards.remote_files import copy_names, list_files
from mgst_data.shards.storage import at_url, output_errors

_TEXTS = (*METADATA_SUFFIXES, *MANIFESTS)
_PLACES = ("path", "mask_path", "landmarks_path")


def scan_url(url: str, **options: Any) -> Scan:
    """Finds the videos of a data set behind a URL.

    All names are listed with one call of the store. An image of the data set is made in a temporary folder: its lists
    and tables are copied, its other files are empty. A layout scans it like any other folder.

    Args:
        url: fsspec URL of the folder of the data set, or of a manifest.
        options: As for :func:`mgst_data.datasets.scan_dataset`.

    Returns:
        The scan. The paths of its records are URLs.

    Raises:
        UsageError: if no package for the URL is installed; as for :func:`mgst_data.datasets.scan_dataset`.
        LayoutError: if the folder is missing, empty or cannot be read; as for
            :func:`mgst_data.datasets.scan_dataset`.
    """
    url = url.rstrip("/")
    folder, _, name = url.rpartition("/")
    folder, name = (folder, name) if url.lower().endswith(MANIFESTS) else (url, "")
    with tempfile.TemporaryDirectory(prefix="mgst-") as temporary:
        # Some layouts name the data set after its folder.
        root = Path(temporary).resolve() / folder.rpartition("/")[2]
        notes = _copy_names(folder, root)
        try:
            found = scan_dataset(root / name, **options)
        except LayoutError as error:
            where = error.where.replace(str(root), folder)
            raise LayoutError(error.what, where=where, hint=error.hint, reason=error.reason) from None

    def moved(record: VideoRecord) -> VideoRecord:
        changes: dict[str, Any] = {}
        for place in _PLACES:
            inside = getattr(record, place).removeprefix(f"{root}/")
            if inside != getattr(record, place):
                changes[place] = join(folder, inside)
        return replace(record, **changes)

    return Scan.of(map(moved, found.records), (*found.notes, *notes))


def _copy_names(url: str, root: Path) -> list[Note]:
    """Makes the image of a data set; returns notes on names that a local folder cannot have.

    Raises:
        LayoutError: if the folder is missing or empty, or cannot be read.
    """
    fault = partial(LayoutError, reason="missing_source")
    names = list_files(url, fault=fault)
    if not names:
        raise LayoutError("no such file or folder", where=url, hint="check the URL", reason="missing_source")
    refused = copy_names(url, names, root, wanted=lambda name: name.lower().endswith(_TEXTS), fault=fault)
    return [Note(printable(name), "not used: a local folder cannot have this name", "unknown_name") for name in refused]


class Copies:
    """Local copies of what records name by URL. Use it as a context manager, which deletes them.

    Args:
        folder: Folder for the copies. It is made if it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0

    def fetch(self, record: VideoRecord) -> VideoRecord:
        """Copies the video of a record, its masks and its landmarks.

        Args:
            record: Record of a video. Paths that are not URLs stay as they are.

        Returns:
            The record with local paths.

        Raises:
            VideoError: if a file does not exist or cannot be read.
            OutputError: if a copy cannot be written, for example because the disk is full.
        """
        copies: dict[str, Any] = {}
        for place in _PLACES:
            if not is_url(url := getattr(record, place)):
                continue
            self._made += 1
            copy = self._folder / str(self._made) / url.partition("?")[0].rpartition("/")[2]
            with output_errors(self._folder):
                copy.parent.mkdir(parents=True, exist_ok=True)
            _fetch(url, copy)
            copies[place] = str(copy)
        return replace(record, **copies) if copies else record

    def clear(self) -> None:
        """Deletes all copies."""
        if self._made:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


def _fetch(url: str, copy: Path) -> None:
    def get(files: Any, path: str) -> None:
        shutil.rmtree(copy, ignore_errors=True)  # what an earlier try has left
        is_file = path.lower().endswith(VIDEO_SUFFIXES) or is_picture(path) or not files.isdir(path)
        if is_file:
            files.get_file(path, str(copy))
        else:
            files.get(f"{path}/", f"{copy}/", recursive=True)

    try:
        at_url(url, get, fault=partial(VideoError, reason="unreadable"))
    except FileNotFoundError as error:
        raise VideoError("no such file", where=url, hint="check the URL", reason="missing") from error
