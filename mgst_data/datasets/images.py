"""General layout: a folder of pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

from mgst_data.core import FAKE, REAL, LayoutError, RecordTable, UsageError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import PICTURE_SUFFIXES, is_picture, join
from mgst_data.datasets.folder import LABELS, SPLIT_FOLDERS, class_folders
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import METADATA_SUFFIXES, VIDEO_SUFFIXES, Tree, some, stem

# Value of the option ``identity`` for persons by folder.
BY_FOLDER = "folder"
# Number of folders that are looked at to recognise the layout.
_LOOKS = 50
# Smallest number of pictures with consecutive numbers in one folder that can be frames of a video.
_FRAMES = 3


@LAYOUTS.register("images")
@dataclass(frozen=True, slots=True)
class Images:
    """Reads ``[train|val|test]/[real|fake]/`` with pictures in these folders or in their subfolders at any depth.

    If there is no folder ``real/`` or ``fake/``, all pictures are real, as in a collection of photos; a note says so.
    As in the layout ``folder``, the first folder below ``fake/`` is the name of the method.

    Attributes:
        identity: How the identity is found: "" if identities are unknown; "folder" for the first folder below the
            folder of the label and the method; otherwise a regular expression that is searched for in the relative
            path. Its group ``person``, or its first group, is the person.

    Raises:
        UsageError: if ``identity`` is not a regular expression with a group.
    """

    identity: str = ""
    looks_for: ClassVar[str] = "pictures and no videos, also in real/ and fake/ and inside train/, val/, test/"

    def __post_init__(self) -> None:
        if self.identity in ("", BY_FOLDER):
            return
        hint = rf"give {BY_FOLDER!r}, or an expression with a group, such as '([^/]+)_\d+\.jpg'"
        try:
            pattern = re.compile(self.identity)
        except re.error as error:
            raise UsageError(f"identity is not a regular expression: {error}", hint=hint) from error
        if not pattern.groups:
            raise UsageError(f"identity has no group for the person: {self.identity!r}", hint=hint)

    def recognises(self, root: Path) -> bool:
        """Returns whether the first folders contain pictures, no videos, and no folders of frames."""
        return _has_pictures(root) and not has_frames(root)

    def scan(self, root: Path) -> Scan:
        """Finds every picture by the suffix of its file name.

        Raises:
            LayoutError: if a folder cannot be read.
        """
        tree = Tree.of(root, suffix=".jpg")
        notes: list[Note] = []
        labelled = any(True for _ in class_folders(tree))
        records = RecordTable()
        for at in tree.walk("", notes):
            pictures = _pictures_in(tree, at, notes)
            place = _Place.of(at, labelled=labelled)
            if place is None:
                if pictures:
                    what = f"{some(pictures)}: not used, outside real/ and fake/"
                    notes.append(Note(printable(at) or ".", what, "no_label"))
                continue
            for name in pictures:
                records.append(self._record(tree, join(at, name), place, notes))
        if not labelled and records:
            what = f"no folder real/ or fake/, so all {len(records):,} pictures are taken as real"
            notes.append(Note(".", what, "all_real"))
        return Scan.of(records, notes)

    def _record(self, tree: Tree, picture: str, place: _Place, notes: list[Note]) -> VideoRecord:
        dataset = printable(tree.root.name)
        person = place.person
        if self.identity != BY_FOLDER:
            found = re.search(self.identity, picture) if self.identity else None
            person = (found["person"] if "person" in found.groupdict() else found[1]) or "" if found else ""
        if self.identity and not person:
            where = "in no folder of a person" if self.identity == BY_FOLDER else "--identity does not match"
            what = f"no identity: {where}"
            notes.append(Note(printable(picture), what, "no_person"))
        return tree.record(
            picture,
            dataset=dataset,
            split=place.split,
            label=place.label,
            method=place.method,
            target=f"{dataset}/{printable(person)}" if self.identity and person else "",
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """What the path of a folder says of its pictures."""

    split: str
    label: int
    method: str
    person: str

    @staticmethod
    def of(at: str, *, labelled: bool) -> _Place | None:
        """Parses a relative path. None for a folder outside of real/ and fake/, if ``labelled``."""
        parts = at.split("/") if at else []
        split = SPLIT_FOLDERS.get(parts[0].lower(), "") if parts else ""
        parts = parts[1:] if split else parts
        label, method = REAL, "real"
        if labelled:
            if not parts or parts[0].lower() not in LABELS:
                return None
            label, parts = LABELS[parts[0].lower()], parts[1:]
            if label == FAKE:
                method, parts = (printable(parts[0]), parts[1:]) if parts else ("fake", [])
        return _Place(split, label, method, parts[0] if parts else "")


def has_frames(root: Path) -> bool:
    """Returns whether the pictures in a folder look like frames of videos.

    They do if a folder is named ``frames``, or if several folders have pictures with the same name and consecutive
    numbers from the same number on, such as ``000.png, 001.png, ...``.
    """
    starts: set[tuple[str, int]] = set()
    for at, files in _first_folders(root):
        if "frames" in at.lower().split("/"):
            return True
        start = _first_frame([name for name in files if is_picture(name)])
        if start in starts:
            return True
        starts |= {start} if start else set()
    return False


def _first_frame(pictures: list[str]) -> tuple[str, int] | None:
    """Returns the name before the number, and the number of the first picture, if the numbers are consecutive."""
    named = [re.fullmatch(r"(.*?)(\d+)", stem(name)) for name in pictures]
    if len(named) < _FRAMES or not all(named):
        return None
    names = {found[1] for found in named if found}
    numbers = sorted(int(found[2]) for found in named if found)
    consecutive = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return (names.pop(), numbers[0]) if consecutive and len(names) == 1 else None


def _has_pictures(root: Path) -> bool:
    if not root.is_dir():
        return False
    found = False
    for _, files in _first_folders(root):
        if any(name.lower().endswith(VIDEO_SUFFIXES) for name in files):
            return False
        found = found or any(map(is_picture, files))
    return found


def _first_folders(root: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the relative paths of the first folders that can be read, with the names of their files."""
    tree = Tree.of(root)
    waiting = [""]
    # The list grows while it is iterated.
    for at in islice(waiting, _LOOKS):
        try:
            listing = tree.listing(at)
        except LayoutError:  # the scan reports it
            continue
        waiting += [join(at, name) for name in listing.folders[:_LOOKS]]
        yield at, listing.files


def _pictures_in(tree: Tree, at: str, notes: list[Note]) -> list[str]:
    files = tree.listing(at).files
    others = [name for name in files if not name.lower().endswith((*PICTURE_SUFFIXES, *METADATA_SUFFIXES))]
    if others:
        what = f"{some(others)}: file name without the suffix of a picture"
        notes.append(Note(printable(at) or ".", what, "not_picture"))
    return [name for name in files if is_picture(name)]
