"""Extraction into an object store: a real S3 server, several processes, parts."""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import fsspec
import pytest
from fakes import record_of, task_of
from slow_shards import SlowShards

from mgst_data.core import OutputError
from mgst_data.datasets import Note, Scan
from mgst_data.extract import ExtractConfig, extract
from mgst_data.extract.executors import ProcessExecutor
from mgst_data.shards import Part, VideoReport, remote_lock
from mgst_data.shards.remote_lock import RemoteLock, read_lock
from mgst_data.shards.store import ShardStore

SCAN = Scan(tuple(map(record_of, [*"abcdefg", "empty", "noface"])), (Note("a note", "here", "there"),))


pytestmark = pytest.mark.usefixtures("fake_extractor")


def go(out, part="", **options):
    options = {"executor": "serial", "device": "cpu", "videos_per_shard": 2, **options}
    return extract(SCAN, ExtractConfig(), out, part=Part.parse(part) if part else None, **options)


def files(out):
    """Bytes of all files; of reports, without their times."""
    store = ShardStore.at(out)
    return {name: re.sub(rb'"seconds": [0-9.e-]+', b"", store.read(name)) for name in store.names()}


def test_a_bucket_gets_the_files_of_a_local_run_whole_or_in_parts(s3, tmp_path):
    go(tmp_path / "local")
    assert go("s3://bucket/whole").complete
    assert files("s3://bucket/whole") == files(tmp_path / "local")
    assert [go("s3://bucket/parts", f"{number}/2").complete for number in (2, 1)] == [False, True]
    assert files("s3://bucket/parts") == files(tmp_path / "local")
    assert go("s3://bucket/parts", retry="no_face").videos == 1


def test_many_files_of_a_bucket_are_read_with_one_request_each(s3, monkeypatch):
    bucket = fsspec.filesystem("s3")
    contents = {"a.json": b"one", "b.json": b"", "c.json": b"three"}
    for name, data in contents.items():
        bucket.pipe_file(f"bucket/many/{name}", data)
    asked, call = [], type(bucket)._call_s3

    def counted(self, method, *arguments, **options):
        asked.append((options["Key"], method))
        return call(self, method, *arguments, **options)

    monkeypatch.setattr(type(bucket), "_call_s3", counted)
    assert dict(ShardStore.at("s3://bucket/many").read_all([*contents, "d.json"])) == contents
    assert sorted(key for key, _ in asked if key != "many/b.json") == ["many/a.json", "many/c.json", "many/d.json"]


def test_a_bucket_that_does_not_exist_is_one_clear_line(s3):
    with pytest.raises(OutputError, match=r"s3://missing/shards/\.lock: the store has no such bucket"):
        go("s3://missing/shards")


def test_processes_write_to_a_bucket(s3, tmp_path):
    tasks = [task_of("train-000000", "a", "b"), task_of("train-000001", "c")]
    events = ProcessExecutor(workers=2).map(SlowShards(ShardStore.at("s3://bucket/processes")), tasks)
    assert sorted(event.key for event in events if isinstance(event, VideoReport)) == ["a", "b", "c"]
    for task in tasks:
        list(SlowShards(ShardStore.at(tmp_path))(task, {}))
    assert files("s3://bucket/processes") == files(tmp_path)


def test_credentials_are_in_no_file(s3):
    go("s3://bucket/secret")
    held = b"".join(files("s3://bucket/secret").values())
    assert s3["AWS_SECRET_ACCESS_KEY"].encode() not in held
    assert s3["AWS_ACCESS_KEY_ID"].encode() not in held


@pytest.mark.parametrize("expired", [False, True])
def test_of_many_runs_that_ask_at_once_one_gets_the_lock(s3, tmp_path, monkeypatch, expired):
    monkeypatch.setattr(remote_lock, "_SETTLED", 1.0)
    location = f"s3://bucket/locked-{expired}"
    if expired:
        ShardStore(location, tmp_path).write(".lock", json.dumps({"run": "a", "holder": "b", "expires": 1}).encode())
    ready = threading.Barrier(6)

    def ask(number):
        workspace = tmp_path / str(number)  # one for each machine
        workspace.mkdir()
        ready.wait()
        with suppress(OutputError):
            return RemoteLock(ShardStore(location, workspace), name=".lock")

    with ThreadPoolExecutor(6) as pool:
        (won,) = filter(None, pool.map(ask, range(6)))
    with won:
        assert read_lock(ShardStore(location, tmp_path), ".lock")["holder"].startswith("process")
