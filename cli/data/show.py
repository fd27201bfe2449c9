"""Prints tables and lines about extractions and folders of shards."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mgst_data.core import RecordTable
from mgst_data.core.errors import printable
from mgst_data.core.records import SPLITS
from mgst_data.datasets import Note, Scan
from mgst_data.datasets.selection import even_shares
from mgst_data.extract import RunSummary, shard_size
from mgst_data.extract.stills import is_still_path
from mgst_data.shards import ShardFolder, Tally, Totals, VideoReport
from mgst_data.shards.folder import STATE
from mgst_data.shards.plan import deal
from mgst_data.shards.storage import DAMAGED
from mgst_data.shards.store import ShardStore

from ..common.show import count, duration, line, section, show_table, size, table

SHOWN = 20
KEPT = "kept, with a note"
NOT_USED = "landmarks_not_used"  # reason of the notes on videos whose prepared landmarks were not used
COLUMNS = ("kept", "skipped", "frames", "tracks", "chunks", "crops")


def scan(found: Scan) -> None:
    """Prints to stderr how many videos and pictures were found, and one line per kind of note."""
    records = RecordTable.of(found.records)
    fakes = sum(label for label, _ in records.fields("label", "key"))
    sets = ", ".join(sorted({name for name, _ in records.fields("dataset", "key")}))
    stills = sum(is_still_path(path) for path, _ in records.fields("path", "key"))
    kinds = ((len(records) - stills, "video"), (stills, "picture"))
    counted = " and ".join(count(number, kind) for number, kind in kinds if number)
    line(f"{sets}: {counted}, {len(records) - fakes:,} real and {fakes:,} fake", err=True)
    for reason, (note, *others) in by_reason(found.notes).items():
        more = f" (and {len(others):,} more)" if others else ""
        line(f"note ({reason}): {note.where}: {note.what}{more}", err=True)


def by_reason(notes: Iterable[Note]) -> dict[str, list[Note]]:
    """Groups notes by reason."""
    groups: defaultdict[str, list[Note]] = defaultdict(list)
    for note in notes:
        groups[note.reason].append(note)
    return groups


def plan(found: Scan, out: str | None, *, videos_per_shard: int | None, as_json: bool) -> None:
    """Prints what an extraction would do, without doing it.

    Args:
        found: Videos of the data set.
        out: Folder for the shards; None if none was given.
        videos_per_shard: Videos per new shard; None for the usual number.
        as_json: Whether to print one JSON object instead of a table.
    """
    folder = ShardFolder.read(out) if out is not None and STATE in ShardStore.at(out).names() else None
    records = RecordTable.of(found.records)
    dealt = deal(
        folder.unplanned(records) if folder else records,
        videos_per_shard=videos_per_shard or shard_size(records),
    )
    new = sum(1 for _ in dealt)
    complete = sum(1 for _ in folder.reports()) if folder else 0
    pending = len(folder.plan) - complete if folder else 0
    counts = Counter(records.fields("label", "method", "split"))
    if as_json:
        videos = [
            {"label": label, "method": method, "split": split, "videos": count}
            for (label, method, split), count in sorted(counts.items())
        ]
        notes = {reason: len(group) for reason, group in by_reason(found.notes).items()}
        shards = {"complete": complete, "to_do": pending + new}
        line(json.dumps({"videos": videos, "shards": shards, "notes": notes}, indent=1))
        return
    splits = [split for split in (*SPLITS, "") if any(split == key[2] for key in counts)]
    made = table("videos by method", *(split or "no split" for split in splits), "all")
    for label, method in sorted({key[:2] for key in counts}):
        row = [counts[label, method, split] for split in splits]
        made.add_row(method, *(f"{number:,}" for number in (*row, sum(row))))
    row = [sum(count for key, count in counts.items() if key[2] == split) for split in splits]
    made.add_row()
    made.add_row("all", *(f"{number:,}" for number in (*row, sum(row))), style="bold")
    show_table(made)
    line(f"\nshards: {pending + new:,} to do, {complete:,} complete; nothing was written")


def totals(sums: Totals, *groups: str) -> None:
    """Prints counts over videos: rows per group, and one row for all videos.

    Args:
        sums: Counts of a folder of shards.
        groups: Names of the groups: "dataset", "split", "label", "method".
    """
    made = table(groups[0], *COLUMNS)
    for number, group in enumerate(groups):
        if number:
            made.add_row()
            made.add_row(group, style="bold")
        tallies: Mapping[str, Tally] = getattr(sums, group)
        for name, tally in sorted(tallies.items(), key=lambda item: _rank(item[0])):
            made.add_row(name or f"no {group}", *_numbers(tally))
    made.add_row()
    made.add_row("all", *_numbers(sums.overall), style="bold")
    show_table(made)
    detected = len(sums.notes.get(NOT_USED, ()))
    if sums.overall.prepared or detected:
        line(
            f"prepared crops: {sums.overall.prepared:,} of {sums.overall.images:,}; {count(detected, 'video')} detected"
        )


def summary(result: RunSummary, *, as_json: bool) -> None:
    """Prints the contents of the folder after a run.

    Args:
        result: Summary of the run.
        as_json: Whether to print one JSON object instead of tables.
    """
    if as_json:
        line(json.dumps(result.as_dict(), indent=1))
        return
    totals(result.totals, "split")
    noted(result.noted, folder=result.folder)
    skipped(result.skipped, folder=result.folder)
    if result.skipped:
        line("\nto extract skipped videos again: run the same command with --retry-skipped or --retry-skipped REASON")
    line(f"\n{printable(result.folder)}: {count(result.shards, 'shard')}, {size(result.bytes)}")
    if result.part:
        whole = f"of all {result.planned:,} shards, {result.shards:,} are complete"
        line(f"part {result.part} is complete ({count(result.part_shards, 'shard')}); {whole}")
    if result.videos:
        pace = f"{result.videos / result.seconds:.1f} videos/s, {result.frames / result.seconds:,.0f} frames/s"
        line(
            f"this run: {count(result.videos, 'video')}, {result.frames:,} frames in {duration(result.seconds)}; {pace}"
        )


def parts(unfinished: Mapping[int, Sequence[str]]) -> None:
    """Prints which parts of an extraction are not complete.

    Args:
        unfinished: Names of the missing shards by number of the part.
    """
    missing = [f"{number}/{len(unfinished)}" for number, names in unfinished.items() if names]
    if missing:
        line(f"{count(len(missing), 'part')} not complete: {', '.join(missing)}")
    else:
        line(f"all {count(len(unfinished), 'part')} complete")


def skipped(videos: Iterable[VideoReport], *, folder: str = "") -> None:
    """Prints the skipped videos, grouped by reason.

    Args:
        videos: Reports, one per video. Videos that are not skipped are ignored.
        folder: Folder of their shards. If given, the list is shortened, and its last line shows how to list all.
    """
    _listed("skipped", (video for video in videos if video.skipped), folder)


def noted(videos: Iterable[VideoReport], *, folder: str = "") -> None:
    """Prints the notes on videos that were kept, grouped by reason.

    Args:
        videos: Reports, one per video. Skipped videos are ignored.
        folder: Folder of their shards. If given, the list is shortened, and its last line shows how to list all.
    """
    _listed(KEPT, (video for video in videos if not video.skipped), folder)


def remarks(video: VideoReport) -> Sequence[tuple[str, str]]:
    """Returns the reason code and the text of a skipped video, or of every note on a kept video."""
    return ((video.reason, video.message),) if video.skipped else video.notes


def problems(found: Sequence[str], *, samples: int) -> None:
    """Prints the problems that a check has found, and how to repair them.

    Args:
        found: One line per problem.
        samples: Number of samples that were checked.
    """
    section(f"verified {count(samples, 'sample')}: {count(len(found), 'problem') if found else 'no problems'}", found)
    if found:
        line(f"\nto repair a shard: {DAMAGED}")


def copies(found: Sequence[Mapping[str, Any]]) -> None:
    """Prints pairs of videos that are copies of each other."""
    pairs = [
        f"{' and '.join(map(printable, copy['videos']))} "
        f"({copy['share']:.0%} of the compared frames{', mirrored' if copy['mirrored'] else ''})"
        for copy in found
    ]
    section(f"near-duplicates: {count(len(pairs), 'pair') if pairs else 'none'}", pairs)


def interrupted(out: str) -> None:
    """Prints to stderr what an interrupted run has finished, and how to continue."""
    if STATE not in ShardStore.at(out).names():
        line("interrupted before anything was written; run the same command again", err=True)
        return
    folder = ShardFolder.read(out)
    complete, kept = (sum(1 for _ in found) for found in (folder.reports(), folder.kept()))
    there = f"{complete:,} of {count(len(folder.plan), 'shard')} complete"
    others = f", {count(kept, 'video')} of other shards kept" if kept else ""
    line(f"interrupted: {there}{others}; run the same command again to continue", err=True)


def _listed(what: str, videos: Iterable[VideoReport], folder: str) -> None:
    groups: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for video in videos:
        for reason, text in remarks(video):
            groups[reason].append((video.key, text))
    sizes = [len(groups[reason]) for reason in sorted(groups)]
    shares = even_shares(SHOWN, sizes) if folder else sizes
    for reason, share in zip(sorted(groups), shares, strict=True):
        number = len({key for key, _ in groups[reason]})
        section(f"{what} ({reason}): {count(number, 'video')}", [text for _, text in groups[reason][:share]])
    if hidden := sum(sizes) - sum(shares):
        line(f"  and {hidden:,} more; to list all: mgst-data inspect {shlex.quote(printable(folder))}")


def _rank(name: str) -> tuple[int, str]:
    """Returns a sort key: train, val, test; then real, fake; then all other names."""
    usual = (*SPLITS, "real", "fake")
    return usual.index(name) if name in usual else len(usual), name


def _numbers(tally: Tally) -> list[str]:
    values = (tally.videos, tally.skipped, tally.frames, tally.tracks, tally.chunks, tally.images)
    return [f"{value:,}" for value in values]
