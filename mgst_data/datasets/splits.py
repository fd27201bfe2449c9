"""Finds and reads official split files; splits are never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mgst_data.core import LayoutError
from mgst_data.core.errors import printable
from mgst_data.core.locations import join
from mgst_data.core.records import SPLITS
from mgst_data.datasets.layout import Note
from mgst_data.datasets.tree import Tree


def find_split_files(
    tree: Tree, given: Path | None, folders: Sequence[str], suffix: str, notes: list[Note]
) -> dict[str, Path]:
    """Finds the split files ``train``, ``val`` and ``test``.

    Args:
        tree: Folder of the data set.
        given: Folder that the user gave; if given, no other folder is searched.
        folders: Folders to search otherwise; the first one with a split file is used.
        suffix: Suffix of the files: ``".json"`` or ``".txt"``.
        notes: List to which a note is added if files are missing.

    Returns:
        The files that were found, by split; empty if there is none.

    Raises:
        LayoutError: if the folder that the user gave has none of the files.
    """
    names = [f"{split}{suffix}" for split in SPLITS]
    places = [given] if given else [Path(tree.path(folder)) for folder in folders]
    for place in places:
        files = {split: place / name for split, name in zip(SPLITS, names, strict=True) if (place / name).is_file()}
        if files:
            missing = [split for split in SPLITS if split not in files]
            what = "not found, so no video is in this split"
            notes += [Note(printable(place / f"{split}{suffix}"), what, "missing_split_file") for split in missing]
            return files
    if given:
        what = f"contains none of the files {', '.join(names)}"
        raise LayoutError(what, where=given, hint="give the folder that contains them")
    expected = join(folders[0], f"{{{','.join(SPLITS)}}}{suffix}")
    what = "official split files not found; copy them to this place, or give their folder (--splits)"
    notes.append(Note(expected, what, "no_split_files"))
    return {}


def merge_splits(files: dict[str, Path], read: Callable[[Path], Iterable[str]]) -> dict[str, str]:
    """Reads split files.

    Args:
        files: Split file of each split.
        read: Function that reads the video names of a split file.

    Returns:
        Split of each video name.

    Raises:
        LayoutError: if a name is in two splits.
    """
    table: dict[str, str] = {}
    for split, file in files.items():
        for name in read(file):
            if table.setdefault(name, split) != split:
                other = files[table[name]].name
                raise LayoutError(f"{name!r} is also in {other}", where=file, hint="delete it in one of the files")
    return table
