"""Finds persons that are in two splits, and draws both videos of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch

from mgst_data.core.records import SPLITS
from mgst_data.people.find import People, Video, video_reports
from mgst_data.preview import contact_sheet
from mgst_data.shards import FaceChunk, ShardFolder, encode_image, split_key
from mgst_data.shards.reader import read_chunk
from mgst_data.shards.storage import output_errors, write_atomic


@dataclass(frozen=True, slots=True)
class Leak:
    """Two tracks in different splits that show the same person.

    Attributes:
        person: Code of the person.
        splits: The two splits.
        rows: The two tracks, by their numbers in :class:`~mgst_data.people.People`.
        pairs: Number of such pairs of this person in these splits.
    """

    person: str
    splits: tuple[str, str]
    rows: tuple[int, int]
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
            found.append((float(apart[i, j]), Leak(person, (first, second), (left[i], right[j]), len(left) * len(right))))
    found.sort(key=lambda item: ([SPLITS.index(split) for split in item[1].splits], item[0]))
    return [leak for _, leak in found]


def draw_pair(people: People, rows: tuple[int, int], path: Path, *, columns: int = 6) -> None:
    """Draws two tracks below each other as a contact sheet, and writes it as PNG.

    Args:
        people: Persons of the videos.
        rows: Numbers of the two tracks.
        path: File to write. Its folder is created if it does not exist.
        columns: Frames per track.

    Raises:
        OutputError: if the file cannot be written.
        ShardError: if a shard is damaged.
    """
    places = list(people.tracks())
    chunks = [longest_chunk(people.faces[places[row][0][0]].location, places[row][0][1], places[row][1]) for row in rows]
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, encode_image(contact_sheet(chunks, columns=columns), image_format="png"))


def longest_chunk(location: str, video: str, track: int) -> FaceChunk:
    """Reads the longest chunk of a track; of several, the first.

    Args:
        location: Folder of shards.
        video: Key of the video.
        track: Number of the track.

    Raises:
        ShardError: if the shard is damaged.
    """
    spans = [
        (-sample.frames, sample.key, report.name, sample)
        for report in ShardFolder.read(location).reports()
        for sample in report.samples
        if split_key(sample.key)[:2] == (video, track)
    ]
    _, _, name, sample = min(spans, key=lambda span: span[:2])
    return read_chunk(f"{location.rstrip('/')}/{name}.tar", sample.offset, sample.size)
