"""Splits videos by person: a person is in one split only, and fakes stay with the real videos that they belong to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

import torch

from mgst_data.core import UsageError
from mgst_data.core.records import SPLITS
from mgst_data.core.rng import generator_for
from mgst_data.people.find import People, Video, video_reports

T = TypeVar("T", bound=Hashable)


def connected(names: Mapping[T, Iterable[Hashable]]) -> list[list[T]]:
    """Groups items: two items are in one group if they share a name, also through others.

    Args:
        names: Names of each item. An item without names is a group of its own.

    Returns:
        Groups in the order of their first items.
    """
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for item, some in names.items():
        for name in some:
            # An item may be equal to a name.
            parent[root(("name", name))] = root(("item", item))
    groups: defaultdict[Hashable, list[T]] = defaultdict(list)
    for item in names:
        groups[root(("item", item))].append(item)
    return list(groups.values())


def connected_videos(people: People, more: Iterable[tuple[Video, Video]] = ()) -> list[list[Video]]:
    """Groups the videos that must be in the same split.

    Two videos belong together if they show the same person in any track, if the data set says that they share a source
    or target identity, or if they are near-duplicates.

    Args:
        people: Persons of the videos.
        more: Other pairs of videos that belong together, such as near-duplicates.

    Returns:
        Groups in the order of their first videos.
    """
    names: dict[Video, list[Hashable]] = {}
    identities = [pair for faces in people.faces for pair in zip(faces.source, faces.target, strict=True)]
    for i, (video, _) in enumerate(people.tracks()):
        # A code and an identity of the data set cannot be equal: identities have a slash.
        names.setdefault(video, []).extend(name for name in (people.person[i], *identities[i]) if name)
    seen = frozenset(names)
    for number, pair in enumerate(more):
        for video in pair:
            names.setdefault(video, []).append(number)
    groups = ([video for video in group if video in seen] for group in connected(names))
    return [group for group in groups if group]


def split_by_people(
    people: People,
    *,
    val: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    more: Iterable[tuple[Video, Video]] = (),
) -> dict[Video, str]:
    """Puts every video without an official split into train, val or test, so that no person is in two of them.

    Whole groups of :func:`connected_videos` are assigned, the largest first, to the split that lacks most, for real and
    fake videos. Groups of the same size are in random order. A group with an official split goes there, too. If a group
    has several official splits, its other videos go to the one of them with the most videos of the group.

    Args:
        people: Persons of the videos.
        val: Share of the videos for val, [0, 1).
        test: Share of the videos for test, [0, 1).
        seed: Seed of the order.
        more: Other pairs of videos that belong together, such as near-duplicates.

    Returns:
        Split of each video that has no official one.

    Raises:
        UsageError: if the shares are not possible, or a split with a share above 0 stays empty.
    """
    shares = dict(zip(SPLITS, (1 - val - test, val, test), strict=True))
    if min(val, test) < 0 or shares["train"] <= 0:
        what = f"val and test must be at least 0 and leave a share for train, got {val:g} and {test:g}"
        raise UsageError(what, hint="for example --val 0.1 --test 0.2")
    reports = video_reports(people)
    groups = connected_videos(people, more)
    order = torch.randperm(len(groups), generator=generator_for(seed, "split by people")).tolist()
    order.sort(key=lambda i: -len(groups[i]))
    totals = Counter(report.label for report in reports.values())
    lacking = {split: {label: share * totals[label] for label in totals} for split, share in shares.items()}
    chosen: dict[Video, str] = {}
    used: Counter[str] = Counter()
    pending = []
    for group in (groups[i] for i in order):
        official = Counter(reports[video].split for video in group if reports[video].split)
        if not official:
            pending.append(group)
            continue
        split = max(sorted(official), key=official.__getitem__)
        chosen |= {video: split for video in group if not reports[video].split}
        for video in group:
            place = reports[video].split or split
            lacking[place][reports[video].label] -= 1
            used[place] += 1
    for group in pending:
        counts = Counter(reports[video].label for video in group)
        split = max(SPLITS, key=lambda name: _need(lacking[name], counts, totals) if shares[name] else float("-inf"))
        chosen |= dict.fromkeys(group, split)
        used[split] += len(group)
        for label, count in counts.items():
            lacking[split][label] -= count
    empty = [split for split, share in shares.items() if share and not used[split]]
    if empty:
        largest = max(map(len, groups), default=0)
        what = f"no videos for {' and '.join(empty)}: {len(groups)} groups, the largest has {largest} of {len(reports)}"
        hint = "videos that share persons stay together; add videos of other people, or raise --val and --test"
        raise UsageError(what, where=people.faces[0].location, hint=hint)
    return chosen


def _need(lacking: Mapping[int, float], counts: Mapping[int, int], totals: Mapping[int, int]) -> float:
    """Rates how well a group fits a split: what the split lacks, weighted with what the group has."""
    return sum(count / totals[label] * lacking[label] / totals[label] for label, count in counts.items())
