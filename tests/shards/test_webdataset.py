import io
import json
import pickle
import subprocess
import sys
import tarfile
import warnings

import fsspec
import pytest
import torch
import webdataset as wds
from synthetic_shards import chunk_of, chunks_of
from torch.utils.data import DataLoader

from mgst_data.core import ShardError, UsageError
from mgst_data.core.errors import MgstWarning
from mgst_data.core.sampling import CentreWindow, EvenlySpaced
from mgst_data.shards import (
    Draw,
    SegmentDataset,
    ShardReader,
    collate_segments,
    encode_chunk,
    warn_and_skip,
    webdataset_pipeline,
)

READ = """
import glob, json, sys
import webdataset

shards = sorted(glob.glob(sys.argv[1] + "/*.tar"))
samples = [
    {
        "key": sample["__key__"],
        "json": sample["json"],
        "landmarks": sample["landmarks.npy"].tolist(),
        "valid": sample["valid.npy"].tolist(),
        "shape": sample["004.jpg"].shape,
        "mean": float(sample["004.jpg"].mean()),
    }
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")
]
assert not any(name.startswith("mgst") for name in sys.modules)
print(json.dumps(samples))
"""


@pytest.mark.slow
def test_webdataset_reads_the_shards_without_this_package(make_folder, records):
    out = make_folder()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", READ, str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = {sample["key"]: sample for sample in json.loads(done.stdout)}
    chunks = {chunk.key: chunk for record in records for chunk in chunks_of(record)}
    assert samples.keys() == chunks.keys()
    for key, chunk in chunks.items():
        sample = samples[key]
        assert sample["json"]["label"] == chunk.record.label
        assert sample["json"]["frame_indices"] == chunk.frame_indices.tolist()
        assert sample["landmarks"] == chunk.landmarks.tolist()
        assert sample["valid"] == chunk.valid.tolist()
        assert sample["shape"] == [16, 16, 3]
        assert sample["mean"] == pytest.approx(next(chunk.frames([4])).mean())


def test_webdataset_is_imported_lazily():
    code = "import sys, mgst_data.shards; assert 'webdataset' not in sys.modules; mgst_data.shards.webdataset_pipeline"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(make_folder):
    return make_folder()


@pytest.fixture
def keys(records):
    """Keys of all chunks, sorted."""
    return sorted(chunk.key for record in records for chunk in chunks_of(record))


def keys_of(batches):
    return [key for batch in batches for key in batch.keys]


def members_of(path):
    with tarfile.open(path) as archive:
        return archive.getmembers()


def content(samples):
    return [(sample.key, sample.frame_indices.tolist()) for sample in samples]


def load(pipeline, workers, **options):
    return DataLoader(pipeline, 3, num_workers=workers, generator=torch.Generator(), **options)


class Exactly(list):
    """Chooses these frames."""

    span = 5

    def __call__(self, count, generator):
        return self


def masked(record):
    """Makes a chunk; fakes have masks."""
    return [chunk_of(record, chunk=i, masks=bool(record.label)) for i in range(2)]


@pytest.mark.parametrize("size", [None, 12, 40])
@pytest.mark.parametrize("frames", [3, CentreWindow(2, stride=2), EvenlySpaced(4)])
def test_the_pixels_are_identical_to_those_of_the_data_set(make_folder, size, frames):
    reader = ShardReader.open(out := make_folder(extract=masked))
    numbers = {chunk.key: i for i, chunk in enumerate(reader)}
    samples = list(webdataset_pipeline(out, frames=frames, size=size))
    assert sorted(sample.key for sample in samples) == sorted(numbers)
    assert {sample.mask is None for sample in samples} == {True, False}
    for sample in samples:
        positions = [int(i) % 10 for i in sample.frame_indices]
        other = SegmentDataset(reader, Exactly(positions), size=size)[Draw(numbers[sample.key], 0)]
        assert (sample.key, sample.label) == (other.key, other.label)
        for name in ("frames", "landmarks", "valid", "frame_indices"):
            assert torch.equal(getattr(sample, name), getattr(other, name))
        assert (sample.mask is None) == (other.mask is None)
        assert sample.mask is None or torch.equal(sample.mask, other.mask)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_chunk_is_read_once_by_all_processes_and_workers(folder, keys, world, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    found = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        of_rank = keys_of(load(webdataset_pipeline(folder, frames=2), workers=2))
        assert len(of_rank) < len(keys) or world == 1
        found += of_rank
    assert sorted(found) == keys


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_order_and_windows_depend_on_seed_and_epoch(folder, workers, persistent):
    def epochs(**options):
        loader = load(webdataset_pipeline(folder, frames=2, **options), workers, persistent_workers=persistent)
        return [content(sample for batch in loader for sample in batch) for _ in range(3)]

    made = epochs()
    assert made == epochs()
    assert epochs(epoch=1)[:2] == made[1:]
    for a, b in [(made[0], made[1]), (made[1], made[2]), (made[0], epochs(seed=1)[0])]:
        assert [key for key, _ in a] != [key for key, _ in b]
        assert dict(map(tuple, ((key, str(places)) for key, places in a))) != {key: str(places) for key, places in b}
        assert sorted(key for key, _ in a) == sorted(key for key, _ in b)


def test_every_iteration_is_an_epoch_and_parallel_iterations_are_independent(folder, keys):
    pipeline = webdataset_pipeline(folder, frames=2)
    first, second = content(pipeline), content(pipeline)
    whole = content(webdataset_pipeline(folder, frames=2).repeat(2))
    assert whole == first + second
    pairs = list(zip(*[webdataset_pipeline(folder, frames=2)] * 2, strict=True))
    assert content(a for a, _ in pairs) == first
    assert content(b for _, b in pairs) == second


def test_without_shuffling_chunks_are_in_the_stored_order(folder, keys):
    shards = sorted(folder.glob("*.tar"))
    stored = list(dict.fromkeys(member.name.partition(".")[0] for path in shards for member in members_of(path)))
    pipeline = webdataset_pipeline(shards, frames=2, shuffle=0)
    assert [sample.key for sample in pipeline] == [sample.key for sample in pipeline] == stored


def test_stages_of_webdataset_can_follow(folder, keys):
    pipeline = webdataset_pipeline(folder, frames=2, size=8)
    batches = list(pipeline.batched(4, collation_fn=collate_segments))
    assert batches[0].frames.shape == (4, 2, 3, 8, 8)
    assert sorted(keys_of(batches)) == keys
    loader = wds.WebLoader(pipeline, batch_size=None, num_workers=2, generator=torch.Generator())
    assert sorted(keys_of(loader.shuffle(9).batched(4, collation_fn=collate_segments))) == keys


def test_shards_can_be_folders_patterns_lists_urls_and_commands(folder, keys):
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bucket/shards", recursive=True)
    train, test = [str(path) for path in sorted(folder.glob("*.tar"), reverse=True)], f"{folder}/test-000000.tar"
    try:
        for shards in (
            folder,
            str(folder),
            f"{folder}/{{train-{{000000..000003}},test-{{000000..000001}}}}.tar",
            train,
            [f"{folder}/train-{{000000..000003}}.tar", folder / "test-000000.tar", f"file:{folder}/test-000001.tar"],
            "memory://bucket/shards",
            [f"memory://bucket/shards/{name.rsplit('/', 1)[1]}" for name in train],
            f"pipe:cat {folder}/{{train-{{000000..000003}},test-{{000000..000001}}}}.tar",
        ):
            assert sorted(sample.key for sample in webdataset_pipeline(shards, frames=2)) == keys
    finally:
        memory.rm("/bucket", recursive=True)
    assert {sample.key[0] for sample in webdataset_pipeline(test, frames=2)} == {"w"}


def test_only_matching_chunks_are_read(folder, records):
    pattern = f"{folder}/{{train-{{000000..000003}},test-{{000000..000001}}}}.tar"
    for options, chosen in [
        ({"split": "test"}, lambda r: r.split == "test"),
        ({"split": "train", "label": 0}, lambda r: r.split == "train" and not r.label),
        ({"methods": ["Deepfakes"]}, lambda r: r.label),
    ]:
        wanted = sorted(chunk.key for record in records if chosen(record) for chunk in chunks_of(record))
        for shards in (folder, pattern):
            assert sorted(sample.key for sample in webdataset_pipeline(shards, frames=2, **options)) == wanted
    # In a folder, only shards with matching chunks are opened.
    assert len(webdataset_pipeline(folder, frames=2, split="test").pipeline[0]) == 2


def test_no_matching_chunks_is_an_error(folder):
    pattern = f"{folder}/train-{{000000..000003}}.tar"
    for shards, options, answer in [
        ([], {}, "no shards to read"),
        (folder, {"split": "val"}, "no shards to read"),
        (folder, {"frames": 6}, "no chunk has 6 frames; the longest has 5"),
        (folder, {"methods": ["Deepfakse"]}, "did you mean 'Deepfakes'"),
        (folder.parent, {}, "no shards here"),
        (pattern, {"split": "tset"}, "did you mean 'test'"),
    ]:
        with pytest.raises(UsageError, match=answer):
            webdataset_pipeline(shards, **{"frames": 2, **options})
    for options, answer in [({"frames": 6}, "has 6 frames"), ({"split": "test"}, "has 2 frames and split 'test'")]:
        pipeline = webdataset_pipeline(pattern, **{"frames": 2, **options})
        with pytest.raises(UsageError, match=rf"none of \d+ chunks {answer}"):
            list(pipeline)


def test_a_worker_without_matching_chunks_warns(folder, records, monkeypatch):
    shards = [f"{folder}/train-000003.tar", f"{folder}/test-000000.tar"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    found = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found += webdataset_pipeline(shards, frames=2, split="test")
        assert [w.category for w in caught] == [MgstWarning] * (rank == "0")
    assert {sample.key[0] for sample in found} == {"w"}


def damage(path, member, at, data):
    """Overwrites bytes of a member from ``at`` on, relative to its "offset" or "offset_data"."""
    content = bytearray(path.read_bytes())
    place = getattr(member, at)
    content[place : place + len(data)] = data
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["json", "000.jpg"])
def test_a_damaged_sample_goes_to_the_handler_and_the_others_are_read(folder, keys, name):
    path = folder / "train-000001.tar"
    member = [member for member in members_of(path) if member.name.endswith(f".{name}")][1]
    damage(path, member, "offset_data", bytes(30))
    key = member.name.partition(".")[0]
    where = rf"train-000001\.tar: {key}: "
    with pytest.raises(ShardError, match=where):
        list(webdataset_pipeline(folder, frames=5))
    with pytest.warns(MgstWarning, match=where):
        found = list(webdataset_pipeline(folder, frames=5, handler=warn_and_skip))
    assert sorted(sample.key for sample in found) == [other for other in keys if other != key]
    errors = []
    stopped = list(webdataset_pipeline(folder, frames=5, shuffle=0, handler=lambda error: bool(errors.append(error))))
    assert 0 < len(stopped) < len(found)
    assert len(errors) == 1


def test_handlers_of_webdataset_work(folder, keys):
    path = folder / "train-000001.tar"
    member = members_of(path)[0]
    damage(path, member, "offset_data", bytes(30))
    with pytest.warns(UserWarning, match="ShardError"):
        found = list(webdataset_pipeline(folder, frames=2, handler=wds.warn_and_continue))
    assert len(found) == len(keys) - 1


@pytest.mark.parametrize("fault", ["damaged", "zeros", "cut", "no end", "missing"])
def test_a_damaged_shard_is_always_reported(folder, keys, fault):
    path = folder / "train-000001.tar"
    members, whole = members_of(path), path.read_bytes()
    last_key = members[-1].name.partition(".")[0]
    if fault == "missing":
        path.unlink()
    elif fault == "no end":
        path.write_bytes(whole[:-1024])
    elif fault == "cut":  # between two samples
        path.write_bytes(whole[: next(m.offset for m in members if m.name.startswith(last_key))])
    else:
        damage(path, members[-1], "offset", b"\xff" * 30 if fault == "damaged" else bytes(512))
    errors = []
    shards = f"{folder}/{{train-{{000000..000003}},test-{{000000..000001}}}}.tar"
    found = [sample.key for sample in webdataset_pipeline(shards, frames=2, handler=errors.append)]
    assert [error.where for error in errors] == [str(path)]
    assert set(found) < set(keys)
    assert len(set(found)) == len(found)


def test_no_pickle_data_is_loaded(tmp_path, records):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    chunk = next(chunks_of(records[0]))
    members = encode_chunk(chunk) | {name: pickle.dumps(Trap()) for name in ("pyd", "pkl", "pickle", "pth")}
    with tarfile.open(tmp_path / "one.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{chunk.key}.{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert [sample.key for sample in webdataset_pipeline(tmp_path / "one.tar", frames=2)] == [chunk.key]
