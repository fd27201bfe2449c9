"""One hash: for any executor and number of workers, in parts, interrupted or not, in a local folder or behind a URL."""

import fsspec
import pytest
from writing import RECORDS, hash_of, write

from mgst_data.shards import ShardReader


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    out = tmp_path_factory.mktemp("serial")
    write(out)
    assert set(ShardReader.open(out).videos) == {record.key for record in RECORDS}
    return hash_of(out)


@pytest.fixture(params=["local", "url"])
def out(request, tmp_path):
    yield tmp_path / "out" if request.param == "local" else "memory://bucket/out"
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_processes_write_what_one_process_writes(tmp_path, wanted, workers):
    write(tmp_path, executor="process", workers=workers)
    assert hash_of(tmp_path) == wanted


@pytest.mark.parametrize("parts", [("1/1",), ("2/2", "1/2"), ("1/3", "3/3", "2/3"), ("4/4", "1/4", "3/4", "2/4")])
def test_parts_write_what_one_run_writes(out, wanted, parts):
    for part in parts:
        write(out, part=part)
    assert hash_of(out) == wanted


@pytest.mark.parametrize("stop", range(7))
def test_an_interruption_after_any_event_changes_nothing(out, wanted, stop):
    with pytest.raises(KeyboardInterrupt):
        write(out, stop=stop)
    write(out)
    assert hash_of(out) == wanted


def test_interrupted_processes_and_parts_write_the_same(tmp_path, wanted):
    for part, stop in (("1/2", 1), ("2/2", 0)):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, executor="process", workers=2, part=part, stop=stop)
    write(tmp_path, executor="process", workers=1)
    assert hash_of(tmp_path) == wanted
