"""Selects videos of a scan by their properties, and limits their number."""

from __future__ import annotations

import dataclasses
import difflib
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mgst_data.core import FAKE, REAL, RecordTable, UsageError, VideoRecord
from mgst_data.datasets.layout import Scan


def select(
    scan: Scan,
    *,
    split: Sequence[str] = (),
    method: Sequence[str] = (),
    compression: Sequence[str] = (),
    dataset: Sequence[str] = (),
    limit: int | None = None,
) -> Scan:
    """Selects the videos that match all filters; an empty filter matches every video.

    The method of real videos is "real", so that ``method=("Deepfakes",)`` selects only fakes.

    Args:
        scan: Scan to select from; its notes are kept.
        split: Splits to select: "train", "val", "test".
        method: Methods to select; "real" selects real videos.
        compression: Compression levels to select: "raw", "c23", ...
        dataset: Data sets to select, for folders with several data sets.
        limit: Largest number of videos, at least 1. They are distributed evenly over the labels, then over the methods,
            then over the order of the scan. The same scan always gives the same videos.

    Raises:
        UsageError: if no video has one of the values, or if ``limit`` is below 1. The message lists the values that
            occur. Also if ``compression`` leaves no real or no fake videos because these have no compression level.
    """
    records = RecordTable.of(scan.records)
    wanted = {"dataset": dataset, "split": split, "method": method, "compression": compression}
    for field, values in wanted.items():
        if values:
            for value in values:
                _check(scan, records, field, value)
            if field == "compression":
                _check_classes(records, values)
            records = records.where(lambda value, _, chosen=values: value in chosen, field, "key")
    if limit is not None:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, got {limit}", hint="give 1 or more")
        records = records.take(sorted(spread(records, limit)))
    return dataclasses.replace(scan, records=records)


def spread(records: Sequence[VideoRecord], count: int, names: tuple[str, ...] = ("label", "method")) -> list[int]:
    """Selects records evenly over the values of each field, and then over their order.

    Args:
        records: Records to select from.
        count: Number of records to select.
        names: Names of at least two fields of a record, in order of priority.

    Returns:
        Positions of the chosen records.
    """
    groups: defaultdict[tuple[Any, ...], array[int]] = defaultdict(lambda: array("Q"))
    for position, values in enumerate(RecordTable.of(records).fields(*names)):
        groups[values].append(position)
    return _spread(groups, count)


def _spread(groups: Mapping[tuple[Any, ...], array[int]], count: int) -> list[int]:
    total = sum(map(len, groups.values()))
    if count >= total:
        return [position for group in groups.values() for position in group]
    if () in groups:
        return [groups[()][(2 * i + 1) * total // (2 * count)] for i in range(count)]
    by_first: dict[object, dict[tuple[Any, ...], array[int]]] = {}
    for (first, *others), group in groups.items():
        by_first.setdefault(first, {})[tuple(others)] = group
    ordered = [by_first[value] for value in sorted(by_first, key=str)]
    shares = even_shares(count, [sum(map(len, members.values())) for members in ordered])
    return [position for members, share in zip(ordered, shares, strict=True) for position in _spread(members, share)]


def even_shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Divides a number evenly among groups; no group gets more than its size.

    Args:
        total: Number to divide.
        sizes: Sizes of the groups.

    Returns:
        Share of each group. Their sum is ``total``, or the sum of the sizes if that is smaller.
    """
    shares = [0] * len(sizes)
    left = min(total, sum(sizes))
    while left:
        hungry = [i for i, size in enumerate(sizes) if shares[i] < size]
        portion = max(1, left // len(hungry))
        for i in hungry:
            given = min(portion, sizes[i] - shares[i], left)
            shares[i] += given
            left -= given
    return shares


def _check(scan: Scan, records: RecordTable, field: str, value: str) -> None:
    there = Counter(str(there) for there, _ in records.fields(field, "key"))
    if there[value]:
        return
    missing_files = [note for note in scan.notes if note.reason == "no_split_files"]
    if field == "split" and missing_files:
        note = missing_files[0]
        raise UsageError(f"no video has the split {value!r}", where=note.where, hint=note.what)
    close = difflib.get_close_matches(value, [name for name in there if name], n=1, cutoff=0.5)
    listed = ", ".join(f"{name or 'none'} ({count})" for name, count in sorted(there.items()))
    hint = f"did you mean {close[0]!r}? available: {listed}" if close else f"available: {listed}"
    raise UsageError(f"no video has the {field} {value!r}", hint=hint)


def _check_classes(records: RecordTable, compression: Sequence[str]) -> None:
    """Checks that the compression levels leave real and fake videos, where a data set has a level for only one kind.

    Raises:
        UsageError: if all real or all fake videos have no compression level, and the others have one.
    """
    for label, kind in ((REAL, "real"), (FAKE, "fake")):
        levels = {level for level, its in records.fields("compression", "label") if its == label}
        if levels == {""}:
            given = ", ".join(map(repr, compression))
            what = f"no {kind} video has the compression {given}, because these videos have no compression level"
            hint = "leave out the compression; choose videos by method, data set or split instead"
            raise UsageError(what, hint=hint)
