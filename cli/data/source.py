"""Finds the videos that the options of an extraction select."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgst_data.core import RecordTable, UsageError, VideoRecord
from mgst_data.core.locations import is_url
from mgst_data.datasets import Note, Scan, check_leakage, scan_dataset, select
from mgst_data.extract import ExtractConfig, scan_url
from mgst_data.shards import PeopleTable
from mgst_data.shards.remote_files import local_copy

from ..common.tables import build_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Options that select videos of a data set.

    Attributes:
        layout: Name of the layout; "auto" detects it.
        split: Only videos of these splits; () for all.
        method: Only videos of these methods; () for all. The method of real videos is "real".
        compression: Only videos of these compression levels; () for all.
        limit: Largest number of videos, spread evenly over labels and methods; None for no limit.
        splits: Folder or URL of the official split files, for layouts that have them; "" if it is in the data set.
        reals: Folder of the real videos, for data sets that contain only fakes; "" for none.
        identity: How the identity is found in the path, for folders of pictures: "folder", or a regular expression with
            a group for the identity; "" if identities are unknown.
        allow_leakage: Continue even if one person is in two splits.
        people: Folder or URL of shards of the same videos with a people.json, which gives splits and identities where
            the data set has none; "" for none.
    """

    layout: str = "auto"
    split: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    limit: int | None = None
    splits: str = ""
    reals: str = ""
    identity: str = ""
    allow_leakage: bool = False
    people: str = ""


EXTRACTION: dict[str, type] = {"source": SourceConfig, "extract": ExtractConfig}


@dataclass(frozen=True, slots=True)
class Config:
    """The complete configuration of an extraction.

    Attributes:
        source: Which videos are extracted.
        extract: How they are extracted.
    """

    source: SourceConfig
    extract: ExtractConfig


def build_config(path: Path | None, flags: Mapping[str, Any], overrides: Iterable[str]) -> Config:
    """Merges a file, options of the command line and overrides.

    Args:
        path: TOML file with the tables ``source`` and ``extract``; None for no file.
        flags: Values of command-line options, by name of a field of either table.
        overrides: Texts ``"table.name=value"``. The value is TOML; text needs no quotes.

    Raises:
        UsageError: if a name is unknown (with a similar known name), or a value has the wrong type or range.
    """
    tables = build_tables(EXTRACTION, path, flags, overrides)
    return Config(tables["source"], tables["extract"])


def scan_source(root: str, config: SourceConfig, *, masks: bool) -> Scan:
    """Finds the selected videos and checks that no person is in two splits.

    If no video is in the split train, and no split was selected, the result has a note.

    Args:
        root: Path or URL of the folder of the data set, or of a manifest.
        config: Which videos to select.
        masks: Whether to look for manipulation masks.

    Raises:
        UsageError: if the data set cannot be read, nothing matches, or one person is in two splits.
    """
    if is_url(config.reals):
        what = "the folder of real videos must be on this machine"
        raise UsageError(
            what, where=f"--reals {config.reals}", hint="copy it, or put it into the data set behind a URL"
        )
    with local_copy(config.splits) as splits:
        scan = (scan_url if is_url(root) else scan_dataset)(
            root,
            layout=config.layout,
            masks=masks,
            splits=splits if config.splits else None,
            reals=Path(config.reals) if config.reals else None,
            identity=config.identity or None,
        )
    if config.people:
        scan = replace(scan, records=RecordTable(_with_people(scan.records, config.people)))
    chosen = select(scan, split=config.split, method=config.method, compression=config.compression, limit=config.limit)
    if not config.allow_leakage:
        check_leakage(chosen.records)
    if not config.split and not any(
        split == "train" for split, _ in RecordTable.of(chosen.records).fields("split", "key")
    ):
        note = Note(
            ".", "no video is in the split train; these shards are for tests, not for training", "no_train_split"
        )
        chosen = replace(chosen, notes=(*chosen.notes, note))
    return chosen


def _with_people(records: Iterable[VideoRecord], folder: str) -> Iterator[VideoRecord]:
    table = PeopleTable.read(folder)
    if table is None:
        raise UsageError("no people.json here", where=folder, hint="run mgst-data people on this folder first")
    persons = {key: f"people/{person}" for key, person in table.main_persons().items()}
    for record in records:
        target = record.target_key or ("" if record.identities else persons.get(record.key, ""))
        yield replace(record, split=record.split or table.splits.get(record.key, ""), target_key=target)
