"""Official split files: found where they lie, read as they are, never guessed."""

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
    """Finds ``train``, ``val`` and ``test`` files.

    Args:
        tree: The data set.
        given: The folder the user named; only this one is looked at then.
        folders: Where the files are looked for otherwise; the first folder that has one of them counts.
        suffix: ``".json"`` or ``".txt"``.
        notes: Receives a note where no file, or only some, are found.

    Returns:
        The file of each split found; empty where there is none.

    Raises:
        LayoutError: if the folder the user named has none of the files.
    """
    names = [f"{split}{suffix}" for split in SPLITS]
    places = [given] if given else [Path(tree.path(folder)) for folder in folders]
    for place in places:
        files = {split: place / name for split, name in zip(SPLITS, names, strict=True) if (place / name).is_file()}
        if files:
            missing = [split for split in SPLITS if split not in files]
            what = "missing, so no video is in this split"
            notes += [Note(printable(place / f"{split}{suffix}"), what, "missing_split_file") for split in missing]
            return files
    if given:
        raise LayoutError(f"none of {', '.join(names)} is there", where=given, hint="give the folder that holds them")
    expected = join(folders[0], f"{{{','.join(SPLITS)}}}{suffix}")
    what = "no official split files; put them there, or give their folder (--splits)"
    notes.append(Note(expected, what, "no_split_files"))
    return {}


def merge_splits(files: dict[str, Path], read: Callable[[Path], Iterable[str]]) -> dict[str, str]:
    """Reads split files into one table from name to split.

    Raises:
        LayoutError: if a name is in two splits.
    """
    table: dict[str, str] = {}
    for split, file in files.items():
        for name in read(file):
            if table.setdefault(name, split) != split:
                other = files[table[name]].name
                raise LayoutError(f"{name!r} is also in {other}", where=file, hint="delete it in one of them")
    return table
