from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_data.core import UsageError
from mgst_data.shards import SegmentSampler, ShardReader


def reader_of(*videos: tuple[int, tuple[int, ...]]) -> ShardReader:
    """Makes a reader without files, from the label and the number of chunks per track of each video."""
    rows = [
        (v, track, label)
        for v, (label, tracks) in enumerate(videos)
        for track, count in enumerate(tracks)
        for _ in range(count)
    ]
    video, track, label = torch.tensor(rows, dtype=torch.long).reshape(-1, 3).unbind(1)
    zeros = torch.zeros_like(video)
    offset = torch.arange(len(rows))
    names = tuple(f"v{v}" for v in range(len(videos)))
    return ShardReader("shards", ("s.tar",), names, zeros, video, track, offset, zeros, zeros + 8, label)


READER = reader_of((0, (5,)), (1, (1, 20)), (1, (3, 3, 3)), (0, (2,)))


def drawn(sampler):
    return [draw for batch in sampler for draw in batch]


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.booleans(), st.booleans(), st.sampled_from([None, 3]))
def test_exactly_one_process_makes_each_draw_of_an_epoch(batch_size, world, shuffle, balance, per_video):
    options = {"shuffle": shuffle, "balance": balance, "per_video": per_video}
    alone = drawn(SegmentSampler(READER, 1, **options))
    samplers = [SegmentSampler(READER, batch_size, rank=rank, world=world, **options) for rank in range(world)]
    assert sorted(draw for sampler in samplers for draw in drawn(sampler)) == sorted(alone)
    for sampler in samplers:
        assert len(sampler) == len(list(sampler))
    if not balance and not per_video:
        assert sorted(draw.chunk for draw in alone) == list(range(len(READER)))


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_an_epoch_resumes_exactly_with_another_number_of_processes(batch_size, world, new_batch_size, new_world, done):
    def samplers(batch_size, world):
        return [SegmentSampler(READER, batch_size, rank=rank, world=world) for rank in range(world)]

    before = [draw for s in samplers(batch_size, world) for batch in list(s)[:done] for draw in batch]
    after = samplers(new_batch_size, new_world)
    for sampler in after:
        sampler.position = done * batch_size * world
    whole = drawn(SegmentSampler(READER, 4))
    assert sorted(before + [draw for sampler in after for draw in drawn(sampler)]) == sorted(whole)


@pytest.mark.parametrize("position", [0, 6])
def test_drop_last_gives_every_process_the_same_number_of_full_batches(position):
    for world in (1, 2, 3, 5):
        samplers = [SegmentSampler(READER, 3, rank=rank, world=world, drop_last=True) for rank in range(world)]
        for sampler in samplers:
            sampler.position = position
        batches = [list(sampler) for sampler in samplers]
        assert {len(b) for b in batches} == {(len(READER) - position) // (3 * world)} == {len(s) for s in samplers}
        assert all(len(draws) == 3 for b in batches for draws in b)


def test_epochs_and_seeds_differ_and_repeat():
    def chunks(seed, epoch):
        sampler = SegmentSampler(READER, 4, seed=seed)
        sampler.epoch = epoch
        return drawn(sampler)

    assert chunks(0, 0) == chunks(0, 0)
    first, later, other = chunks(0, 0), chunks(0, 1), chunks(1, 0)
    assert len({tuple(draw.chunk for draw in draws) for draws in (first, later, other)}) == 3
    seeds = {draw.seed for draws in (first, later, other) for draw in draws}
    assert len(seeds) == 3 * len(READER)


def test_without_shuffling_chunks_are_in_the_order_of_the_reader():
    assert [draw.chunk for draw in drawn(SegmentSampler(READER, 4, shuffle=False))] == list(range(len(READER)))


def test_balanced_batches_have_equal_labels_and_all_chunks_occur():
    draws = drawn(SegmentSampler(READER, 6, balance=True))
    labels = READER.label[[draw.chunk for draw in draws]]
    assert labels.tolist() == [0, 1] * 30
    times = Counter(draw.chunk for draw in draws)
    assert {times[i] for i in range(len(READER)) if READER.label[i] == 1} == {1}
    assert {times[i] for i in range(len(READER)) if READER.label[i] == 0} == {4, 5}
    with pytest.raises(UsageError, match=r"^shards: balance needs real and fake chunks \(omit balance"):
        SegmentSampler(READER.where(READER.label == 1), 6, balance=True)


def test_per_video_draws_weight_videos_and_their_tracks_equally():
    draws = drawn(SegmentSampler(READER, 8, per_video=600))
    chunks = torch.tensor([draw.chunk for draw in draws])
    assert READER.video[chunks].bincount().tolist() == [600] * 4
    tracks = READER.track[chunks[READER.video[chunks] == 1]].bincount()  # one track of 1 chunk, one of 20
    assert abs(int(tracks[0]) - 300) < 75  # six standard deviations
    assert len(chunks.unique()) == len(READER)


@pytest.mark.parametrize(("batch_size", "rank", "world"), [(0, 0, 1), (1, 1, 1), (1, -1, 2)])
def test_invalid_arguments_are_an_error(batch_size, rank, world):
    with pytest.raises(ValueError, match="rank"):
        SegmentSampler(READER, batch_size, rank=rank, world=world)


def test_a_reader_without_chunks_is_an_error():
    with pytest.raises(UsageError, match=r"^shards: no chunks to draw from"):
        SegmentSampler(READER.where(READER.frames > 8), 1)
