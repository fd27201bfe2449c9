"""A clock that is set back during a run changes nothing."""

import itertools
import time

import fsspec
import pytest
from writing import contents, write

from mgst_data.shards import remote_lock


@pytest.mark.parametrize("back", [60.0, 3600.0, 1e9])
def test_a_clock_that_is_set_back_changes_no_file(tmp_path, monkeypatch, back):
    write(tmp_path / "before")
    now, steps = time.time(), itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - back * next(steps))
        patch.setattr(remote_lock, "_SETTLED", 0.01)
        for out in (tmp_path / "out", "memory://bucket/clock"):
            write(out)
            assert contents(out) == contents(tmp_path / "before")
    fsspec.filesystem("memory").store.clear()
