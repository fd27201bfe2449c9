"""Many records in little memory."""

from __future__ import annotations

import heapq
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, overload

import torch
from torch import Tensor

from mgst_data.core.records import VideoRecord

_KIND = ("dataset", "split", "label", "method", "compression", "folder")
_TEXTS = ("video", "key", "source_key", "target_key", "mask_path", "landmarks_path", "fake_spans", "path")
_FIELDS = (*_KIND, *_TEXTS)
_NUL, _CODEC, _ERRORS = "\0", "utf-8", "surrogatepass"
_PATH, _SPANS = _FIELDS.index("path"), _FIELDS.index("fake_spans")
_VIDEO, _FOLDER = _FIELDS.index("video"), _FIELDS.index("folder")
# Records that are sorted or looked up at once, so that not all texts are in memory twice.
_RUN = 1 << 18


class RecordTable(Sequence[VideoRecord]):
    """A sequence of records that needs about 120 bytes plus the names in each record, a fifth of as many objects.

    A record is made when it is read. What many records have in common (data set, split, label, method, compression,
    folder) is stored once; the other texts are in one buffer. A selection or another order shares them.

    Args:
        records: Records of the table.

    Raises:
        ValueError: if a text has a NUL character.
    """

    __slots__ = ("_kind_of", "_kinds", "_numbers", "_order", "_starts", "_text")

    def __init__(self, records: Iterable[VideoRecord] = ()) -> None:
        self._text = bytearray()
        self._starts = array("Q", [0])
        self._kinds: list[tuple[Any, ...]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._kind_of = array("I")
        self._order: array[int] | None = None  # positions of the records; None if all are there, as they came
        for record in records:
            self.append(record)

    @staticmethod
    def of(records: Iterable[VideoRecord]) -> RecordTable:
        """Returns the records as a table: themselves, if they are one."""
        return records if isinstance(records, RecordTable) else RecordTable(records)

    def append(self, record: VideoRecord) -> None:
        """Adds a record at the end. Selections and sorted tables take none.

        Args:
            record: The record.

        Raises:
            ValueError: if a text has a NUL character, or the table is a selection or sorted.
        """
        if self._order is not None:
            raise ValueError("a selection or a sorted table cannot take more records")
        path, video = record.path, record.video
        inside = path.endswith(video)
        kind = (
            record.dataset,
            record.split,
            record.label,
            record.method,
            record.compression,
            path[: len(path) - len(video)] if inside else "",
        )
        number = self._numbers.get(kind)
        if number is None:
            number = self._numbers[kind] = len(self._kinds)
            self._kinds.append(kind)
        text = _NUL.join(
            (
                video,
                record.key,
                record.source_key,
                record.target_key,
                record.mask_path,
                record.landmarks_path,
                json.dumps(record.fake_spans) if record.fake_spans else "",
                "" if inside else path,
            )
        )
        if text.count(_NUL) != len(_TEXTS) - 1:
            raise ValueError(f"a text of the record {record.key!r} has a NUL character")
        self._text += text.rstrip(_NUL).encode(_CODEC, _ERRORS)
        self._starts.append(len(self._text))
        self._kind_of.append(number)

    def fields(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yields fields of every record, several times faster than the records.

        Args:
            names: Names of at least two fields of a record, except ``fake_spans``.
        """
        chosen = itemgetter(*map(_FIELDS.index, names))
        if set(names) <= set(_KIND):
            kinds = list(map(chosen, self._kinds))
            return map(kinds.__getitem__, map(self._kind_of.__getitem__, self._positions()))
        return map(chosen, self._rows())

    def keys(self) -> Iterator[str]:
        """Yields the key of every record."""
        text, starts, nul = self._text, self._starts, _NUL.encode()
        return (text[starts[i] : starts[i + 1]].split(nul, 2)[1].decode() for i in self._positions())

    def take(self, positions: Iterable[int]) -> RecordTable:
        """Returns the records at some positions, in this order. The texts are shared.

        Args:
            positions: Positions in [0, len).
        """
        order = self._order
        return self._ordered(array("I", positions if order is None else map(order.__getitem__, positions)))

    def where(self, wanted: Callable[..., bool], *names: str) -> RecordTable:
        """Returns the records with the wanted fields, in order.

        Args:
            wanted: Receives the fields of a record.
            names: Names of at least two fields, as for ``fields``.
        """
        return self.take(i for i, row in enumerate(self.fields(*names)) if wanted(*row))

    def sorted(self) -> RecordTable:
        """Returns the records sorted by video and key."""
        texts = self._texts()
        before = next(texts, b"")
        in_order = True
        for text in texts:
            if text < before:
                in_order = False
                break
            before = text
        if in_order:
            return self
        runs = []
        for first in range(0, len(self), _RUN):
            part = range(first, min(first + _RUN, len(self)))
            runs.append(array("I", sorted(part, key=self._text_at)))
        return self.take(heapq.merge(*runs, key=self._text_at))

    def find(self, keys: Iterable[str]) -> array[int]:
        """Returns the position of the record of every key; -1 for a key that no record has.

        Args:
            keys: Keys to look up.
        """
        hashes, order = torch.sort(_tensor(array("q", map(hash, self.keys()))))
        found, remaining = array("q"), iter(keys)
        while some := list(islice(remaining, _RUN)):
            codes = _tensor(array("q", map(hash, some)))
            places = torch.searchsorted(hashes, codes)
            ends = torch.searchsorted(hashes, codes, right=True)
            first = order[places.clamp_(max=max(0, len(order) - 1))].tolist() if len(order) else [0] * len(some)
            for key, place, end, candidate in zip(some, places.tolist(), ends.tolist(), first, strict=True):
                if place < end and self._key_at(candidate) == key:
                    found.append(candidate)
                else:  # no such key, or several keys with this hash
                    same = (int(order[other]) for other in range(place, end))
                    found.append(next((position for position in same if self._key_at(position) == key), -1))
        return found

    def repeated(self) -> list[str]:
        """Returns the keys that more than one record has, sorted."""
        return repeated_texts(self.keys)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        text, starts, kinds, kind_of = self._text, self._starts, self._kinds, self._kind_of
        blank = ("",)
        for i in self._positions():
            parts = text[starts[i] : starts[i + 1]].decode(_CODEC, _ERRORS).split(_NUL)
            missing = len(_TEXTS) - len(parts)
            kind = kinds[kind_of[i]]
            if missing:  # else the last one is a path of its own
                yield (*kind, *parts, *(blank * (missing - 1)), kind[_FOLDER] + parts[0])
            else:
                yield (*kind, *parts)

    def _positions(self) -> Sequence[int]:
        return range(len(self._kind_of)) if self._order is None else self._order

    def _texts(self) -> Iterator[bytes]:
        return map(self._text_at, range(len(self)))

    def _text_at(self, position: int) -> bytes:
        # The video comes first and the key second. In UTF-8, bytes have the order of code points.
        i = position if self._order is None else self._order[position]
        return bytes(self._text[self._starts[i] : self._starts[i + 1]])

    def _key_at(self, position: int) -> str:
        return self._text_at(position).split(_NUL.encode(), 2)[1].decode()

    def _ordered(self, order: array[int]) -> RecordTable:
        table = RecordTable()
        for name in ("_kind_of", "_kinds", "_numbers", "_starts", "_text"):
            setattr(table, name, getattr(self, name))
        table._order = order
        return table

    def __len__(self) -> int:
        return len(self._kind_of) if self._order is None else len(self._order)

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...
    @overload
    def __getitem__(self, index: slice) -> RecordTable: ...
    def __getitem__(self, index: int | slice) -> VideoRecord | RecordTable:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        one = self.take((range(len(self))[index],))
        return next(iter(one))

    def __iter__(self) -> Iterator[VideoRecord]:
        for row in self._rows():
            dataset, split, label, method, compression, _, video, key, source, target, mask, landmarks, spans, path = (
                row
            )
            yield VideoRecord(
                key, path, video, dataset, split, label, method, compression, source, target, mask,
                tuple((start, end) for start, end in json.loads(spans)) if spans else (), landmarks,
            )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"RecordTable({len(self)} records)"


def repeated_texts(texts: Callable[[], Iterable[str]]) -> list[str]:
    """Returns the texts that occur more than once, sorted. Only their hashes are in memory, so they are read twice.

    Args:
        texts: Yields all texts anew with every call.
    """
    suspects = repeated_hashes(array("q", map(hash, texts())))
    found = Counter(text for text in texts() if hash(text) in suspects) if suspects else Counter[str]()
    return sorted(text for text, number in found.items() if number > 1)


def repeated_hashes(codes: array[int], groups: array[int] | None = None) -> set[int]:
    """Returns the hashes that occur more than once.

    Args:
        codes: Hashes, 64 bits, type code "q".
        groups: A number for each hash, type code "b"; then only hashes with more than one of these numbers count.
    """
    values = _tensor(codes)
    if groups is None:
        values = torch.sort(values).values
        return set(values[1:][values[1:] == values[:-1]].tolist())
    by = torch.frombuffer(groups, dtype=torch.int8) if groups else torch.zeros(0, dtype=torch.int8)
    order = torch.argsort(by, stable=True)
    order = order[torch.argsort(values[order], stable=True)]
    values, by = values[order], by[order]
    return set(values[1:][(values[1:] == values[:-1]) & (by[1:] != by[:-1])].tolist())


def _tensor(codes: array[int]) -> Tensor:
    return torch.frombuffer(codes, dtype=torch.int64) if codes else torch.zeros(0, dtype=torch.int64)
