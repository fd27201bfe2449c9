"""Files that are there whole or not at all."""

import pytest

from mgst_data.core import OutputError
from mgst_data.shards.storage import write_atomic


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", ["sync", "publish"])
def test_a_write_that_is_interrupted_leaves_what_was_there_and_nothing_else(at, raised, tmp_path, monkeypatch):
    path = tmp_path / "notes.json"
    write_atomic(path, b"old")

    def interrupted(*_):
        raise raised

    monkeypatch.setattr(f"mgst_data.shards.storage.{at}", interrupted)
    with pytest.raises(raised):
        write_atomic(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.json"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_atomic(tmp_path / "nowhere" / "notes.json", b"new")
