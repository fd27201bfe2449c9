"""Folders behind URLs: the same files as in a local folder, whole or not at all, one run at a time."""

import json
import time

import fsspec
import pytest
from synthetic_shards import CONFIG, chunks_of, write_shard

from mgst_data.core import OutputError, ShardError, UsageError, locations
from mgst_data.shards import ShardFolder, ShardReader, open_folder, remote_lock, storage
from mgst_data.shards.remote_lock import RemoteLock, read_lock
from mgst_data.shards.store import ShardStore

MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(storage, "_PAUSE", 0.001)
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = [""]
    return "memory://bucket/shards"


@pytest.fixture(params=["memory", "local"])
def store(request, url, tmp_path):
    return ShardStore.at(url if request.param == "memory" else tmp_path)


def run(out, records, **options):
    with open_folder(out, CONFIG, records, videos_per_shard=3) as folder:
        for task in folder.missing(records):
            write_shard(folder.store, task, **options)
        folder.finish()


def contents(store):
    """All files by name; of reports, without their times."""
    found = {}
    for name in store.names():
        data = store.read(name)
        if name.endswith(".json"):
            parsed = json.loads(data)
            parsed.pop("seconds", None)
            data = json.dumps(parsed).encode()
        found[name] = data
    return found


class PackageError(Exception):
    """An error of the package of a store, which has no base class but this."""


class Broken:
    """Lets the next calls of a method of the file system fail."""

    def __init__(self, monkeypatch, method, *, times, error=None):
        self.left, self.error, self.calls = times, error or OSError("slow down"), 0
        real = getattr(MEMORY, method)

        def call(*args, **options):
            self.calls += 1
            if self.left:
                self.left -= 1
                raise self.error
            return real(*args, **options)

        monkeypatch.setattr(MEMORY, method, call)


def test_files_are_written_read_listed_and_removed(store):
    assert store.names() == []
    store.write("b", b"second")
    store.write("a", b"first")
    assert store.names() == ["a", "b"]
    assert store.read("a") == b"first"
    assert list(store.read_all(["b", "gone", "a"])) == [("b", b"second"), ("a", b"first")]
    store.remove("a")
    store.remove("a")
    assert store.names() == ["b"]
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_file_urls_are_local_folders(tmp_path):
    assert ShardStore.at(f"file://{tmp_path}") == ShardStore.at(tmp_path)
    assert not ShardStore.at(tmp_path).remote


def test_a_run_to_a_url_writes_the_files_of_a_local_run(url, tmp_path, records):
    run(tmp_path / "local", records)
    run(url, records)
    assert contents(ShardStore.at(url)) == contents(ShardStore.at(tmp_path / "local"))
    assert not ShardStore.at(url).workspace.exists()
    assert len(ShardReader.open(url)) == len(ShardReader.open(tmp_path / "local"))
    before = contents(ShardStore.at(url))
    run(url, records)
    assert contents(ShardStore.at(url)) == before


def test_an_interrupted_run_continues_after_its_last_finished_video(url, tmp_path, records):
    run(tmp_path / "local", records)
    extracted = []

    def extract(record):
        extracted.append(record.key)
        if len(extracted) == 5:
            raise KeyboardInterrupt
        return chunks_of(record)

    with pytest.raises(KeyboardInterrupt):
        run(url, records, extract=extract)
    there = ShardStore.at(url).names()
    assert sum(name.endswith(".tar") for name in there) == 1
    assert not any(name.endswith((".part", ".progress", ".lock")) for name in there)
    assert len(list(ShardFolder.read(url).kept())) == 1
    run(url, records, extract=extract)
    assert len(extracted) == len(records) + 1
    assert contents(ShardStore.at(url)) == contents(ShardStore.at(tmp_path / "local"))


@pytest.mark.parametrize("method", ["put_file", "pipe_file"])
def test_a_store_that_fails_for_a_moment_is_asked_again(monkeypatch, url, tmp_path, records, method):
    run(tmp_path / "local", records)
    broken = Broken(monkeypatch, method, times=3)
    run(url, records)
    assert broken.calls > 3
    assert contents(ShardStore.at(url)) == contents(ShardStore.at(tmp_path / "local"))


def test_a_shard_that_cannot_be_uploaded_is_not_complete_and_is_not_extracted_again(monkeypatch, url, records):
    with monkeypatch.context() as patch:
        Broken(patch, "put_file", times=99)
        with pytest.raises(OutputError, match=r"train-000000\.tar: the store does not answer as expected: slow down"):
            run(url, records)
    assert list(ShardFolder.read(url).reports()) == []
    assert len(list(ShardFolder.read(url).kept())) == 3
    extracted = []
    run(url, records, extract=lambda record: extracted.append(record.key) or chunks_of(record))
    assert len(extracted) == len(records) - 3


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError("Forbidden"), "no permission .*credentials"),
        (FileNotFoundError("The specified bucket does not exist"), "no such bucket"),
        (PackageError("Unable to locate credentials"), "Unable to locate credentials"),
    ],
)
def test_a_store_that_cannot_be_written_is_one_clear_line(monkeypatch, url, records, error, says):
    monkeypatch.setattr(locations, "_OF_PACKAGES", ((__name__, "PackageError"),))
    Broken(monkeypatch, "pipe_file", times=99, error=error)
    with pytest.raises(OutputError, match=says):
        run(url, records)


def test_an_error_in_our_code_is_not_an_answer_of_the_store(monkeypatch, url):
    broken = Broken(monkeypatch, "cat_file", times=99, error=TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        ShardStore.at(url).read("a")
    assert broken.calls == 1


def test_an_answer_that_is_final_is_not_asked_for_again(monkeypatch, url):
    broken = Broken(monkeypatch, "cat_file", times=99, error=PermissionError("Forbidden"))
    with pytest.raises(ShardError, match="no permission"):
        ShardStore.at(url).read("a")
    assert broken.calls == 1


def test_a_url_without_a_file_system_is_a_usage_error(records):
    with pytest.raises(UsageError, match="nonsense"):
        run("nonsense://bucket/x", records)


def test_a_folder_with_other_files_is_not_changed(url, records):
    ShardStore.at(url).write("holiday.txt", b"precious")
    with pytest.raises(UsageError, match="not empty"):
        run(url, records)
    assert ShardStore.at(url).names() == ["holiday.txt"]


@pytest.mark.parametrize(("raised", "says"), [(KeyboardInterrupt("first"), "first"), (None, r"\.lock: .*slow down")])
def test_a_run_that_cannot_release_its_lock_raises_its_first_error(monkeypatch, url, records, raised, says):
    """The lock then stays behind, and the next run from the same workspace takes it over."""

    def end():
        with open_folder(url, CONFIG, records):
            Broken(patch, "rm_file", times=99)
            if raised:
                raise raised

    with monkeypatch.context() as patch:
        with pytest.raises((KeyboardInterrupt, OutputError), match=says):
            end()
        assert ".lock" in ShardStore.at(url).names()
    run(url, records)


def test_of_two_runs_at_the_same_time_the_second_is_refused(url, records, monkeypatch, tmp_path):
    with open_folder(url, CONFIG, records):
        with monkeypatch.context() as other_machine:
            other_machine.setenv("MGST_CACHE", str(tmp_path))
            with pytest.raises(OutputError, match=r"in use by another run \(process \d+ on ") as refused:
                run(url, records)
        assert refused.value.reason == "locked"
    run(url, records)


@pytest.mark.parametrize("expires", [-1.0, 1e9])
def test_a_lock_that_has_expired_or_is_from_a_wrong_clock_holds_nothing(url, records, monkeypatch, expires):
    monkeypatch.setattr(remote_lock, "_SETTLED", 0.01)
    store = ShardStore.at(url)
    store.write(".lock", json.dumps({"run": "a", "holder": "b", "expires": time.time() + expires}).encode())
    run(url, records)
    assert ".lock" not in store.names()


def test_the_lock_of_a_killed_run_on_this_machine_is_taken_over_at_once(url, records):
    store = ShardStore.at(url)
    with RemoteLock(_made(store), name=".lock"):
        lock, memory = store.read(".lock"), (store.workspace / ".lock.run").read_text()
    store.write(".lock", lock)
    _made(store)
    (store.workspace / ".lock.run").write_text(memory)
    run(url, records)
    assert ".lock" not in store.names()
    assert not store.workspace.exists()


def test_a_lock_is_renewed_and_a_run_that_has_lost_it_does_not_write_the_plan(url, records, monkeypatch):
    monkeypatch.setattr(remote_lock, "RENEWAL", 0.01)
    store = ShardStore.at(url)

    def wait_until(condition):
        end = time.monotonic() + 20
        while not condition() and time.monotonic() < end:
            time.sleep(0.005)
        assert condition()

    with open_folder(url, CONFIG, records, videos_per_shard=3) as folder:
        first = read_lock(store, ".lock")["expires"]
        wait_until(lambda: (read_lock(store, ".lock") or {}).get("expires", 0) > first)
        other = json.dumps({"run": "other", "holder": "other", "expires": time.time() + 60}).encode()
        wait_until(lambda: store.write(".lock", other) or folder.locks[0]._lost)
        for task in folder.missing(records):
            write_shard(folder.store, task)
        with pytest.raises(OutputError, match="another run has taken over"):
            folder.finish()
    assert read_lock(store, ".lock")["run"] == "other"
    assert "totals" not in json.loads(store.read("dataset.json"))


def _made(store):
    store.workspace.mkdir(parents=True, exist_ok=True)
    return store
