"""What each source contributes to a training: draws, videos and persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from mgst_data.shards.reader import ShardReader
from mgst_data.shards.sampler import SegmentSampler
from mgst_data.shards.sources import Source


@dataclass(frozen=True, slots=True)
class Contribution:
    """The contribution of one source.

    Attributes:
        source: The source.
        videos: Number of its videos, pictures included.
        persons: Number of its persons. A video without a named person counts as a person.
        draws: Number of draws.
        stills: Number of these draws that are single frames.
        drawn_videos: Number of videos that were drawn at least once.
        drawn_persons: Number of persons that were drawn at least once.
    """

    source: Source
    videos: int
    persons: int
    draws: int
    stills: int
    drawn_videos: int
    drawn_persons: int


def contributions(sampler: SegmentSampler, *, epochs: int, position: int = 0) -> list[Contribution]:
    """Returns what each source contributes to the first epochs. Draws that could not be read are counted too.

    Args:
        sampler: Sampler of the training.
        epochs: Number of complete epochs.
        position: Number of draws of the epoch after them, for all processes together.
    """
    reader = sampler.reader
    whole = sampler.draws - sampler.draws % sampler.stride if sampler.drop_last else sampler.draws
    parts = [sampler.order(epoch)[:whole] for epoch in range(epochs)]
    parts += [sampler.order(epochs)[:position]] if position else []
    draws = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long)
    everything = torch.arange(len(reader))
    found = []
    for number, source in enumerate(reader.sources):
        mine, all_of_it = (rows[reader.source[rows] == number] for rows in (draws, everything))
        found.append(
            Contribution(
                source,
                *_counts(reader, all_of_it),
                len(mine),
                int((reader.frames[mine] == 1).sum()),
                *_counts(reader, mine),
            )
        )
    return found


def _counts(reader: ShardReader, rows: Int[Tensor, " n"]) -> tuple[int, int]:
    """Returns the numbers of videos and of persons of some chunks."""
    videos: Sequence[int] = sorted(set(reader.video[rows].tolist()))
    return len(videos), len({(reader.persons[video] if reader.persons else "") or video for video in videos})
