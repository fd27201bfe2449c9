"""From a folder to its videos: which layout it is, and a scan that is sure to have found something."""

from __future__ import annotations

import inspect
import os
from dataclasses import replace
from pathlib import Path

from mgst_data.core import LayoutError, UsageError
from mgst_data.core.errors import printable
from mgst_data.core.records import DEMO
from mgst_data.datasets.files import unreadable
from mgst_data.datasets.layout import LAYOUTS, Layout, Note, Scan
from mgst_data.datasets.tree import Tree

# It recognises more than its own, so it counts only where no other layout does.
GENERAL = "folder"
# A file in the root of the demo data set, which has the directory layout of FaceForensics++.
DEMO_MARK = "mgst_demo.json"
# Notes that say why a scan found nothing at all.
TELLING = ("missing_video", "no_label", "unknown_name", "not_video")


def scan_dataset(root: Path, *, layout: str = "auto", **options: Path | bool | None) -> Scan:
    """Finds the videos of a data set.

    Args:
        root: Folder of the data set, or a manifest.
        layout: Name of its layout; "auto" looks which one it is.
        options: What the layout takes (``splits``, ``masks``, ``reals``); None and False are as good as not given.

    Raises:
        UsageError: if the layout is unknown or does not take an option.
        LayoutError: if the root is missing, empty, not laid out like this, or holds no video.
    """
    try:
        root.stat()
        if root.is_dir():
            next(root.iterdir(), None)
    except OSError as error:
        raise unreadable(error, root, reason="missing_source") from error
    name = find_layout(root) if layout == "auto" else layout
    scan = make_layout(name, **options).scan(root)
    if (root / DEMO_MARK).is_file():
        scan = Scan.of([replace(record, dataset=DEMO) for record in scan.records], scan.notes)
    if scan.records:
        return _note_nameless(scan)
    clues = [f"; {note.where}: {note.what}" for note in scan.notes if note.reason in TELLING]
    what = f"holds no video that the layout {name!r} knows{clues[0] if clues else ''}"
    raise LayoutError(what, where=root, hint="check the path and the layout", reason="empty_source")


def make_layout(name: str, **options: Path | bool | None) -> Layout:
    """Makes a layout with the options that are given.

    Raises:
        UsageError: if there is no such layout, or it does not take one of the options.
    """
    kind = LAYOUTS.get(name)
    given = {option: value for option, value in options.items() if value not in (None, False)}
    taken = inspect.signature(kind).parameters
    for option in given:
        if option not in taken:
            hint = f"leave it out; it takes {', '.join(taken) or 'none'}"
            raise UsageError(f"the layout {name!r} has no option {option!r}", hint=hint)
    return kind(**given)


def find_layout(root: Path) -> str:
    """Names the layout of a data set.

    Raises:
        LayoutError: if no layout recognises it, with what was looked for, or several do.
    """
    found = _recognising(root)
    if len(found) > 1:
        found = [name for name in found if name != GENERAL]
    if len(found) == 1:
        return found[0]
    if found:
        hint = "say which with --layout, or give the folder of one data set"
        raise LayoutError(f"looks like {' and '.join(found)}", where=root, hint=hint, reason="unknown_layout")
    if not root.is_dir():
        hint = "give a folder, or a .csv or .jsonl manifest"
        raise LayoutError("is no folder and no manifest", where=root, hint=hint, reason="unknown_layout")
    # A folder of very many folders is no folder of data sets.
    children = [root / name for name in Tree.of(root).listing().folders[:100]]
    for child in children:
        if not os.access(child, os.R_OK | os.X_OK):
            continue
        inside = _recognising(child)
        if inside:
            hint = f"{printable(child.name)}/ in it looks like {inside[0]}: give that folder"
            raise LayoutError("is no known layout", where=root, hint=hint, reason="unknown_layout")
    if not any(root.iterdir()):
        raise LayoutError("is empty", where=root, hint="give the data set's folder", reason="empty_source")
    looked = "; ".join(f"{name}: {LAYOUTS.get(name)().looks_for}" for name in LAYOUTS)
    hint = f"sort the videos into real/ and fake/, or list them in a manifest; looked for: {looked}"
    raise LayoutError("is no known layout", where=root, hint=hint, reason="unknown_layout")


def _note_nameless(scan: Scan) -> Scan:
    """Says so where the leakage check, which goes by identities, has nothing to go by."""
    nameless = [record for record in scan.records if record.split and not record.identities]
    if len({record.split for record in nameless}) < 2:
        return scan
    what = f"who is shown is unknown in {len(nameless)} videos: leakage between their splits cannot be checked"
    return Scan.of(scan.records, (*scan.notes, Note(".", what, "no_identity")))


def _recognising(root: Path) -> list[str]:
    return [name for name in LAYOUTS if LAYOUTS.get(name)().recognises(root)]
