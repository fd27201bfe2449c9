"""Local copies of shards: shared, bounded, whole, and the same samples as from the store."""

import hashlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mgst_data.core import OutputError, ShardError, UsageError
from mgst_data.core.errors import MgstWarning
from mgst_data.core.sampling import RandomWindow
from mgst_data.shards import SegmentDataset, SegmentLoader, SegmentSampler, ShardCache, ShardReader
from mgst_data.shards import cache as cache_module
from mgst_data.shards.cache_folder import CacheFolder

FORK = multiprocessing.get_context("fork")
SECONDS = 30.0


@pytest.fixture
def url(make_folder):
    # Behind a URL for the reader, and still visible to all processes.
    return f"file://{make_folder()}"


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """Records every shard that is copied from the store, in all processes; the copies are slow."""
    log, copy = tmp_path / "fetched", CacheFolder._copy
    log.touch()

    def logged(self, url, file, part):
        with log.open("a") as lines:
            lines.write(f"{url}\n")
        time.sleep(0.05)
        copy(self, url, file, part)

    monkeypatch.setattr(CacheFolder, "_copy", logged)
    return lambda: log.read_text().split()


def used_shards(reader):
    return [reader.shards[shard] for shard in dict.fromkeys(reader.shard.tolist())]


def files_of(reader):
    return [reader.cache._known[shard] for shard in used_shards(reader)]


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def fill(reader):
    reader.cache.fetch(used_shards(reader))
    until(lambda: all(reader.cache.find(shard) != shard for shard in used_shards(reader)))


def digest_of(reader):
    content = hashlib.sha256()
    for chunk in reader:
        content.update(chunk.key.encode() + b"".join(map(bytes, chunk.images)))
    return content.hexdigest()


def in_process(work):
    """Runs a function in a process of its own, and returns what it returns."""
    mine, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: there.send(work()))
    process.start()
    there.close()
    return process, mine


def tars(folder):
    return {path.stem for path in folder.glob("*.tar")}


def test_two_processes_fill_one_cache_and_each_shard_is_fetched_once(url, tmp_path, fetched):
    def work():
        reader = ShardReader.open(url, cache=ShardCache(tmp_path / "cache"))
        fill(reader)
        return digest_of(reader)

    runs = [in_process(work) for _ in range(2)]
    digests = {pipe.recv() for _, pipe in runs}
    for process, _ in runs:
        process.join()
    direct = ShardReader.open(url)
    assert digests == {digest_of(direct)}
    assert sorted(fetched()) == sorted(used_shards(direct))
    assert not list((tmp_path / "cache").glob("*.part*"))


def test_batches_are_those_of_the_store_while_the_cache_is_filled_and_after(url, tmp_path, fetched):
    def batches(**options):
        reader = ShardReader.open(url, **options)
        dataset = SegmentDataset(reader, RandomWindow(3), seed=1)
        loader = SegmentLoader(dataset, SegmentSampler(dataset.reader, 4, seed=2))
        return [(batch.keys, hashlib.sha256(batch.frames.numpy().tobytes()).digest()) for batch in loader]

    direct = batches()
    cache = ShardCache(tmp_path / "cache")
    assert batches(cache=cache) == direct
    until(lambda: len(tars(cache.folder)) == len(set(fetched())) == len(used_shards(ShardReader.open(url))))
    assert batches(cache=cache) == direct
    cache.close()


@pytest.fixture
def coming(url, tmp_path):
    """A reader of which one shard is being fetched, and the path of what was written of that shard."""
    reader = ShardReader.open(url, cache=ShardCache(tmp_path / "cache"))
    part = reader.cache._folder.part(files_of(reader)[0])
    part.touch()
    return reader, part


def asked(monkeypatch):
    """Records the shards that are read from the store."""
    found, read = [], cache_module.read_spans

    def recorded(spans):
        found.extend(place for place, _, _ in spans if place.startswith("file://"))
        return read(spans)

    monkeypatch.setattr(cache_module, "read_spans", recorded)
    return found


def test_a_shard_that_grows_is_waited_for_and_not_read_from_the_store(coming, tmp_path, monkeypatch):
    reader, part = coming
    shard, file = used_shards(reader)[0], files_of(reader)[0]
    data = (tmp_path / "shards" / shard.rpartition("/")[2]).read_bytes()
    glances, begin = [], time.monotonic()

    def sleep(seconds):
        glances.append(seconds)
        with part.open("ab") as stream:
            stream.write(data[stream.tell() :][: len(data) // 4 + 1])
        if part.stat().st_size == len(data):
            part.rename(reader.cache._folder.path(file))

    clock = [begin]
    monkeypatch.setattr(cache_module.time, "sleep", sleep)
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: clock.append(clock[-1] + 0.02) or clock[-1])
    found = asked(monkeypatch)
    assert reader[0].key == ShardReader.open(f"file://{tmp_path / 'shards'}")[0].key
    assert (len(glances), found) == (4, [])


def test_a_shard_that_does_not_grow_is_read_from_the_store(coming, monkeypatch):
    reader, part = coming
    part.write_bytes(bytes(files_of(reader)[0].bytes))
    found, began = asked(monkeypatch), time.monotonic()
    reader[0]
    assert found == used_shards(reader)[:1]
    assert time.monotonic() - began < SECONDS


def test_the_least_recently_used_shards_make_room(url, tmp_path):
    known = ShardReader.open(url, cache=ShardCache(tmp_path / "cache"))
    first, second, third = files_of(known)[:3]
    size = first.bytes + second.bytes + third.bytes - 1
    urls = used_shards(known)

    def take(*numbers):
        folder = CacheFolder(tmp_path / "cache", size)
        return [folder.fetch(urls[number], files_of(known)[number]) for number in numbers]

    def run(*numbers):
        process, pipe = in_process(lambda: take(*numbers))
        result = pipe.recv()
        process.join()
        return result

    assert run(0, 1) == [True, True]
    os.utime(tmp_path / f"cache/{second.sha256}.tar", (1, 1))
    assert run(2) == [True]
    assert tars(tmp_path / "cache") == {first.sha256, third.sha256}
    assert sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.tar")) <= size


def test_a_shard_that_a_process_uses_stays(url, tmp_path):
    known = ShardReader.open(url, cache=ShardCache(tmp_path / "cache"))
    files, urls = files_of(known), used_shards(known)
    size = files[0].bytes + files[1].bytes
    mine = CacheFolder(tmp_path / "cache", size)
    assert mine.fetch(urls[0], files[0])
    os.utime(mine.path(files[0]), (1, 1))

    def take(*numbers):
        other = CacheFolder(tmp_path / "cache", size)
        return [other.fetch(urls[number], files[number]) for number in numbers]

    process, pipe = in_process(lambda: take(1, 2))
    assert pipe.recv() == [True, False]
    process.join()
    assert tars(mine.folder) == {files[0].sha256, files[1].sha256}
    small = ShardReader.open(url, cache=ShardCache(mine.folder, size=size))
    assert digest_of(small) == digest_of(ShardReader.open(url))


def test_a_killed_process_leaves_nothing_that_is_read(url, tmp_path, monkeypatch):
    cache = ShardCache(tmp_path / "cache")
    reader = ShardReader.open(url, cache=cache)
    (shard, *_), (file, *_) = used_shards(reader), files_of(reader)

    def half(self, url, file, part):
        part.write_bytes(b"x" * (file.bytes // 2))
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(CacheFolder, "_copy", half)
        process, _ = in_process(lambda: CacheFolder(cache.folder, cache.size).fetch(shard, file))
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(cache.folder.glob("*.part"))) == 1
    assert cache.find(shard) == shard
    assert digest_of(reader) == digest_of(ShardReader.open(url))
    fill(reader)
    assert not list(cache.folder.glob("*.part"))
    assert digest_of(reader) == digest_of(ShardReader.open(url))
    cache.close()


def test_a_shard_with_another_digest_is_not_kept(url, tmp_path):
    cache = ShardCache(tmp_path / "cache")
    reader = ShardReader.open(url, cache=cache)
    shard = used_shards(reader)[0]
    path = tmp_path / "shards" / shard.rpartition("/")[2]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ShardError, match=f"{shard}: its content has changed"):
        CacheFolder(tmp_path / "other", cache.size).fetch(shard, files_of(reader)[0])
    cache.fetch([shard])
    with pytest.warns(MgstWarning, match=f"read from the store: {shard}"):
        until(lambda: cache.check() or cache._filler._said)
    assert not tars(cache.folder)
    cache.close()


def test_the_process_that_fetches_ends_with_its_parent(url, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_ALERT", 0.05)

    def work():
        reader = ShardReader.open(url, cache=ShardCache(tmp_path / "cache"))
        fill(reader)
        return reader.cache._filler._process.pid

    process, pipe = in_process(work)
    child = pipe.recv()
    process.kill()
    process.join()
    until(lambda: not _runs(child))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_cache_that_cannot_be_used_is_one_clear_line(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/cache: no cache can be made here: a part of this path is a file"):
        ShardCache(tmp_path / "file" / "cache")
    with pytest.raises(UsageError, match=r"the cache of 10 bytes is smaller than the shard file:.* \(give the cache"):
        ShardReader.open(url, cache=ShardCache(tmp_path / "cache", size=10))


def test_local_shards_are_read_directly(make_folder, tmp_path):
    cache = ShardCache(tmp_path / "cache")
    reader = ShardReader.open(make_folder(), cache=cache)
    cache.fetch(reader.shards)
    assert [cache.find(shard) for shard in reader.shards] == list(reader.shards)
    assert cache._filler is None
