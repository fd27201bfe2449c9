"""Finds persons that are in two splits, and draws both videos of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import UInt8
from numpy import ndarray

from mgst_data.core.records import SPLITS
from mgst_data.people.find import People, Video, video_reports
from mgst_data.preview import contact_sheet
from mgst_data.shards import ShardReader


@dataclass(frozen=True, slots=True)
class Leak:
    """Two tracks in different splits that show the same person.

    Attributes:
        person: Code of the person.
        splits: The two splits.
        rows: The two tracks, by their numbers in :class:`~mgst_data.people.People`.
        distance: Distance between their embeddings. No two tracks of this person in these splits are closer.
        pairs: Number of pairs of tracks of this person in these splits.
    """

    person: str
    splits: tuple[str, str]
    rows: tuple[int, int]
    distance: float
    pairs: int


def effective_splits(people: People, assigned: Mapping[Video, str]) -> dict[Video, str]:
    """Returns the split of each video: the official one, otherwise the assigned one, otherwise "".

    Args:
        people: Persons of the videos.
        assigned: Split by video, for videos without an official split.
    """
    return {video: report.split or assigned.get(video, "") for video, report in video_reports(people).items()}


def find_leaks(people: People, splits: Mapping[Video, str]) -> list[Leak]:
    """Finds the persons that are in two splits. For each person and pair of splits, the most similar tracks are given.

    Args:
        people: Persons of the videos.
        splits: Split by video; videos without a split are ignored.

    Returns:
        Leaks, sorted by splits and by the distance of their tracks.
    """
    members: dict[str, dict[str, list[int]]] = {}
    for row, (video, _) in enumerate(people.tracks()):
        if people.person[row] and splits.get(video):
            members.setdefault(people.person[row], {}).setdefault(splits[video], []).append(row)
    found = []
    for person, by_split in members.items():
        for first, second in combinations([split for split in SPLITS if split in by_split], 2):
            left, right = by_split[first], by_split[second]
            apart = torch.cdist(people.embedding[left], people.embedding[right])
            i, j = divmod(int(apart.argmin()), len(right))
            distance = float(apart[i, j])
            found.append(Leak(person, (first, second), (left[i], right[j]), distance, len(left) * len(right)))
    return sorted(found, key=lambda leak: ([SPLITS.index(split) for split in leak.splits], leak.distance))


def draw_pair(
    people: People, rows: tuple[int, int], readers: Sequence[ShardReader], *, columns: int = 6
) -> UInt8[ndarray, "h w 3"]:
    """Draws two tracks below each other as a contact sheet. The longest chunk of each is shown.

    Args:
        people: Persons of the videos.
        rows: Numbers of the two tracks.
        readers: Reader of each folder, with all of its chunks.
        columns: Frames per track.

    Raises:
        ShardError: if a shard is damaged.
    """
    tracks = list(people.tracks())
    chunks = []
    for (folder, key), track in (tracks[row] for row in rows):
        reader = readers[folder]
        mine = (reader.video == reader.videos.index(key)) & (reader.track == track)
        chunks.append(reader[int((reader.frames * mine).argmax())])
    return contact_sheet(chunks, columns=columns)
