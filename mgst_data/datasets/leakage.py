"""Check for identity leakage: the same person in two splits."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from mgst_data.core import LeakageError, RecordTable, VideoRecord
from mgst_data.core.record_table import repeated_hashes
from mgst_data.core.records import SPLITS

SHOWN = 5


def check_leakage(records: Iterable[VideoRecord]) -> None:
    """Checks that no source or target identity is in two splits.

    Videos without a split are ignored. Identities contain the name of their collection, so that the records of several
    data sets can be checked together. For example, the train split of FaceForensics++ contains targets of
    DeeperForensics.

    Raises:
        LeakageError: if an identity is in two splits. The message gives the number of such identities and, for the
            first ones, their splits with one video of each split.
    """
    table = RecordTable.of(records)
    # Hashes say who may be an offender; texts of all identities would need much memory.
    codes, splits_of = array("q"), array("b")
    for split, identity in _identities(table):
        codes.append(hash(identity))
        splits_of.append(SPLITS.index(split))
    suspects = repeated_hashes(codes, splits_of)
    if not suspects:
        return
    examples: dict[str, dict[str, str]] = {}
    for split, identity, video in _identities(table, "video"):
        if hash(identity) in suspects:
            examples.setdefault(identity, {}).setdefault(split, video)
    offenders = sorted(identity for identity, splits in examples.items() if len(splits) > 1)
    if not offenders:
        return
    named = "; ".join(f"{identity} ({_places(examples[identity])})" for identity in offenders[:SHOWN])
    more = f"; and {len(offenders) - SHOWN} more" if len(offenders) > SHOWN else ""
    count = "1 identity is" if len(offenders) == 1 else f"{len(offenders)} identities are"
    hint = "correct the splits, choose one with --split, or continue with --allow-leakage"
    raise LeakageError(f"{count} in more than one split: {named}{more}", hint=hint)


def _identities(table: RecordTable, *more: str) -> Iterator[tuple[str, ...]]:
    """Yields split, identity and more fields, for every identity of a video with a split."""
    for split, source, target, *others in table.fields("split", "source_key", "target_key", *more):
        if split:
            yield from ((split, identity, *others) for identity in {source, target} if identity)


def _places(splits: dict[str, str]) -> str:
    return ", ".join(f"{split}: {splits[split]}" for split in SPLITS if split in splits)
