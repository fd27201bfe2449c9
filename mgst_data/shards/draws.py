"""Draws chunks: by video, or by source, person and video; and arranges them into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mgst_data.core import FAKE, REAL
from mgst_data.shards.reader import ShardReader


def draw_by_video(reader: ShardReader, per_video: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Draws chunks from every video: first a random track, then a random chunk of the track.

    Args:
        reader: Reader of the chunks.
        per_video: Number of draws from every video.
        generator: Source of randomness.

    Returns:
        The numbers of the chunks, video by video.
    """
    tree = _Tree.of(reader, torch.arange(len(reader)))
    return tree.draw(torch.arange(len(tree.tracks))[:, None].expand(-1, per_video), generator).flatten()


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """Chunks in runs of tracks, and tracks in runs of videos, because the columns of a reader are sorted.

    Attributes:
        rows: Numbers of the chunks.
        chunks: Number of chunks of each track.
        tracks: Number of tracks of each video.
    """

    rows: Int[Tensor, " n"]
    chunks: Int[Tensor, " k"]
    tracks: Int[Tensor, " v"]

    @staticmethod
    def of(reader: ShardReader, rows: Int[Tensor, " n"]) -> _Tree:
        track_of = torch.stack((reader.video[rows], reader.track[rows]), dim=1)
        tracks, chunks = torch.unique_consecutive(track_of, dim=0, return_counts=True)
        _, videos = torch.unique_consecutive(tracks[:, 0], return_counts=True)
        return _Tree(rows, chunks, videos)

    def draw(self, video: Int[Tensor, "*n"], generator: torch.Generator) -> Int[Tensor, "*n"]:
        """Draws a random track of each video, and a random chunk of the track."""
        random = torch.randint(2**62, (2, *video.shape), generator=generator)
        track = (self.tracks.cumsum(0) - self.tracks)[video] + random[0] % self.tracks[video]
        return self.rows[(self.chunks.cumsum(0) - self.chunks)[track] + random[1] % self.chunks[track]]


class SourceDraws:
    """Draws chunks by source, then by person, then by video, track and chunk.

    Each source gets its share of the draws by its weight, exactly. Within a source every person is drawn equally often,
    up to one draw; within a person, a video is drawn at random. A source with segments and stills divides its draws
    between both by their numbers of persons. So the numbers of segments and of stills are the same in every epoch.

    Args:
        reader: Reader of the chunks, with its persons. A video without a named person counts as a person.
        per_video: Number of draws, as a multiple of the number of videos.
        single: True for chunks that are drawn as stills.
        balance: Whether there are as many draws of fake as of real chunks. The shares of the sources then hold for each
            label, among the sources that have it.
    """

    def __init__(self, reader: ShardReader, per_video: int, *, single: Bool[Tensor, " n"], balance: bool) -> None:
        labels = (REAL, FAKE) if balance else (None,)
        of_label = [torch.ones_like(single) if label is None else reader.label == label for label in labels]
        count = per_video * max(len(set(reader.video[rows].tolist())) for rows in of_label)
        self._groups: list[tuple[_Group, int]] = []
        for rows in of_label:
            groups, weights = [], []
            for number in sorted(set(reader.source[rows].tolist())):
                kinds = (single == still for still in (False, True))
                parts = [(rows & (reader.source == number) & kind).nonzero()[:, 0] for kind in kinds]
                mine = [_Group(reader, part) for part in parts if len(part)]
                persons = sum(len(group.videos) for group in mine)
                groups += mine
                weights += [reader.sources[number].weight * len(group.videos) / persons for group in mine]
            self._groups += zip(groups, shares(count, weights), strict=True)

    def __call__(self, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Draws the chunks of an epoch, source by source."""
        return torch.cat([group.draw(count, generator) for group, count in self._groups])


class _Group:
    """The videos of one source, one kind and one label, by person."""

    def __init__(self, reader: ShardReader, rows: Int[Tensor, " n"]) -> None:
        self.tree = _Tree.of(reader, rows)
        numbers = list(dict.fromkeys(reader.video[rows].tolist()))
        persons: dict[str | int, list[int]] = {}
        for place, number in enumerate(numbers):
            persons.setdefault((reader.persons[number] if reader.persons else "") or number, []).append(place)
        self.videos = torch.tensor([len(places) for places in persons.values()])
        self.places = torch.tensor([place for places in persons.values() for place in places])

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Draws chunks: every person in turn, in a new order in every round."""
        rounds = -(-count // len(self.videos))
        order = [torch.randperm(len(self.videos), generator=generator) for _ in range(rounds)]
        person = torch.cat(order)[:count] if order else torch.zeros(0, dtype=torch.long)
        random = torch.randint(2**62, (count,), generator=generator)
        place = (self.videos.cumsum(0) - self.videos)[person] + random % self.videos[person]
        return self.tree.draw(self.places[place], generator)


def shares(count: int, weights: Sequence[float]) -> list[int]:
    """Divides a count in proportion to weights. Remainders go to the largest fractions, then to the first ones.

    Args:
        count: Number to divide, at least 0.
        weights: At least one weight above 0.
    """
    exact = [count * weight / sum(weights) for weight in weights]
    whole = [int(share) for share in exact]
    largest = sorted(range(len(exact)), key=lambda i: whole[i] - exact[i])
    for i in largest[: count - sum(whole)]:
        whole[i] += 1
    return whole


def balanced(order: Int[Tensor, " n"], label: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " m"]:
    """Alternates real and fake draws. If all draws have the same label, they stay as they are.

    Every draw of the more frequent label is used once. The draws of the other label are repeated in new orders.

    Args:
        order: Numbers of the chunks.
        label: Label of each chunk in ``order``.
        generator: Source of randomness.

    Returns:
        The numbers of the chunks: real, fake, real, fake, ...
    """
    real, fake = order[label == REAL], order[label == FAKE]
    if not (len(real) and len(fake)):
        return order
    length = max(len(real), len(fake))
    filled = []
    for draws in (real, fake):
        rounds = [draws]
        rounds += [draws[torch.randperm(len(draws), generator=generator)] for _ in range(-(-length // len(draws)) - 1)]
        filled.append(torch.cat(rounds)[:length])
    return torch.stack(filled, dim=1).flatten()


def alternated(one: Int[Tensor, " n"], other: Int[Tensor, " m"], length: int) -> Int[Tensor, " k"]:
    """Cuts two lists of draws into blocks of a length and spreads the blocks of the shorter list evenly.

    Draws at the end that do not fill a block are omitted.

    Args:
        one: Numbers of chunks.
        other: Numbers of other chunks.
        length: Number of draws of a block.
    """
    blocks = [list(torch.split(draws[: len(draws) - len(draws) % length], length)) for draws in (one, other)]
    whole, there = sum(map(len, blocks)), len(blocks[1])
    arranged = [blocks[(k + 1) * there // whole > k * there // whole].pop(0) for k in range(whole)]
    return torch.cat(arranged) if arranged else one[:0]
