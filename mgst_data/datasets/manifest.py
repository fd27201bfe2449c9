"""Manifest: a CSV or JSONL table of videos, for data sets that no other layout supports."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from mgst_data.core import FAKE, LayoutError, RecordTable, VideoRecord
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import printable
from mgst_data.core.locations import is_url
from mgst_data.core.record_table import repeated_hashes
from mgst_data.core.records import SPLITS
from mgst_data.datasets.files import csv_rows, parse_label, text_lines
from mgst_data.datasets.layout import LAYOUTS, Note, Scan
from mgst_data.datasets.tree import Tree

SUFFIXES = (".csv", ".jsonl")
REQUIRED = ("path", "label")
OPTIONAL = ("split", "method", "compression", "dataset", "source", "target", "mask")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest.

    Attributes:
        where: File and line number, for messages.
        values: Values as text, by column name.
    """

    where: str
    values: Mapping[str, str]


@LAYOUTS.register("manifest")
@dataclass(frozen=True, slots=True)
class Manifest:
    """Reads ``path,label[,split,method,compression,dataset,source,target,mask]``, with one video per line.

    Paths are absolute, relative to the folder of the manifest, or URLs. The label is real, fake, 0 (real) or 1 (fake).
    ``source`` and ``target`` are identities. An identity without a slash belongs to the data set of the line; an
    identity like "ffpp/000" belongs to the data set "ffpp". If a line gives no data set, it is the name of the
    manifest.

    Attributes:
        masks: Whether to add the mask videos of the column ``mask``.
    """

    masks: bool = False
    looks_for: ClassVar[str] = "a .csv or .jsonl file"

    def recognises(self, root: Path) -> bool:
        """Returns whether the root is a file with the suffix of a manifest."""
        return root.suffix.lower() in SUFFIXES and root.is_file()

    def scan(self, root: Path) -> Scan:
        """Reads the table and checks that the files exist.

        Raises:
            LayoutError: if the table is malformed or contains a video twice. The message gives the line.
        """
        read = {".csv": _read_csv, ".jsonl": _read_jsonl}.get(root.suffix.lower())
        if read is None:
            raise LayoutError(
                "not a manifest: the suffix is not .csv or .jsonl", where=root, hint="give a .csv or .jsonl file"
            )
        tree = Tree.of(root.parent)
        notes: list[Note] = []
        codes = array("q")
        records = RecordTable()
        present = Presence()
        name = printable(root.stem)
        for row in read(root, notes):
            record = self._record(tree, row, name)
            codes.append(hash(record.path))
            if present(record.path):
                records.append(record)
            else:
                notes.append(Note(record.video, f"listed in {root.name}, but not found", "missing_video"))
        if suspects := repeated_hashes(codes):
            self._check_once(tree, read(root, []), name, suspects)
        return Scan.of(records, notes)

    def _check_once(self, tree: Tree, rows: Iterable[Row], name: str, suspects: set[int]) -> None:
        """Checks that no path is in two rows. The rows are read again, because only hashes of their paths were kept.

        Raises:
            LayoutError: if one is.
        """
        lines: dict[str, str] = {}
        for row in rows:
            record = self._record(tree, row, name)
            if hash(record.path) in suspects and lines.setdefault(record.path, row.where) != row.where:
                hint = "list every video only once"
                raise LayoutError(f"{record.video!r} is also in {lines[record.path]}", where=row.where, hint=hint)

    def _record(self, tree: Tree, row: Row, name: str) -> VideoRecord:
        get = row.values.get
        path, mask = get("path", ""), get("mask", "")
        if not (path and _is_path(path) and _is_path(mask)):
            hint = f"every line needs {' and '.join(REQUIRED)}"
            raise LayoutError("missing or invalid path", where=row.where, hint=hint)
        about = _about(
            get("label", ""), get("split", ""), get("method", ""), get("compression", ""), get("dataset") or name
        )
        if about["label"] is None:
            what = f"unknown label {printable(get('label', ''))!r}"
            raise LayoutError(what, where=row.where, hint="known: real, fake, 0 (real), 1 (fake)")
        if about["split"] not in (*SPLITS, ""):
            what = f"unknown split {about['split']!r}"
            raise LayoutError(what, where=row.where, hint=f"known: {', '.join(SPLITS)}")
        return tree.record(
            path,
            **about,
            source=_identity(get("source", ""), about["dataset"]),
            target=_identity(get("target", ""), about["dataset"]),
            mask=mask if self.masks else "",
        )


@lru_cache(maxsize=1024)
def _about(label: str, split: str, method: str, compression: str, dataset: str) -> dict[str, Any]:
    """Returns what many lines have in common, as arguments of a record. The label is None if it is unknown."""
    number = parse_label(printable(label))
    return {
        "dataset": printable(dataset),
        "split": printable(split),
        "label": number,
        "method": (printable(method) or "fake") if number == FAKE else "real",
        "compression": printable(compression),
    }


class Presence:
    """Checks whether files exist. Each folder is listed only once; URLs are not checked."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, path: str) -> bool:
        """Returns whether a file or folder with this path exists; True for URLs."""
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
    """Returns whether a path is valid on the file system: it has no NUL and can be encoded to bytes."""
    if value.isascii():
        return "\0" not in value
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _identity(value: str, dataset: str) -> str:
    value = printable(value)
    return value if "/" in value or not value else f"{dataset}/{value}"


def _read_csv(path: Path, notes: list[Note]) -> Iterator[Row]:
    columns, rows = csv_rows(path)
    _check_columns(columns, path, notes)
    for number, values in rows:
        yield Row(f"{path}:{number}", values)


def _read_jsonl(path: Path, notes: list[Note]) -> Iterator[Row]:
    columns: dict[str, None] = {}
    for number, line in enumerate(text_lines(path, newline="\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            values: Any = parse_json(line)
        except ValueError as error:
            raise LayoutError(f"not valid JSON: {error}", where=where, hint="write one JSON object per line") from error
        if not isinstance(values, dict):
            hint = 'expected an object like {"path": "a.mp4", "label": "real"}'
            raise LayoutError("not a JSON object", where=where, hint=hint)
        columns.update(dict.fromkeys(values))
        yield Row(where, {name: "" if value is None else str(value) for name, value in values.items()})
    _check_columns(tuple(columns), path, notes)


def _check_columns(columns: tuple[str, ...], path: Path, notes: list[Note]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        what = f"missing columns: {', '.join(missing)}"
        raise LayoutError(what, where=path, hint=f"known columns: {','.join(REQUIRED)}[,{','.join(OPTIONAL)}]")
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    notes += [Note(path.name, f"unknown column {printable(name)!r} is not used", "unknown_column") for name in unknown]
