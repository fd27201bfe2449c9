"""A disk that is full at any write: one clear error, and the next run makes what an undisturbed one makes."""

import resource
from contextlib import contextmanager, suppress

import pytest
from writing import contents, write

from mgst_data.core import OutputError
from mgst_data.shards.storage import write_atomic
from mgst_model.train.state import TrainFolder


@contextmanager
def room(size):
    """Lets no file become larger than a number of bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_wherever_the_disk_is_full_the_next_run_continues(tmp_path):
    whole = tmp_path / "whole"
    write(whole)
    wanted = contents(whole)
    largest = max(path.stat().st_size for path in whole.iterdir())
    failed = 0
    for size in (0, 100, 600, 1500, *range(5_000, largest, largest // 8), largest - 1):
        out = tmp_path / str(size)
        with room(size), suppress(OutputError):
            failed += 1
            write(out)
            failed -= 1
        left = {path.name for path in out.iterdir()} if out.exists() else set()
        assert not [name for name in left if name.endswith((".json.part", ".lock"))]
        write(out)
        assert contents(out) == wanted
    assert failed > 8


def test_a_full_disk_keeps_the_last_state_of_a_training(tmp_path):
    folder = TrainFolder(tmp_path, {"lr": 1})
    folder.save({"step": 1, "weights": [0.0] * 1000})
    before = (tmp_path / "state.pt").read_bytes()
    with room(len(before) // 2), pytest.raises(OutputError, match="too large"):
        folder.save({"step": 2, "weights": [0.0] * 2000})
    assert (tmp_path / "state.pt").read_bytes() == before
    with room(10), pytest.raises(OutputError, match=r"steps\.csv"):
        folder.log("steps.csv", {"step": 1, "total": 0.123456789})
    folder.log("steps.csv", {"step": 2, "total": 0.5})
    folder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "state.pt", "steps.csv"]


@pytest.mark.parametrize("size", [0, 1, 99])
def test_a_file_is_there_completely_or_not_at_all(tmp_path, size):
    with room(size), pytest.raises(OutputError):
        write_atomic(tmp_path / "new.json", bytes(100))
    assert not list(tmp_path.iterdir())
