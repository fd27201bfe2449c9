"""Batches of frames: size limits, completeness, prefetching and reuse of memory."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator, Iterator

import numpy as np
import pytest
import torch

from mgst_data.core.records import FrameBatch
from mgst_data.video.batches import BufferPool, Picture, ahead, fit_into, read_batches


class Pictures:
    fps = 25.0

    def __init__(
        self, count: int, *, height: int = 4, width: int = 6, damage: str = "", damaged: tuple[int, ...] = ()
    ) -> None:
        self.count, self.shape, self.final, self.damage = count, (height, width, 3), damage, ""
        self.damaged = damaged

    def __iter__(self) -> Iterator[Picture]:
        for n in range(self.count):
            yield Picture(n, n / 25, np.full(self.shape, n, np.uint8), damaged=n in self.damaged)
        self.damage = self.final

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_every_picture_is_in_one_batch(count, lengths):
    batches = list(read_batches(Pictures(count), size=4, max_bytes=10**6))
    assert [len(batch) for batch in batches] == lengths
    assert [n for batch in batches for n in batch.index.tolist()] == list(range(count))
    assert [n for batch in batches for n in batch.frames.amax((1, 2, 3)).tolist()] == list(range(count))


def test_batches_respect_the_byte_limit_but_have_at_least_one_frame():
    frame = 4 * 6 * 3
    assert [len(b) for b in read_batches(Pictures(5), size=99, max_bytes=2 * frame)] == [2, 2, 1]
    assert [len(b) for b in read_batches(Pictures(2), size=99, max_bytes=1)] == [1, 1]


@pytest.mark.parametrize("count", [4, 5])
def test_the_last_batch_reports_damage_found_at_the_end(count):
    batches = list(read_batches(Pictures(count, damage="truncated"), size=4, max_bytes=10**6))
    assert [b.damage for b in batches[:-1]] == [""] * (len(batches) - 1)
    assert batches[-1].damage == "truncated"


def test_every_frame_keeps_its_damage_mark():
    batches = list(read_batches(Pictures(9, damaged=(3, 4, 8)), size=4, max_bytes=10**6))
    assert [n for batch in batches for n in batch.index[batch.damaged].tolist()] == [3, 4, 8]
    assert all(batch.damaged.shape == batch.index.shape for batch in batches)


def test_frames_are_undamaged_by_default():
    batch = FrameBatch(torch.zeros(3, 3, 4, 6, dtype=torch.uint8), torch.arange(3), torch.zeros(3), 25.0)
    assert batch.damaged.tolist() == [False] * 3


def test_frames_are_channels_last():
    (batch,) = read_batches(Pictures(2), size=4, max_bytes=10**6)
    assert batch.frames.shape == (2, 3, 4, 6)
    assert batch.frames.is_contiguous(memory_format=torch.channels_last)


def test_memory_is_reused_only_if_it_is_not_referenced():
    pool = BufferPool((2, 3))
    held = torch.from_numpy(pool.take()).T
    assert pool.take().ctypes.data != held.data_ptr()
    place = held.data_ptr()
    del held
    gc.collect()
    assert place in {pool.take().ctypes.data, pool.take().ctypes.data}


def test_referenced_batches_are_not_overwritten():
    batches = list(read_batches(Pictures(12), size=4, max_bytes=10**6))
    assert torch.cat([b.frames for b in batches])[:, 0, 0, 0].tolist() == list(range(12))


def test_frames_of_another_size_are_fitted_and_centred_on_black():
    frame = np.full((10, 20, 3), 7, np.uint8)
    fit_into(frame, np.full((40, 40, 3), 200, np.uint8))
    assert (frame[:, 5:15] == 200).all()
    assert (frame[:, :5] == 0).all()
    assert (frame[:, 15:] == 0).all()


def items(count: int, log: list[str], *, fail: bool = False) -> Generator[int, None, None]:
    try:
        for n in range(count):
            log.append(f"{n} in {threading.current_thread().name.split('_')[0]}")
            yield n
        if fail:
            raise LookupError("broken")
    finally:
        log.append("closed")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_prefetching_does_not_change_the_items(count):
    assert list(ahead(items(5, []), count)) == list(range(5))


def test_prefetching_runs_in_another_thread_and_is_limited():
    log: list[str] = []
    stream = ahead(items(9, log), 2)
    next(stream)
    stream.close()
    assert log[0] == "0 in mgst-ahead"
    assert len(log) <= 3 + 1
    assert log[-1] == "closed"


@pytest.mark.parametrize("count", [0, 2])
def test_errors_of_the_thread_are_raised_and_close_the_generator(count):
    log: list[str] = []
    stream = ahead(items(2, log, fail=True), count)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(LookupError, match="broken"):
        next(stream)
    assert log[-1] == "closed"


def test_the_thread_ends_if_the_consumer_stops_early():
    log: list[str] = []

    def leave() -> None:
        for _ in ahead(items(100, log), 2):
            raise KeyError

    with pytest.raises(KeyError):
        leave()
    gc.collect()
    assert log[-1] == "closed"
    assert not [t for t in threading.enumerate() if t.name.startswith("mgst-ahead")]
