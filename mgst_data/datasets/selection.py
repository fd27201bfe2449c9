"""Choosing among the videos of a scan."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence

from mgst_data.core import UsageError, VideoRecord
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
    """Keeps the videos that have one of the wanted values in every field; an empty sequence wants them all.

    The method of real videos is "real": ``method=("Deepfakes",)`` keeps fakes only.

    Args:
        scan: Where to choose from; its notes are kept.
        split: "train", "val", "test".
        method: Names of manipulations, and "real".
        compression: "raw", "c23", ...
        dataset: Names of data sets, for trees that hold several.
        limit: How many videos to keep at most, spread evenly: first over the labels, then over the methods, then over
            the order of the scan. The same scan always gives the same videos.

    Raises:
        UsageError: if no video has a wanted value, with the values that occur.
    """
    records = list(scan.records)
    wanted = {"dataset": dataset, "split": split, "method": method, "compression": compression}
    for field, values in wanted.items():
        if values:
            for value in values:
                _check(scan, records, field, value)
            records = [record for record in records if getattr(record, field) in values]
    if limit is not None:
        if limit < 1:
            raise UsageError(f"a limit of {limit} keeps no video", hint="give 1 or more")
        chosen = {record.key for record in spread(records, limit)}
        records = [record for record in records if record.key in chosen]
    return dataclasses.replace(scan, records=tuple(records))


def spread(
    records: Sequence[VideoRecord], count: int, fields: tuple[str, ...] = ("label", "method")
) -> list[VideoRecord]:
    """Takes ``count`` records, as evenly as they come over the values of each field in turn, then over their order."""
    if count >= len(records):
        return list(records)
    if not fields:
        return [records[(2 * i + 1) * len(records) // (2 * count)] for i in range(count)]
    groups: dict[object, list[VideoRecord]] = {}
    for record in records:
        groups.setdefault(getattr(record, fields[0]), []).append(record)
    ordered = [groups[value] for value in sorted(groups, key=str)]
    shares = even_shares(count, [len(group) for group in ordered])
    return [record for group, share in zip(ordered, shares, strict=True) for record in spread(group, share, fields[1:])]


def even_shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Divides ``total`` evenly, but gives no group more than its size; what one cannot take goes to the others."""
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


def _check(scan: Scan, records: Sequence[VideoRecord], field: str, value: str) -> None:
    there = Counter(str(getattr(record, field)) for record in records)
    if there[value]:
        return
    missing_files = [note for note in scan.notes if note.reason == "no_split_files"]
    if field == "split" and missing_files:
        note = missing_files[0]
        raise UsageError(f"no video has the split {value!r}", where=note.where, hint=note.what)
    close = difflib.get_close_matches(value, [name for name in there if name], n=1, cutoff=0.5)
    listed = ", ".join(f"{name or 'none'} ({count})" for name, count in sorted(there.items()))
    hint = f"did you mean {close[0]!r}? there are: {listed}" if close else f"there are: {listed}"
    raise UsageError(f"no video has the {field} {value!r}", hint=hint)
