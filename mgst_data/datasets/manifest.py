"""A table of videos, CSV or JSON lines: the way in for everything that no layout knows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mgst_data.core import FAKE, LayoutError, VideoRecord
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url
from mgst_data.core.records import SPLITS
from mgst_data.datasets.files import parse_label, read_csv, read_text
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

SUFFIXES = (".csv", ".jsonl")
REQUIRED = ("path", "label")
OPTIONAL = ("split", "method", "compression", "dataset", "source", "target", "mask")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest: its place, for messages, and its values as text."""

    where: str
    values: Mapping[str, str]


@LAYOUTS.register("manifest")
@dataclass(frozen=True, slots=True)
class Manifest:
    """``path,label[,split,method,compression,dataset,source,target,mask]``, one video a line.

    Paths are absolute, relative to the manifest's folder, or URLs. The label is real, fake, 0 (real) or 1 (fake).
    ``source`` and ``target`` are identities; one without a slash belongs to the line's data set, "ffpp/000" to
    another. The data set is the manifest's name where the line gives none.

    Attributes:
        masks: Carry the videos of the column ``mask`` along.
    """

    masks: bool = False
    looks_for: ClassVar[str] = "a .csv or .jsonl file"

    def recognises(self, root: Path) -> bool:
        """Goes by the file's suffix."""
        return root.suffix.lower() in SUFFIXES and root.is_file()

    def scan(self, root: Path) -> Scan:
        """Reads the table and checks that the files are there.

        Raises:
            LayoutError: if the table is malformed or names a video twice; with the line.
        """
        read = {".csv": _read_csv, ".jsonl": _read_jsonl}.get(root.suffix.lower())
        if read is None:
            raise LayoutError("is no .csv and no .jsonl file", where=root, hint="a manifest is one of these")
        tree = Tree.of(root.parent)
        notes: list[Note] = []
        lines: dict[str, str] = {}
        records = []
        present = Presence()
        for row in read(root, notes):
            record = self._record(tree, row, root.stem)
            if record.path in lines:
                hint = "name every video once"
                raise LayoutError(f"{record.video!r} is also in {lines[record.path]}", where=row.where, hint=hint)
            lines[record.path] = row.where
            if present(record.path):
                records.append(record)
            else:
                notes.append(Note(record.video, f"in {root.name}, but not there", "missing_video"))
        return Scan.of(records, notes)

    def _record(self, tree: Tree, row: Row, name: str) -> VideoRecord:
        path, mask = row.values.get("path", ""), row.values.get("mask", "")
        if not (path and all(_is_path(value) for value in (path, mask))):
            raise LayoutError("has no usable path", where=row.where, hint=f"every line needs {' and '.join(REQUIRED)}")
        values = {name: printable(value) for name, value in row.values.items() if name not in ("path", "mask")}
        label, split = parse_label(values.get("label", "")), values.get("split", "")
        if label is None:
            what = f"label {values.get('label', '')!r} is unknown"
            raise LayoutError(what, where=row.where, hint="labels are real, fake, 0 (real) and 1 (fake)")
        if split not in (*SPLITS, ""):
            raise LayoutError(f"split {split!r} is unknown", where=row.where, hint=f"splits are {', '.join(SPLITS)}")
        dataset = values.get("dataset") or printable(name)
        return tree.record(
            path,
            dataset=dataset,
            split=split,
            label=label,
            method=(values.get("method") or "fake") if label == FAKE else "real",
            compression=values.get("compression", ""),
            source=_identity(values.get("source", ""), dataset),
            target=_identity(values.get("target", ""), dataset),
            mask=mask if self.masks else "",
        )


class Presence:
    """Says whether files are there, by one look into each folder; takes the word of a URL."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, path: str) -> bool:
        """Whether a file or folder of this path is there."""
        if is_url(path):
            return True
        folder, name = os.path.split(os.path.normpath(path))
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))  # noqa: PTH208 - names, not paths
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


def _is_path(value: str) -> bool:
    """Whether the file system could have such a name: no NUL, nothing that cannot be turned into bytes."""
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _identity(value: str, dataset: str) -> str:
    return value if "/" in value or not value else f"{dataset}/{value}"


def _read_csv(path: Path, notes: list[Note]) -> Iterator[Row]:
    table = read_csv(path)
    _check_columns(table.columns, path, notes)
    for number, values in table.rows:
        yield Row(f"{path}:{number}", values)


def _read_jsonl(path: Path, notes: list[Note]) -> Iterator[Row]:
    columns: dict[str, None] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            values: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LayoutError(f"is no valid JSON: {error}", where=where, hint="one object a line") from error
        if not isinstance(values, dict):
            raise LayoutError("is no JSON object", where=where, hint='such as {"path": "a.mp4", "label": "real"}')
        columns.update(dict.fromkeys(values))
        yield Row(where, {name: "" if value is None else str(value) for name, value in values.items()})
    _check_columns(tuple(columns), path, notes)


def _check_columns(columns: tuple[str, ...], path: Path, notes: list[Note]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        what = f"has no column {' and no column '.join(missing)}"
        raise LayoutError(what, where=path, hint=f"columns: {','.join(REQUIRED)}[,{','.join(OPTIONAL)}]")
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    notes += [Note(path.name, f"column {printable(name)!r} is not used", "unknown_column") for name in unknown]
