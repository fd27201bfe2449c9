"""Prints what ``mgst-data people`` has found."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from mgst_data.core.errors import printable
from mgst_data.core.records import SPLITS
from mgst_data.people import Duplicate, Video

from ..common.show import count, line, section, show_table, table
from .find_people import Found

SHOWN = 20


def as_tables(found: Found) -> None:
    """Prints tables of folders and splits, uncertain pairs, near-duplicates, and persons in two splits."""
    _folders(found)
    if any(found.splits.values()):
        _splits(found)
    people, places = found.people, [video for video, _ in found.people.tracks()]
    _listed(
        f"uncertain, distance near {people.threshold:g}; look at the pictures",
        [
            f"{'one person' if doubt.joined else 'two persons'} ({doubt.distance:.3f}): "
            + _pair(found, places[doubt.first], places[doubt.second], (doubt.first, doubt.second))
            for doubt in people.doubts
        ],
    )
    _listed("near-duplicates", [_copy(found, copy) for copy in found.copies])
    _listed(
        "near-duplicates in two splits",
        [f"{_copy(found, copy)}; {' and '.join(_copy_splits(found, copy))}" for copy in found.leaking_copies],
    )
    _listed(
        "the same person is in two splits",
        [
            f"{' and '.join(leak.splits)}, {leak.person}, distance {leak.distance:.3f}, {count(leak.pairs, 'pair')}: "
            + _pair(found, places[leak.rows[0]], places[leak.rows[1]], leak.rows)
            for leak in found.leaks
        ],
    )
    line(f"\nwrote {', '.join(printable(f'{faces.location}/people.json') for faces in people.faces)}")


def as_json(found: Found) -> None:
    """Prints one JSON object."""
    people, places = found.people, [video for video, _ in found.people.tracks()]

    def pair(rows: tuple[int, int]) -> dict[str, Any]:
        picture = found.pictures.get(rows)
        names = [printable(found.name(places[row])) for row in rows]
        return {"videos": names, "picture": printable(picture) if picture else None}

    content = {
        "folders": [faces.location for faces in people.faces],
        "videos": len(found.reports),
        "tracks": len(people.person),
        "persons": len(set(people.person) - {""}),
        "unclear": people.person.count(""),
        "threshold": people.threshold,
        "splits": dict(Counter(split or "none" for split in found.splits.values())),
        "uncertain": [
            {"distance": round(doubt.distance, 4), "joined": doubt.joined, **pair((doubt.first, doubt.second))}
            for doubt in people.doubts
        ],
        "leaks": [
            {"person": leak.person, "splits": leak.splits, "distance": round(leak.distance, 4), **pair(leak.rows)}
            for leak in found.leaks
        ],
        "near_duplicates": [
            {
                "videos": [printable(found.name(video)) for video in _videos(found, copy)],
                "splits": _copy_splits(found, copy),
                "share": copy.share,
                "mirrored": copy.mirrored,
            }
            for copy in found.copies
        ],
    }
    line(json.dumps(content, indent=1))


def _folders(found: Found) -> None:
    made = table("folder", "videos", "tracks", "persons", "unclear tracks")
    rows = list(zip((video for video, _ in found.people.tracks()), found.people.person, strict=True))
    for number, faces in enumerate(found.people.faces):
        mine = [(video, person) for video, person in rows if video[0] == number]
        made.add_row(printable(faces.location), *_numbers(mine))
    if len(found.people.faces) > 1:
        made.add_row()
        made.add_row("all", *_numbers(rows), style="bold")
    show_table(made)


def _numbers(rows: list[tuple[Video, str]]) -> list[str]:
    persons = [person for _, person in rows]
    counts = (len({video for video, _ in rows}), len(rows), len(set(persons) - {""}), persons.count(""))
    return [f"{number:,}" for number in counts]


def _splits(found: Found) -> None:
    made = table("split", "videos", "real", "fake", "persons")
    persons: dict[str, set[str]] = {}
    for (video, _), person in zip(found.people.tracks(), found.people.person, strict=True):
        persons.setdefault(found.splits[video], set()).add(person)
    for split in (*SPLITS, ""):
        labels = [found.reports[video].label for video, name in found.splits.items() if name == split]
        if labels:
            counts = (len(labels), labels.count(0), labels.count(1), len(persons.get(split, set()) - {""}))
            made.add_row(split or "no split", *(f"{number:,}" for number in counts))
    line()
    show_table(made)
    if found.official:
        line(f"{count(found.official, 'video')} with the split of the data set, which wins over the split by person")


def _listed(heading: str, lines: list[str]) -> None:
    if lines:
        more = [f"and {len(lines) - SHOWN:,} more; --json lists all"] if len(lines) > SHOWN else []
        section(f"{heading} ({len(lines):,})", [*lines[:SHOWN], *more])


def _pair(found: Found, first: Video, second: Video, rows: tuple[int, int]) -> str:
    picture = found.pictures.get(rows)
    shown = f"; {printable(picture)}" if picture else ""
    return f"{printable(found.name(first))} and {printable(found.name(second))}{shown}"


def _videos(found: Found, copy: Duplicate) -> tuple[Video, Video]:
    return copy.among([faces.location for faces in found.people.faces])


def _copy_splits(found: Found, copy: Duplicate) -> list[str]:
    return [found.splits[video] or "no split" for video in _videos(found, copy)]


def _copy(found: Found, copy: Duplicate) -> str:
    first, second = (printable(found.name(video)) for video in _videos(found, copy))
    return f"{first} and {second} ({copy.share:.0%} of the compared frames{', mirrored' if copy.mirrored else ''})"
