"""Simulates how the workers of a cluster share the shards of an extraction.

Two ways to share them, as in docs/many_machines.md:

- ``queue``: a free worker takes the next shard. The executors ``process`` and ``ray`` work like this. The shard of a
  lost worker is the next one to be taken.
- ``parts``: worker K of N makes the shards K, K + N, K + 2 N and so on (``--part K/N``). The shard of a lost worker
  waits for this worker.

Time is that of one reference core. All workers of a machine are lost together, and come back together.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

QUEUE, PARTS = "queue", "parts"
HOUR = 3600.0
# A run on Ray ends if one shard loses its machine more often than this (mgst_data/extract/executors/ray.py).
PATIENCE = 20

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Properties of the machines.

    Attributes:
        workers: Number of workers; each uses one core.
        workers_per_machine: Number of workers of a machine.
        sharing: How shards are shared: "queue" or "parts".
        start: Seconds from the start of a machine until its workers take their first shard.
        loss_rate: Losses of a machine per hour; 0 for machines that are never lost.
        restart: Seconds until a lost machine is replaced, without ``start``.
        keeps_videos: Whether a shard continues after its last finished video (a common folder), or starts over (a
            folder behind a URL).
        slow: Share of slow machines, [0, 1]; their number is rounded.
        slowness: How many times as long a slow machine takes, at least 1.

    Raises:
        ValueError: if a value is out of its range.
    """

    workers: int
    workers_per_machine: int = 1
    sharing: str = QUEUE
    start: float = 0.0
    loss_rate: float = 0.0
    restart: float = 0.0
    keeps_videos: bool = False
    slow: float = 0.0
    slowness: float = 1.0

    def __post_init__(self) -> None:
        if self.workers < 1 or self.workers_per_machine < 1:
            raise ValueError("a cluster has at least one worker, and a machine too")
        if self.sharing not in (QUEUE, PARTS):
            raise ValueError(f"sharing must be {QUEUE!r} or {PARTS!r}, got {self.sharing!r}")
        if min(self.start, self.loss_rate, self.restart) < 0 or not 0 <= self.slow <= 1 or self.slowness < 1:
            raise ValueError("times and rates must not be negative, slow must be in [0, 1], slowness at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a simulated run.

    Attributes:
        wall: Seconds from the start until the last shard is complete.
        work: Seconds that one reference core needs for all shards, without start and losses.
        paid: Seconds that workers were rented, all together: until no shard is left for them, without the time between
            a loss and the restart.
        repeated: Seconds of work on shards that were lost, and done again.
        losses: Number of shards that lost their worker.
        most_losses: Largest number of losses of one shard.
        workers: Number of workers.
    """

    wall: float
    work: float
    paid: float
    repeated: float
    losses: int
    most_losses: int
    workers: int

    @property
    def efficiency(self) -> float:
        """Work divided by the time of all workers until the end, [0, 1]."""
        return self.work / (self.workers * self.wall)

    @property
    def ends(self) -> bool:
        """Whether a run on Ray reaches its end."""
        return self.most_losses <= PATIENCE

    def cost(self, price: float) -> float:
        """Returns the cost of the run.

        Args:
            price: Price of a worker per hour.
        """
        return self.paid / HOUR * price


@dataclass(frozen=True, slots=True)
class Shards:
    """Durations of the videos of an extraction, in the order of its plan.

    Attributes:
        videos: Duration of every video, seconds.
        per_shard: Videos per shard; the last shard may have fewer.
        overhead: Seconds of a shard beside its videos, after the last one.
    """

    videos: Seconds
    per_shard: int
    overhead: float = 0.0

    def __len__(self) -> int:
        return -(-len(self.videos) // self.per_shard)

    def durations(self, shard: int) -> Seconds:
        """Returns the durations of the videos of a shard."""
        first = shard * self.per_shard
        return self.videos[first : first + self.per_shard]

    def sums(self) -> Seconds:
        """Returns the duration of every shard."""
        if not len(self.videos):
            return np.zeros(0)
        starts = np.arange(0, len(self.videos), self.per_shard)
        return np.add.reduceat(self.videos, starts) + self.overhead


def draw_videos(measured: Sequence[float], videos: int, rng: np.random.Generator) -> Seconds:
    """Draws the duration of every video of a data set from measured ones.

    Args:
        measured: Durations of videos, seconds.
        videos: Number of videos of the data set.
        rng: Source of randomness.
    """
    return rng.choice(np.asarray(measured, dtype=np.float64), size=videos)


def simulate(shards: Shards, cluster: Cluster, rng: np.random.Generator) -> Outcome:
    """Simulates one run.

    Args:
        shards: Shards of the run.
        cluster: Properties of the machines.
        rng: Source of randomness: which machines are slow, and when machines are lost.
    """
    run = _Run(shards, cluster, _Machines(cluster, rng))
    if cluster.sharing == QUEUE:
        run.work_off(range(len(shards)), range(cluster.workers))
    else:
        for worker in range(cluster.workers):
            run.work_off(range(worker, len(shards), cluster.workers), (worker,))
    return Outcome(
        wall=run.wall,
        work=float(shards.sums().sum()),
        paid=run.paid,
        repeated=run.repeated,
        losses=sum(run.losses.values()),
        most_losses=max(run.losses.values(), default=0),
        workers=cluster.workers,
    )


class _Machines:
    """Speeds of the machines, and the times at which they are lost."""

    def __init__(self, cluster: Cluster, rng: np.random.Generator) -> None:
        number = -(-cluster.workers // cluster.workers_per_machine)
        self._per = cluster.workers_per_machine
        self._cluster, self._rng = cluster, rng
        slow = rng.permutation(number) < round(cluster.slow * number)
        self._factor = np.where(slow, cluster.slowness, 1.0).tolist()
        self._lost: list[list[float]] = [[] for _ in range(number)]

    def factor(self, worker: int) -> float:
        """How many times as long as the reference core the worker takes."""
        return float(self._factor[worker // self._per])

    def loss_after(self, worker: int, time: float) -> float:
        """Time of the first loss of the machine after a time; infinity if machines are never lost."""
        rate = self._cluster.loss_rate
        if not rate:
            return float("inf")
        lost = self._lost[worker // self._per]
        while not lost or lost[-1] <= time:
            there_again = lost[-1] + self._cluster.restart if lost else 0.0
            lost.append(there_again + float(self._rng.exponential(HOUR / rate)))
        return lost[bisect_right(lost, time)]


class _Run:
    """The state of a simulated run: sums over all workers."""

    def __init__(self, shards: Shards, cluster: Cluster, machines: _Machines) -> None:
        self._shards, self._sums = shards, shards.sums().tolist()
        self._cluster, self._machines = cluster, machines
        self._done: Counter[int] = Counter()
        self.losses: Counter[int] = Counter()
        self.wall = self.paid = self.repeated = 0.0

    def work_off(self, tasks: Sequence[int], crew: Sequence[int]) -> None:
        """Lets workers make shards until all are complete.

        A worker that is free earlier takes its shard earlier, so the outcome of a shard may be computed when it is
        begun. ``returned`` has the shards of lost workers, by the time of the loss.
        """
        begun: Iterator[int] = iter(tasks)
        ahead = next(begun, None)
        returned: list[tuple[float, int]] = []
        start, restart = self._cluster.start, self._cluster.restart
        # Time at which a worker is free, the worker, and the time from which it is paid.
        free = [(start, worker, 0.0) for worker in crew]
        while free:
            now, worker, since = heapq.heappop(free)
            if ahead is None and not returned:
                self.paid += now - since
                continue
            again = bool(returned) and (returned[0][0] <= now or ahead is None)
            begin = max(now, returned[0][0]) if again else now
            lost_at = self._machines.loss_after(worker, since)
            if lost_at <= begin:  # lost while it started or waited
                self.paid += lost_at - since
                heapq.heappush(free, (lost_at + restart + start, worker, lost_at + restart))
                continue
            if again:
                shard = returned.pop(0)[1]
            else:
                assert ahead is not None
                shard, ahead = ahead, next(begun, None)
            end = begin + self._left(shard) * self._machines.factor(worker)
            if end <= lost_at:
                self.wall = max(self.wall, end)
                heapq.heappush(free, (end, worker, since))
                continue
            self._lose(shard, (lost_at - begin) / self._machines.factor(worker))
            insort(returned, (lost_at, shard))
            self.paid += lost_at - since
            heapq.heappush(free, (lost_at + restart + start, worker, lost_at + restart))

    def _left(self, shard: int) -> float:
        done = self._done.get(shard, 0)
        whole = float(self._sums[shard])
        return whole - float(self._shards.durations(shard)[:done].sum()) if done else whole

    def _lose(self, shard: int, worked: float) -> None:
        """Records that a shard lost its worker, which had worked on it for some reference seconds."""
        self.losses[shard] += 1
        if self._cluster.keeps_videos:
            ends = list(accumulate(self._shards.durations(shard)[self._done[shard] :].tolist()))
            finished = bisect_right(ends, worked)
            self._done[shard] += finished
            worked -= ends[finished - 1] if finished else 0.0
        self.repeated += worked
