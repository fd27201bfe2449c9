"""Finds the layout of a data set and scans it for videos."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mgst_data.core import LayoutError, RecordTable, UsageError
from mgst_data.core.errors import printable
from mgst_data.core.records import DEMO
from mgst_data.datasets.files import unreadable
from mgst_data.datasets.images import has_frames
from mgst_data.datasets.layout import LAYOUTS, Layout, Note, Scan
from mgst_data.datasets.tree import Tree

# These layouts also recognise folders of other layouts. The first one is used only if no other layout recognises the
# folder, the second one if only the first one does too.
GENERAL = ("folder", "images")
# This file in the root marks the demo data set, which has the directory layout of FaceForensics++.
DEMO_MARK = "mgst_demo.json"
# Reasons of notes that explain why a scan found no video.
TELLING = ("missing_video", "no_label", "unknown_name", "not_video", "not_picture")


def scan_dataset(root: str | Path, *, layout: str = "auto", **options: Path | str | bool | None) -> Scan:
    """Finds the videos of a data set.

    Args:
        root: Folder of the data set, or a manifest.
        layout: Name of the layout; "auto" finds it.
        options: Options of the layout (``splits``, ``masks``, ``reals``, ``identity``); None and False mean that an
            option is not given.

    Raises:
        UsageError: if the layout is unknown or does not have an option.
        LayoutError: if the root is missing or empty, does not have this layout, or contains no video.
    """
    root = Path(root)
    try:
        root.stat()
        if root.is_dir():
            next(root.iterdir(), None)
    except OSError as error:
        failure = unreadable(error, root, reason="missing_source")
        raise failure from error
    name = find_layout(root) if layout == "auto" else layout
    scan = make_layout(name, **options).scan(root)
    if (root / DEMO_MARK).is_file():
        scan = Scan.of((replace(record, dataset=DEMO) for record in scan.records), scan.notes)
    if scan.records:
        return _note_nameless(scan)
    clues = [f"; {note.where}: {note.what}" for note in scan.notes if note.reason in TELLING]
    what = f"no video found with the layout {name!r}{clues[0] if clues else ''}"
    raise LayoutError(what, where=root, hint="check the path and the layout", reason="empty_source")


def make_layout(name: str, **options: Path | str | bool | None) -> Layout:
    """Creates a layout.

    Args:
        name: Name of the layout.
        options: Options of the layout; None and False mean that an option is not given.

    Raises:
        UsageError: if the layout is unknown or does not have one of the options.
    """
    kind = LAYOUTS.get(name)
    given = {option: value for option, value in options.items() if value not in (None, False)}
    taken = inspect.signature(kind).parameters
    for option in given:
        if option not in taken:
            hint = f"leave it out; options of this layout: {', '.join(taken) or 'none'}"
            raise UsageError(f"the layout {name!r} has no option {option!r}", hint=hint)
    return kind(**given)


def find_layout(root: Path) -> str:
    """Returns the name of the layout of a data set.

    Raises:
        LayoutError: if no layout or more than one layout recognises the data set.
    """
    found = _recognising(root)
    for general in GENERAL:
        if len(found) > 1:
            found = [name for name in found if name != general]
    if len(found) == 1:
        return found[0]
    if found:
        hint = "choose one with --layout, or give the folder of one data set"
        raise LayoutError(f"several layouts match: {', '.join(found)}", where=root, hint=hint, reason="unknown_layout")
    if not root.is_dir():
        hint = "give a folder, or a .csv or .jsonl manifest"
        raise LayoutError("not a folder and not a manifest", where=root, hint=hint, reason="unknown_layout")
    if has_frames(root):
        what = "the pictures look like frames of videos: numbered from the same number on in several folders"
        hint = "for photos, give --layout images; for videos, list the folders of frames in a manifest"
        raise LayoutError(what, where=root, hint=hint, reason="unknown_layout")
    # A folder with very many subfolders is not a folder of data sets, so only the first ones are checked.
    children = [root / name for name in Tree.of(root).listing().folders[:100]]
    for child in children:
        if not os.access(child, os.R_OK | os.X_OK):
            continue
        inside = _recognising(child)
        if inside:
            hint = f"its subfolder {printable(child.name)}/ has the layout {inside[0]}; give that folder"
            raise LayoutError("unknown directory layout", where=root, hint=hint, reason="unknown_layout")
    if not any(root.iterdir()):
        raise LayoutError(
            "the folder is empty", where=root, hint="give the folder of the data set", reason="empty_source"
        )
    expected = "; ".join(f"{name}: {LAYOUTS.get(name)().looks_for}" for name in LAYOUTS)
    hint = f"move the videos to real/ and fake/, or list them in a manifest; known layouts: {expected}"
    raise LayoutError("unknown directory layout", where=root, hint=hint, reason="unknown_layout")


def _note_nameless(scan: Scan) -> Scan:
    """Adds a note if leakage cannot be checked, because videos of more than one split have no identities."""
    fields = RecordTable.of(scan.records).fields("split", "source_key", "target_key")
    nameless = Counter(split for split, source, target in fields if split and not source and not target)
    if len(nameless) < 2:
        return scan
    what = f"{nameless.total()} videos have no identity; leakage between their splits cannot be checked"
    return Scan.of(scan.records, (*scan.notes, Note(".", what, "no_identity")))


def _recognising(root: Path) -> list[str]:
    return [name for name in LAYOUTS if LAYOUTS.get(name)().recognises(root)]
