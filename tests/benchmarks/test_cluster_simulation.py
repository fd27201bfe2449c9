"""The simulation of a cluster: bounds that hold for every schedule, and losses that cost what they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cluster.simulation import HOUR, PARTS, QUEUE, Cluster, Shards, draw_videos, simulate

MEASURED = (1.0, 2.0, 3.5, 8.0, 40.0)


def shards(videos=997, per_shard=8, overhead=0.5, seed=0):
    return Shards(draw_videos(MEASURED, videos, np.random.default_rng(seed)), per_shard, overhead)


def run(work, seed=0, **cluster):
    return simulate(work, Cluster(**cluster), np.random.default_rng(seed))


@pytest.mark.parametrize("sharing", [QUEUE, PARTS])
def test_one_worker_needs_the_sum_of_all_durations(sharing):
    work = shards()
    outcome = run(work, workers=1, sharing=sharing, start=30.0)
    everything = work.videos.sum() + len(work) * work.overhead
    assert outcome.wall == pytest.approx(30.0 + everything)
    assert outcome.paid == pytest.approx(outcome.wall)
    assert outcome.work == pytest.approx(everything)


@pytest.mark.parametrize("sharing", [QUEUE, PARTS])
@pytest.mark.parametrize("workers", [2, 7, 50, 1000])
def test_no_schedule_is_faster_than_its_bounds(sharing, workers):
    work = shards()
    outcome = run(work, workers=workers, sharing=sharing)
    assert outcome.wall >= max(outcome.work / workers, work.sums().max()) - 1e-6
    assert 0 < outcome.efficiency <= 1
    if sharing == QUEUE:  # the bound of Graham for a list of tasks without dependencies
        assert outcome.wall <= outcome.work / workers + work.sums().max() + 1e-6


def test_without_losses_more_workers_are_never_slower():
    work = shards()
    walls = [run(work, workers=workers, start=5.0).wall for workers in (1, 2, 3, 5, 8, 13, 40, 125, 126, 400)]
    assert walls == sorted(walls, reverse=True)


def test_parts_are_dealt_as_the_extraction_deals_them():
    work = Shards(np.array([1.0, 10.0, 2.0, 20.0, 3.0]), 1)
    assert run(work, workers=2, sharing=PARTS).wall == 30.0
    assert run(work, workers=2, sharing=QUEUE).wall == 23.0


@pytest.mark.parametrize("sharing", [QUEUE, PARTS])
def test_the_same_seed_gives_the_same_result(sharing):
    losses = {
        "workers": 20,
        "workers_per_machine": 4,
        "sharing": sharing,
        "loss_rate": 20.0,
        "restart": 60.0,
        "slow": 0.2,
    }
    first, again, other = (run(shards(), seed, slowness=2.0, **losses) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("sharing", [QUEUE, PARTS])
def test_every_loss_is_paid_for_and_kept_videos_are_not_done_again(sharing):
    spot = Cluster(workers=20, sharing=sharing, loss_rate=20.0, restart=60.0, start=10.0)
    outcomes = {
        keeps: [
            simulate(shards(), replace(spot, keeps_videos=keeps), np.random.default_rng(seed)) for seed in range(10)
        ]
        for keeps in (False, True)
    }
    for outcome in (*outcomes[False], *outcomes[True]):
        assert outcome.losses > 0
        assert outcome.paid >= outcome.work + outcome.repeated
        assert outcome.wall >= outcome.work / 20
    mean = {keeps: np.mean([one.repeated / one.losses for one in some]) for keeps, some in outcomes.items()}
    assert mean[True] < 0.5 * mean[False]


def test_all_workers_of_a_machine_are_lost_together():
    work = Shards(np.full(64, 600.0), 1)
    spot = {"workers": 64, "loss_rate": 1.0, "restart": HOUR}
    alone, together = (
        [run(work, seed, workers_per_machine=number, **spot).losses for seed in range(40)] for number in (1, 64)
    )
    assert all(losses % 64 == 0 for losses in together)
    assert 0 < np.mean(together) < 64
    assert np.std(alone) < np.std(together)


def test_a_shard_that_never_ends_before_a_loss_ends_a_run_on_ray():
    long = Shards(np.full(400, 60.0), 400)
    assert not run(long, workers=1, loss_rate=1.0).ends
    assert run(long, workers=1, loss_rate=1.0, keeps_videos=True).ends


def test_slow_machines_make_the_run_longer_by_at_most_their_factor():
    work = shards()
    usual, all_slow = (run(work, workers=10, slow=share, slowness=3.0) for share in (0.0, 1.0))
    assert all_slow.wall == pytest.approx(3 * usual.wall)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 1, "sharing": "luck"}, {"workers": 1, "slow": 2.0}])
def test_a_wrong_cluster_is_refused(wrong):
    with pytest.raises(ValueError, match=r"cluster|sharing|slow"):
        Cluster(**wrong)
