"""Compares the videos that a data set lists with the videos that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from mgst_data.core.errors import printable
from mgst_data.datasets.layout import Note

Entry = TypeVar("Entry")


def match_listed(
    listed: Mapping[str, Entry], present: Iterable[str], source: str, notes: list[Note]
) -> Iterator[tuple[str, Entry]]:
    """Yields every video that is listed and present, with its entry.

    Args:
        listed: Entry of each listed video, by relative path.
        present: Relative paths of the videos that are present.
        source: File that lists the videos, for the notes.
        notes: List to which a note is added for every video that is only listed or only present.
    """
    absent = dict.fromkeys(listed)
    for video in present:
        if video in listed:
            absent.pop(video, None)
            yield video, listed[video]
        else:
            notes.append(Note(printable(video), f"not listed in {source}, so the label is unknown", "no_label"))
    notes += [Note(printable(video), f"listed in {source}, but not found", "missing_video") for video in absent]
