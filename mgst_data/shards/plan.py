"""Plans which videos go into which shard."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mgst_data.core import VideoRecord
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
