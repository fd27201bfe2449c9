"""What a layout is and what it gives: the videos of a data set, and notes on everything that is amiss with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from mgst_data.core import Registry, VideoRecord


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something amiss with a data set that does not stop its use. One note names one thing; count them by reason.

    Attributes:
        where: File or folder relative to the data set's root, as valid UTF-8.
        what: What is wrong with it, without a full stop.
        reason: A short snake_case code. In use are ``missing_video``, ``missing_mask``, ``missing_folder``,
            ``missing_split_file``, ``no_split_files``, ``no_split``, ``no_train_split``, ``no_label``, ``no_identity``,
            ``no_reals``, ``not_video``, ``unknown_name``, ``unknown_folder``, ``unknown_column``, ``same_folder``,
            ``beside_videos``.
    """

    where: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """The videos of a data set in a fixed order, and what is amiss with it.

    Raises:
        ValueError: if two records share a key.
    """

    records: tuple[VideoRecord, ...]
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        if len({record.key for record in self.records}) < len(self.records):
            raise ValueError("two records share a key")

    def __repr__(self) -> str:
        return f"Scan({len(self.records)} videos, {len(self.notes)} notes)"

    @staticmethod
    def of(records: Iterable[VideoRecord], notes: Iterable[Note] = ()) -> Scan:
        """Sorts records by video and drops repeated notes, so that the file system's order does not show."""
        return Scan(tuple(sorted(records, key=lambda r: (r.video, r.key))), tuple(sorted(set(notes))))


@runtime_checkable
class Layout(Protocol):
    """How a data set lies on disk.

    A layout is a frozen dataclass. Its fields are the options it takes, each with a default: ``splits`` (folder of
    the official split files), ``masks`` (carry mask videos along), ``reals`` (where the real videos lie, for sets
    that come without). An option that a layout has no field for is refused by ``make_layout``.

    Attributes:
        looks_for: What ``recognises`` looks for, in words, for the message when nothing is recognised.
    """

    looks_for: ClassVar[str]

    def recognises(self, root: Path) -> bool:
        """Says whether ``root``, a folder or a file, lies like this: from a few names, without walking the tree."""
        ...

    def scan(self, root: Path) -> Scan:
        """Finds every video with its label, split, method and identities.

        A video that a list or metadata file names and that is not there, a file that nothing describes, a missing
        part: each becomes a note. Nothing is dropped in silence, and no split or label is guessed.

        Raises:
            LayoutError: if a folder or file that the layout cannot do without is missing or malformed.
        """
        ...


LAYOUTS: Registry[Callable[..., Layout]] = Registry("mgst_data.layouts")
