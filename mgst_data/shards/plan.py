"""Plans which videos go into which shard."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mgst_data.core import UsageError, VideoRecord
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
    splits: dict[str, list[VideoRecord]] = {split: [] for split in (*SPLITS, "")}
    keys: set[str] = set()
    for record in records:
        if record.key in keys:
            raise ValueError(f"two videos share the key {record.key!r}")
        keys.add(record.key)
        splits[record.split].append(record)
    tasks = []
    for split, members in splits.items():
        prefix = f"{split or NO_SPLIT}-"
        number = 1 + max((int(name.removeprefix(prefix)) for name in taken if name.startswith(prefix)), default=-1)
        mixed = _mix(members)
        for start in range(0, len(mixed), videos_per_shard):
            tasks.append(ShardTask(f"{prefix}{number:06d}", tuple(mixed[start : start + videos_per_shard])))
            number += 1
    return tasks


def _mix(records: Iterable[VideoRecord]) -> list[VideoRecord]:
    # Every group is shuffled by hash and spread evenly over [0, 1); sorted together, they interleave in proportion.
    groups: dict[tuple[str, int, str, str], list[VideoRecord]] = defaultdict(list)
    for record in records:
        groups[record.dataset, record.label, record.method, record.compression].append(record)
    spread = []
    for name, group in groups.items():
        offset = _hash(repr(name))
        group.sort(key=lambda record: (_hash(record.key), record.key))
        spread += [((i + offset) / len(group), record.key, record) for i, record in enumerate(group)]
    return [record for *_, record in sorted(spread, key=lambda item: item[:2])]


def _hash(text: str) -> float:
    """Returns a number in [0, 1) that depends only on the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "little") / 2**48
