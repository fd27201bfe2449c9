"""The work of the command ``mgst-data people``: finds persons, splits the videos, and writes the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from mgst_data.people import (
    Duplicate,
    Leak,
    People,
    Video,
    draw_pair,
    effective_splits,
    find_leaks,
    find_people,
    near_duplicates,
    split_by_people,
    video_reports,
)
from mgst_data.people.store import store_of
from mgst_data.shards import PeopleTable, ShardFolder, ShardReader, VideoReport, encode_image
from mgst_data.shards.remote_lock import lock_folder, remove_if_empty
from mgst_data.shards.storage import output_errors
from mgst_data.shards.store import ShardStore


@dataclass(frozen=True, slots=True)
class Found:
    """What the command has found and written.

    Attributes:
        people: Persons of all tracks.
        reports: Report of each video with a face.
        official: Videos with a split of the data set.
        splits: Split of each video, "" for none.
        tables: The table of each folder.
        leaks: Persons in two splits.
        copies: Near-duplicates; empty if they were not asked for.
        leaking_copies: Near-duplicates in two splits.
        pictures: Path or URL of the picture of each pair of tracks, as far as drawn.
    """

    people: People
    reports: Mapping[Video, VideoReport]
    official: int
    splits: Mapping[Video, str]
    tables: Sequence[PeopleTable]
    leaks: Sequence[Leak]
    copies: Sequence[Duplicate]
    leaking_copies: Sequence[Duplicate]
    pictures: Mapping[tuple[int, int], str]

    def name(self, video: Video) -> str:
        """Returns the path of a video relative to its data set; with several folders, after that of its folder."""
        path = self.reports[video].video
        return path if len(self.people.faces) == 1 else f"{self.people.faces[video[0]].location}: {path}"


def run(
    folders: Sequence[str],
    *,
    grouping: Mapping[str, Any],
    duplicates: bool,
    sharing: Mapping[str, Any],
    workers: int | None,
    pictures: int,
    saw: Callable[[str, int, int], None],
) -> Found:
    """Finds persons in folders of shards, and writes the table and the pictures into each folder.

    Args:
        folders: Folders of shards, by path or URL.
        grouping: Options of :func:`mgst_data.people.find_people`.
        duplicates: Whether to find near-duplicates.
        sharing: Options of :func:`mgst_data.people.split_by_people`; empty keeps the splits that are there.
        workers: Number of processes; None for one per core.
        pictures: Largest number of pictures of leaks, and of uncertain pairs.
        saw: Called with the task, the number of finished shards and the number of all shards.

    Raises:
        UsageError: if a folder is unsuitable, or the split is not possible.
        OutputError: if a folder cannot be written.
        ShardError: if a shard is damaged.
    """
    with ExitStack() as stack:
        for folder in folders:
            ShardFolder.read(folder)  # before the lock, which would make a missing folder
            store = ShardStore.at(folder)
            if store.remote:
                stack.callback(remove_if_empty, store.workspace)
            lock_folder(store, stack)
        people = find_people(folders, workers=workers, saw=lambda *at: saw("embedding", *at), **grouping)
        copies = near_duplicates(folders, workers=workers, saw=lambda *at: saw("hashing", *at)) if duplicates else []
        pairs = [copy.among(folders) for copy in copies]
        assigned = split_by_people(people, more=pairs, **sharing) if sharing else None
        tables = people.tables(assigned, sharing)
        for folder, table in zip(folders, tables, strict=True):
            table.write(folder)
        kept = {(i, key): split for i, table in enumerate(tables) for key, split in table.splits.items()}
        splits, reports = effective_splits(people, kept), video_reports(people)
        leaks = find_leaks(people, splits)
        apart = [len({splits[video] for video in pair} - {""}) == 2 for pair in pairs]
        drawn = _draw(people, leaks, pictures, store_of(folders[0]))
    return Found(
        people=people,
        reports=reports,
        official=sum(bool(report.split) for report in reports.values()),
        splits=splits,
        tables=tables,
        leaks=leaks,
        copies=copies,
        leaking_copies=[copy for copy, leaks_ in zip(copies, apart, strict=True) if leaks_],
        pictures=drawn,
    )


def _draw(people: People, leaks: Sequence[Leak], most: int, store: ShardStore) -> dict[tuple[int, int], str]:
    """Draws the first leaks and the most uncertain pairs; deletes the pictures of an earlier run."""
    for name in store.names():
        if name.startswith(("leak-", "uncertain-")) and name.endswith(".png"):
            store.remove(name)
    wanted = {leak.rows: f"leak-{i:04d}-{'-'.join(leak.splits)}.png" for i, leak in enumerate(leaks[:most])}
    wanted |= {(d.first, d.second): f"uncertain-{i:04d}.png" for i, d in enumerate(people.doubts[:most])}
    if wanted and not store.remote:
        with output_errors(store.workspace):
            store.workspace.mkdir(exist_ok=True)
    readers = [ShardReader.open(faces.location) for faces in people.faces] if wanted else []
    for rows, name in wanted.items():
        store.write(name, encode_image(draw_pair(people, rows, readers), image_format="png"))
    return {rows: store.url(name) for rows, name in wanted.items()}
