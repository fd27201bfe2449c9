"""Plans which videos go into which shard."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mgst_data.core import RecordTable, UsageError, VideoRecord
from mgst_data.core.records import SPLITS

VIDEOS_PER_SHARD = 16
NO_SPLIT = "all"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """The videos of one shard: a unit of work."""

    name: str
    records: tuple[VideoRecord, ...]

    def __len__(self) -> int:
        return len(self.records)


class ShardTasks(Sequence[ShardTask]):
    """Tasks that are made when they are read. They need the memory of numbers, not of records.

    Args:
        names: Names of the shards.
        sizes: Number of videos of each shard.
        records: Videos of all shards, in order.
    """

    def __init__(self, names: Sequence[str], sizes: Sequence[int], records: RecordTable) -> None:
        self._names, self._records = names, records
        self._starts = array("Q", accumulate(sizes, initial=0))

    @property
    def videos(self) -> int:
        """Number of videos of all tasks."""
        return len(self._records)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> ShardTask: ...
    @overload
    def __getitem__(self, index: slice) -> list[ShardTask]: ...
    def __getitem__(self, index: int | slice) -> ShardTask | list[ShardTask]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        i = range(len(self))[index]
        return ShardTask(self._names[i], tuple(self._records[self._starts[i] : self._starts[i + 1]]))


def count_videos(tasks: Sequence[ShardTask]) -> int:
    """Returns the number of videos of all tasks."""
    return tasks.videos if isinstance(tasks, ShardTasks) else sum(map(len, tasks))


class Plan(Mapping[str, tuple[str, ...]]):
    """Keys of the videos by name of the shard, in the order of planning. The keys of a shard are kept as one text.

    Args:
        shards: Name and keys of each shard. Keys have no line ends.
    """

    def __init__(self, shards: Iterable[tuple[str, Iterable[str]]] = ()) -> None:
        self._texts = {name: self.text(keys) for name, keys in shards}

    @staticmethod
    def text(keys: Iterable[str]) -> str:
        """Returns keys as one text."""
        return "\n".join(keys)

    @staticmethod
    def packed(shards: Iterable[tuple[str, str]]) -> Plan:
        """Returns the plan of shards whose keys are already one text."""
        plan = Plan()
        plan._texts = dict(shards)
        return plan

    def and_also(self, shards: Iterable[tuple[str, Iterable[str]]]) -> Plan:
        """Returns a plan with more shards at the end."""
        return Plan.packed([*self._texts.items(), *Plan(shards)._texts.items()])

    def videos(self) -> Iterator[str]:
        """Yields the keys of all videos; those that were tried again more than once."""
        for text in self._texts.values():
            yield from text.split("\n") if text else ()

    def __getitem__(self, name: str) -> tuple[str, ...]:
        text = self._texts[name]
        return tuple(text.split("\n")) if text else ()

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


@dataclass(frozen=True, slots=True)
class Part:
    """One of several parts of an extraction, each made by a run of its own, on any machine.

    The shards of a plan are dealt to the parts in turn. So a part is known from the plan and two numbers.

    Attributes:
        number: Number of the part, from 1.
        of: Number of parts.

    Raises:
        UsageError: if the number is not in [1, of].
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UsageError(f"there is no part {self}", hint="give K/N with K from 1 to N, such as 3/16")

    @staticmethod
    def parse(text: str) -> Part:
        """Reads a part from a text such as "3/16".

        Raises:
            UsageError: if the text is malformed, or the number is out of range.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if found is None:
            raise UsageError(f"not a part: {text!r}", hint="give K/N with K from 1 to N, such as 3/16")
        return Part(int(found[1]), int(found[2]))

    def shards(self, plan: Iterable[str]) -> tuple[str, ...]:
        """Returns the names of the shards of this part.

        Args:
            plan: Names of all planned shards, in order.
        """
        return tuple(plan)[self.number - 1 :: self.of]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def plan_shards(
    records: Iterable[VideoRecord], *, videos_per_shard: int = VIDEOS_PER_SHARD, taken: Collection[str] = ()
) -> list[ShardTask]:
    """Distributes videos over shards. A shard has one split, and the same mix of labels and methods as its split.

    The order of the records does not matter: the same videos give the same shards.

    Args:
        records: Videos with distinct keys.
        videos_per_shard: Number of videos per shard; the last shard of a split may hold fewer.
        taken: Names of existing shards; the new numbers continue after theirs.

    Raises:
        ValueError: if two records share a key.
    """
    table = RecordTable.of(records)
    dealt = deal(table, videos_per_shard=videos_per_shard, taken=taken)
    return [ShardTask(name, tuple(table.take(positions))) for name, positions in dealt]


def deal(
    table: RecordTable, *, videos_per_shard: int = VIDEOS_PER_SHARD, taken: Collection[str] = ()
) -> Iterator[tuple[str, list[int]]]:
    """Distributes videos over shards like :func:`plan_shards`, without making the records of all shards at once.

    Args:
        table: Videos with distinct keys.
        videos_per_shard: As for :func:`plan_shards`.
        taken: As for :func:`plan_shards`.

    Yields:
        Name of each shard, and the positions of its videos in the table.

    Raises:
        ValueError: if two records share a key.
    """
    if repeated := table.repeated():
        raise ValueError(f"two videos share the key {repeated[0]!r}")
    groups: dict[tuple[Any, ...], array[int]] = defaultdict(lambda: array("q"))
    fields = table.fields("split", "dataset", "label", "method", "compression")
    for position, group in enumerate(fields):
        groups[group].append(position)
    hashes = _hashes(table.keys())
    for split in (*SPLITS, ""):
        prefix = f"{split or NO_SPLIT}-"
        number = 1 + max((int(name.removeprefix(prefix)) for name in taken if name.startswith(prefix)), default=-1)
        members = {group[1:]: np.frombuffer(its, np.int64) for group, its in groups.items() if group[0] == split}
        mixed = _mix(table, hashes, members)
        for start in range(0, len(mixed), videos_per_shard):
            yield f"{prefix}{number:06d}", mixed[start : start + videos_per_shard].tolist()
            number += 1


def _mix(
    table: RecordTable, hashes: NDArray[np.float64], groups: Mapping[tuple[Any, ...], NDArray[np.int64]]
) -> NDArray[np.int64]:
    # Every group is shuffled by hash and spread evenly over [0, 1); sorted together, they interleave in proportion.
    places, positions = [np.zeros(0)], [np.zeros(0, np.int64)]
    for name, group in groups.items():
        offset = _hashes([repr(name)])[0]
        positions.append(_sorted_by(table, hashes[group], group))
        places.append((np.arange(len(group)) + offset) / len(group))
    return _sorted_by(table, np.concatenate(places), np.concatenate(positions))


def _sorted_by(table: RecordTable, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns positions in a table sorted by their values; those with equal values by the key of the record."""
    order = np.argsort(values, kind="stable")
    values, positions = values[order], positions[order]
    equal = np.flatnonzero(values[1:] == values[:-1])
    for run in np.split(equal, np.flatnonzero(np.diff(equal) > 1) + 1) if len(equal) else ():
        first, end = int(run[0]), int(run[-1]) + 2
        tied = positions[first:end].tolist()
        positions[first:end] = sorted(tied, key=lambda position: table[position].key)
    return positions


def _hashes(texts: Iterable[str]) -> NDArray[np.float64]:
    """Returns a number in [0, 1) for each text that depends only on the text."""
    digests = bytearray()
    for text in texts:
        digests += hashlib.blake2b(text.encode(), digest_size=6).digest()
    padded = np.zeros((len(digests) // 6, 8), np.uint8)
    padded[:, :6] = np.frombuffer(digests, np.uint8).reshape(-1, 6)
    return padded.view("<u8")[:, 0] / 2**48
