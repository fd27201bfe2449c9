"""Samples chunks in an order that does not depend on the machine, the number of processes, or restarts."""

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
    """The number of a chunk to read, and the seed for the choice of its frames."""

    chunk: int
    seed: int


class SegmentSampler(Sampler[list[Draw]]):
    """Yields the batches of draws of one process out of ``world`` processes.

    An epoch is one list of draws, which depends only on the seed and the number of the epoch. The list is cut into
    batches, and the processes take them in turn. So a place in the epoch is one number, ``position``, which does not
    depend on the batch size and the number of processes. Training resumes exactly where it stopped, also on other
    hardware.

    Args:
        reader: Reader of the chunks.
        batch_size: Number of draws of one batch, for one process.
        seed: Seed of the order and of the draws.
        rank: Number of this process, from 0.
        world: Number of processes.
        shuffle: Whether chunks are drawn in random order.
        balance: Whether real and fake alternate. The chunks of the rarer label are repeated to fill an epoch.
        per_video: Number of draws from every video in an epoch. Each draw chooses a track first, then a chunk, so that
            neither long videos nor long tracks dominate. None draws every chunk once.
        drop_last: Whether to omit the draws at the end that do not fill a batch for every process. Otherwise every draw
            is made once, the last batch may be smaller, and some processes may get one batch less.

    Raises:
        ValueError: if ``rank`` is not in [0, world), or ``batch_size`` is less than 1.
        UsageError: if there are no chunks, or if ``balance`` is set and all chunks have the same label.
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
            raise ValueError(
                f"rank must be in [0, world) and batch_size must be at least 1, got rank {rank} with world {world} and "
                f"batch_size {batch_size}"
            )
        if balance and len(set(reader.label.tolist())) < 2:
            hint = "omit balance, or open real and fake videos"
            raise UsageError("balance needs real and fake chunks", where=reader.location, hint=hint)
        if not len(reader):
            hint = "check the split, the label, the methods and the number of frames"
            raise UsageError("no chunks to draw from", where=reader.location, hint=hint)
        self.reader, self.batch_size, self.seed, self.rank, self.world = reader, batch_size, seed, rank, world
        self.shuffle, self.balance, self.per_video, self.drop_last = shuffle, balance, per_video, drop_last
        self.epoch, self.position = 0, 0
        self.draws = len(self.order(0))  # the same in every epoch

    @property
    def stride(self) -> int:
        """Number of draws of one batch in all processes together."""
        return self.batch_size * self.world

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """Returns the numbers of the chunks of an epoch, for all processes together."""
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
        """Number of batches that remain in the epoch."""
        return len(range(self.position + self.rank * self.batch_size, self._stop, self.stride))

    @property
    def _stop(self) -> int:
        return self.draws - (self.draws - self.position) % self.stride if self.drop_last else self.draws


def draw_by_video(reader: ShardReader, per_video: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Draws chunks from every video: first a random track, then a random chunk of the track.

    Args:
        reader: Reader of the chunks.
        per_video: Number of draws from every video.
        generator: Source of randomness.

    Returns:
        The numbers of the chunks, video by video.
    """
    # The columns are sorted, so tracks are runs of chunks and videos are runs of tracks.
    track_of = torch.stack((reader.video, reader.track), dim=1)
    tracks, chunks = torch.unique_consecutive(track_of, dim=0, return_counts=True)
    _, videos = torch.unique_consecutive(tracks[:, 0], return_counts=True)
    random = torch.randint(2**62, (2, len(videos), per_video), generator=generator)
    track = (videos.cumsum(0) - videos)[:, None] + random[0] % videos[:, None]
    chunk: Tensor = (chunks.cumsum(0) - chunks)[track] + random[1] % chunks[track]
    return chunk.flatten()


def balanced(order: Int[Tensor, " n"], label: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " m"]:
    """Alternates real and fake draws.

    Every draw of the more frequent label is used once. The draws of the other label are repeated in new orders.

    Args:
        order: Numbers of the chunks.
        label: Label of each chunk in ``order``.
        generator: Source of randomness.

    Returns:
        The numbers of the chunks: real, fake, real, fake, ...
    """
    real, fake = order[label == REAL], order[label == FAKE]
    length = max(len(real), len(fake))
    filled = []
    for draws in (real, fake):
        rounds = [draws]
        rounds += [draws[torch.randperm(len(draws), generator=generator)] for _ in range(-(-length // len(draws)) - 1)]
        filled.append(torch.cat(rounds)[:length])
    return torch.stack(filled, dim=1).flatten()
