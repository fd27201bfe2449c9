"""Samples chunks in an order that does not depend on the machine, the number of processes, or restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Sampler

from mgst_data.core import UsageError, generator_for, seed_for
from mgst_data.shards.draws import SourceDraws, alternated, balanced, draw_by_video
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

    Segments and stills come in batches of their own, because all segments of a batch have the same number of frames.
    Batches of the rarer kind are spread evenly over the epoch, and all processes read the same kind at the same time. A
    place in such an epoch does depend on the batch size and on the number of processes.

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
        by_source: Whether the draws of an epoch are divided by the weights of the sources, then equally among the
            persons of a source, then among their videos; see :class:`mgst_data.shards.draws.SourceDraws`. The number of
            draws stays ``per_video`` times the number of videos.
        span: Chunks with fewer frames are stills. 1 makes no difference between segments and stills.
        drop_last: Whether to omit the draws at the end that do not fill a batch for every process. Otherwise every draw
            is made once, the last batch may be smaller, and some processes may get one batch less.

    Raises:
        ValueError: if ``rank`` is not in [0, world), or ``batch_size`` is less than 1; if ``by_source`` is set without
            ``per_video``; or if there are segments and stills, and ``drop_last`` is not set.
        UsageError: if there are no chunks, if ``balance`` is set and all chunks have the same label, or if there are
            segments and stills, but too few of one kind for a batch.
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
        by_source: bool = False,
        span: int = 1,
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
        single = reader.frames < span
        self._single = single if bool(single.any()) and not bool(single.all()) else None
        if self.mixed and not drop_last:
            raise ValueError("segments and stills together need drop_last; otherwise use a sampler for each")
        if by_source and per_video is None:
            raise ValueError("by_source needs per_video")
        self._by_source = (
            SourceDraws(reader, per_video, single=single, balance=balance) if by_source and per_video else None
        )
        self.draws = len(self.order(0))  # the same in every epoch

    @property
    def mixed(self) -> bool:
        """Whether there are batches of segments and batches of stills."""
        return self._single is not None

    @property
    def stride(self) -> int:
        """Number of draws of one batch in all processes together."""
        return self.batch_size * self.world

    def order(self, epoch: int) -> Int[Tensor, " n"]:
        """Returns the numbers of the chunks of an epoch, for all processes together.

        Raises:
            UsageError: if there are segments and stills, but too few of one kind for a batch.
        """
        generator = generator_for(self.seed, "order", epoch)
        order = torch.arange(len(self.reader))
        if self._by_source is not None:
            order = self._by_source(generator)
        elif self.per_video is not None:
            order = draw_by_video(self.reader, self.per_video, generator)
        if self._single is None:
            return self._arranged(order, generator)
        still = self._single[order]
        segments, stills = (self._arranged(order[kind], generator) for kind in (~still, still))
        for name, draws in (("segments", segments), ("stills", stills)):
            if len(draws) < self.stride:
                what = f"an epoch has {len(draws)} {name}, too few for one batch in each of {self.world} processes"
                hint = "lower the batch size, or raise the number of draws or the weights of their sources"
                raise UsageError(what, where=self.reader.location, hint=hint)
        return alternated(segments, stills, self.stride)

    def shards(self) -> list[str]:
        """Returns the paths or URLs of all shards, in the order in which the rest of the epoch first needs them."""
        drawn = self.reader.shard[self.order(self.epoch)[self.position :]].tolist()
        return [self.reader.shards[shard] for shard in dict.fromkeys([*drawn, *self.reader.shard.tolist()])]

    def _arranged(self, order: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " m"]:
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
