"""Files are written atomically."""

import pytest

from mgst_data.core import OutputError
from mgst_data.shards.storage import write_atomic


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", ["sync", "publish"])
def test_an_interrupted_write_leaves_only_the_old_file(at, raised, tmp_path, monkeypatch):
    path = tmp_path / "notes.json"
    write_atomic(path, b"old")

    def interrupted(*_):
        raise raised

    monkeypatch.setattr(f"mgst_data.shards.storage.{at}", interrupted)
    with pytest.raises(raised):
        write_atomic(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.json"]
    assert path.read_bytes() == b"old"


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        write_atomic(tmp_path / "nowhere" / "notes.json", b"new")
