"""Identity leakage: one person in two splits."""

from __future__ import annotations

from collections.abc import Iterable

from mgst_data.core import LeakageError, VideoRecord
from mgst_data.core.records import SPLITS

SHOWN = 5


def check_leakage(records: Iterable[VideoRecord]) -> None:
    """Checks that no source or target identity is in two splits.

    Videos without a split belong to none and are not looked at. Identities carry the collection they come from, so
    the records of several data sets can be checked together: a model trained on FaceForensics++ has seen the targets
    of DeeperForensics that are in its train split.

    Raises:
        LeakageError: naming the first offenders, the splits each is in and a video in each, and how many there are.
    """
    examples: dict[str, dict[str, str]] = {}
    for record in records:
        if record.split:
            for identity in record.identities:
                examples.setdefault(identity, {}).setdefault(record.split, record.video)
    offenders = sorted(identity for identity, splits in examples.items() if len(splits) > 1)
    if not offenders:
        return
    named = "; ".join(f"{identity} ({_places(examples[identity])})" for identity in offenders[:SHOWN])
    more = f"; and {len(offenders) - SHOWN} more" if len(offenders) > SHOWN else ""
    count = "1 identity is" if len(offenders) == 1 else f"{len(offenders)} identities are"
    hint = "correct the splits, choose one with --split, or go on with --allow-leakage"
    raise LeakageError(f"{count} in more than one split: {named}{more}", hint=hint)


def _places(splits: dict[str, str]) -> str:
    return ", ".join(f"{split}: {splits[split]}" for split in SPLITS if split in splits)
