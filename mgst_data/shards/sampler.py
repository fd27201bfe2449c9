"""In which order chunks are drawn: the same on every machine, for any number of processes, at any restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Sampler

from mgst_data.core import FAKE, REAL, UsageError, generator_for, seed_for
from mgst_data.shards.reader import ShardReader


class Draw(NamedTuple):
    """A chunk to read, and the seed of everything that is random about reading it."""

    chunk: int
    seed: int


class SegmentSampler(Sampler[list[Draw]]):
    """Batches of draws of one process among ``world``.

    An epoch is one list of draws, made from the seed and the number of the epoch alone. It is cut into batches, and
    the processes take them in turn. A place in the epoch is thus one number, ``position``, that means the same
    whatever the batch size and the number of processes: training goes on exactly where it was left, on other hardware
    too.

    Args:
        reader: The chunks.
        batch_size: Draws of one batch, for one process.
        seed: Of order and draws.
        rank: Number of this process, from 0.
        world: Number of processes.
        shuffle: Whether chunks are drawn in random order.
        balance: Whether real and fake alternate; the chunks of the rarer label are repeated to fill an epoch.
        per_video: Draws from every video in an epoch, each by track first, then chunk, so that neither long videos
            nor long tracks dominate. None draws every chunk once.
        drop_last: Whether to leave out what does not fill a batch for every process. Otherwise every draw is made
            once, the last batch may be smaller, and some processes may get one batch less.

    Raises:
        UsageError: if there is nothing to draw, or one label only to balance.
    """

    def __init__(
        self,
        reader: ShardReader,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        balance: bool = False,
        per_video: int | None = None,
        drop_last: bool = False,
    ) -> None:
        if not 0 <= rank < world or batch_size < 1:
            raise ValueError(f"rank {rank} of {world} with batches of {batch_size}")
        if balance and len(set(reader.label.tolist())) < 2:
            hint = "leave balance out, or open real and fake videos"
            raise UsageError("only one label to balance", where=reader.location, hint=hint)
        if not len(reader):
            hint = "check the split, label, methods and number of frames that are asked for"
            raise UsageError("no chunks to draw from", where=reader.location, hint=hint)
        self.reader, self.batch_size, self.seed, self.rank, self.world = reader, batch_size, seed, rank, world
        self.shuffle, self.balance, self.per_video, self.drop_last = shuffle, balance, per_video, drop_last
        self.epoch, self.position = 0, 0
        self.draws = len(self.order(0))  # the same in every epoch

    @property
    def stride(self) -> int:
        """Draws that all processes make between two batches of this one."""
        return self.batch_size * self.world

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """The chunks of an epoch, for all processes together."""
        generator = generator_for(self.seed, "order", epoch)
        order = torch.arange(len(self.reader))
        if self.per_video is not None:
            order = draw_by_video(self.reader, self.per_video, generator)
        if self.shuffle:
            order = order[torch.randperm(len(order), generator=generator)]
        return balanced(order, self.reader.label[order], generator) if self.balance else order

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, order = self.epoch, self.order(self.epoch).tolist()
        begin, stop = self.position + self.rank * self.batch_size, self._stop
        for start in range(begin, stop, self.stride):
            places = range(start, min(start + self.batch_size, stop))
            yield [Draw(order[i], seed_for(self.seed, "segment", epoch, i)) for i in places]

    def __len__(self) -> int:
        """Batches that are left of the epoch."""
        return len(range(self.position + self.rank * self.batch_size, self._stop, self.stride))

    @property
    def _stop(self) -> int:
        return self.draws - (self.draws - self.position) % self.stride if self.drop_last else self.draws


def draw_by_video(reader: ShardReader, per_video: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Chunks drawn ``per_video`` times from every video: a track at random, then one of its chunks."""
    # The columns are sorted, so tracks are runs of chunks and videos are runs of tracks.
    track_of = torch.stack((reader.video, reader.track), dim=1)
    tracks, chunks = torch.unique_consecutive(track_of, dim=0, return_counts=True)
    _, videos = torch.unique_consecutive(tracks[:, 0], return_counts=True)
    random = torch.randint(2**62, (2, len(videos), per_video), generator=generator)
    track = (videos.cumsum(0) - videos)[:, None] + random[0] % videos[:, None]
    chunk: Tensor = (chunks.cumsum(0) - chunks)[track] + random[1] % chunks[track]
    return chunk.flatten()


def balanced(order: Int[Tensor, " n"], label: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " m"]:
    """Real and fake in turn; every draw of the commoner label once, those of the rarer repeated in new orders."""
    real, fake = order[label == REAL], order[label == FAKE]
    length = max(len(real), len(fake))
    filled = []
    for draws in (real, fake):
        rounds = [draws]
        rounds += [draws[torch.randperm(len(draws), generator=generator)] for _ in range(-(-length // len(draws)) - 1)]
        filled.append(torch.cat(rounds)[:length])
    return torch.stack(filled, dim=1).flatten()
