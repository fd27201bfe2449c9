"""Interface of layouts, and the result of a scan: the videos of a data set, with notes on its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from mgst_data.core import RecordTable, Registry, VideoRecord


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """A problem of a data set that does not prevent its use.

    Each note describes one problem; reports count the notes by reason.

    Attributes:
        where: File or folder relative to the root of the data set, as valid UTF-8.
        what: Description of the problem, without a full stop.
        reason: A short snake_case code: ``missing_video``, ``missing_mask``, ``missing_folder``,
            ``missing_split_file``, ``no_split_files``, ``no_split``, ``no_train_split``, ``no_label``, ``no_identity``,
            ``no_reals``, ``not_video``, ``unknown_name``, ``unknown_folder``, ``unknown_column``, ``same_folder``,
            ``same_name``, ``beside_videos``, ``partly_fake``, ``all_real``, ``not_picture``, ``no_person``,
            ``missing_frames``, ``extra_frames``, ``missing_landmarks``.
    """

    where: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """The videos of a data set in a fixed order, and notes on its problems.

    Attributes:
        records: One record per video. They are kept as a table, so that many records need little memory.
        notes: Problems of the data set.

    Raises:
        ValueError: if two records have the same key.
    """

    records: Sequence[VideoRecord]
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        table = RecordTable.of(self.records)
        object.__setattr__(self, "records", table)
        if table.repeated():
            raise ValueError("two records have the same key")

    def __repr__(self) -> str:
        return f"Scan({len(self.records)} videos, {len(self.notes)} notes)"

    @staticmethod
    def of(records: Iterable[VideoRecord], notes: Iterable[Note] = ()) -> Scan:
        """Creates a scan with sorted records and notes, so that the result does not depend on the file system.

        Args:
            records: Records of the videos; they are sorted by video.
            notes: Problems of the data set; they are sorted, and duplicates are removed.
        """
        return Scan(RecordTable.of(records).sorted(), tuple(sorted(set(notes))))


@runtime_checkable
class Layout(Protocol):
    """Interface of a layout: the directory layout of a data set.

    A layout is a frozen dataclass. Its fields are its options, each with a default: ``splits`` (folder of the official
    split files), ``masks`` (whether to add mask videos), ``reals`` (folder of the real videos, for data sets without
    real videos), ``identity`` (how the identity is found in the path). ``make_layout`` rejects options for which the
    layout has no field.

    Attributes:
        looks_for: Description of the files and folders that ``recognises`` looks for. It is shown if no layout
            recognises a data set.
    """

    looks_for: ClassVar[str]

    def recognises(self, root: Path) -> bool:
        """Returns whether a folder or file has this layout. It looks only at a few names and does not scan the tree."""
        ...

    def scan(self, root: Path) -> Scan:
        """Finds every video with its label, split, method and identities.

        Every problem gives a note: a listed video that is missing, a file without metadata, a missing part. Every file
        that is left out is reported, and no split or label is guessed.

        Raises:
            LayoutError: if a required folder or file is missing or malformed.
        """
        ...


LAYOUTS: Registry[Callable[..., Layout]] = Registry("mgst_data.layouts")
