import dataclasses

import fsspec
import numpy as np
import pytest
from synthetic_shards import CONFIG, chunks_of, write_shard

from mgst_data.core import ShardError, UsageError
from mgst_data.shards import ShardFolder, ShardReader, encode_chunk, open_folder, verify_shard


def stored(record):
    return [encode_chunk(chunk) for chunk in chunks_of(dataclasses.replace(record, path=""))]


def test_all_chunks_are_read_sorted_by_video_track_and_chunk(make_folder, records):
    reader = ShardReader.open(make_folder())
    expected = {record.key: stored(record) for record in records}
    assert len(reader) == sum(map(len, expected.values()))
    assert [encode_chunk(chunk) for chunk in reader] == [sample for key in reader.videos for sample in expected[key]]
    assert reader.label.tolist() == [chunk.record.label for chunk in reader]


def test_chunks_are_filtered_by_split_label_and_method(make_folder, records):
    out = make_folder(skip={"v04": "no_face"})
    for options, chosen in [
        ({"split": "test"}, lambda r: r.split == "test"),
        ({"split": "train", "label": 0}, lambda r: r.split == "train" and not r.label),
        ({"methods": ["Deepfakes"]}, lambda r: r.label and r.key != "v04"),
        ({"split": "val"}, lambda r: False),
    ]:
        reader = ShardReader.open(out, **options)
        assert set(reader.videos) == {r.key for r in records if chosen(r)}
        assert reader.location == str(out)


def test_an_unknown_method_or_split_is_an_error_that_lists_the_known_ones(make_folder):
    out = make_folder()
    for options, answer in [
        ({"methods": ["real", "Deepfakse"]}, "unknown method 'Deepfakse' (did you mean 'Deepfakes'?)"),
        ({"methods": ["x"]}, "unknown method 'x'; known: Deepfakes, real"),
        ({"split": "tset"}, "unknown split 'tset' (did you mean 'test'?)"),
    ]:
        with pytest.raises(UsageError) as caught:
            ShardReader.open(out, **options)
        assert str(caught.value) == f"{out}: {answer}"


def test_urls_and_paths_give_the_same_chunks(make_folder):
    out = make_folder()
    memory = fsspec.filesystem("memory")
    memory.put(str(out), "/bucket/shards", recursive=True)
    local, remote = ShardReader.open(out), ShardReader.open("memory://bucket/shards")
    assert remote.digest == local.digest
    assert [encode_chunk(chunk) for chunk in remote] == [encode_chunk(chunk) for chunk in local]
    report = next(ShardFolder.read("memory://bucket/shards").reports())
    assert list(verify_shard("memory://bucket/shards", report)) == []
    memory.rm("/bucket", recursive=True)
    with pytest.raises(ShardError, match=r"memory://bucket/shards/.*\.tar"):
        remote[0]


def test_an_incomplete_folder_is_an_error(tmp_path, records):
    out = tmp_path / "shards"
    with open_folder(out, CONFIG, records, videos_per_shard=3) as folder:
        write_shard(out, folder.missing(records)[0])
    with pytest.raises(UsageError, match="5 of 6 shards are not complete"):
        ShardReader.open(out)


@pytest.fixture
def damaged(make_folder):
    """Damages the second sample of the first shard; returns the folder, the reader opened before, and the report."""

    def damage(change):
        out = make_folder()
        reader = ShardReader.open(out)
        report = next(ShardFolder.read(out).reports())
        path = out / f"{report.name}.tar"
        data = bytearray(path.read_bytes())
        change(data, report.samples[1])
        path.write_bytes(data)
        return reader, report, str(out)

    return damage


def lose_header(data, sample):
    data[sample.offset : sample.offset + 512] = bytes(512)


def lose_end(data, sample):
    del data[sample.offset + 600 :]


def spoil_pictures(data, sample):
    end = sample.offset + sample.size
    at = data.index(b".jpg", sample.offset, end)
    data[at + 400 : end] = data[at + 400 : end].replace(b"\xff\xd8\xff\xe0", bytes(4))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [(lose_header, "damaged tar header"), (lose_end, "ends before byte"), (spoil_pictures, "is damaged")],
)
def test_damage_is_an_error_that_names_the_file(damaged, change, complaint):
    reader, report, out = damaged(change)
    index = reader.offset.tolist().index(report.samples[1].offset)
    with pytest.raises(ShardError, match=complaint):
        np.stack(list(reader[index].frames()))
    problems = list(verify_shard(out, report))
    assert any(complaint in problem for problem in problems)
    assert all(f"{report.name}.tar" in problem for problem in problems)


def test_verification_compares_samples_with_the_report(make_folder):
    out = str(make_folder())
    report = next(ShardFolder.read(out).reports())
    videos = [dataclasses.replace(video, method="FaceSwap") for video in report.videos]
    videos[0] = dataclasses.replace(videos[0], chunks=videos[0].chunks + 1)
    span = dataclasses.replace(report.samples[0], frames=4)
    twice = dataclasses.replace(report, videos=tuple(videos), samples=(span, *report.samples))
    problems = "\n".join(verify_shard(out, twice))
    assert f"2 samples have the name {span.key}" in problems
    assert "5 frames, but 4 in the report" in problems
    assert "but 'FaceSwap' in the report" in problems
    assert f"chunks of {videos[0].key}, but {videos[0].chunks} in the report" not in problems
    assert list(verify_shard(out, report)) == []
