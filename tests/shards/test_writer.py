import dataclasses
import errno
import hashlib
import json
import os
import resource
import tarfile

import pytest
from synthetic_shards import chunk_of, chunks_of, record_of, report_of, write_shard

from mgst_data.core import OutputError
from mgst_data.shards import ShardReport, ShardTask, ShardWriter, verify_shard

TASK = ShardTask("train-000000", tuple(record_of(f"v{i}") for i in range(4)))


def test_equal_input_gives_bit_identical_shards(tmp_path):
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, TASK)
        contents.append((tmp_path / name / "train-000000.tar").read_bytes())
    assert contents[0] == contents[1]


def test_the_report_lists_the_file_and_the_position_of_every_sample(tmp_path):
    report = write_shard(tmp_path, TASK)
    data = (tmp_path / "train-000000.tar").read_bytes()
    assert ShardReport.from_json((tmp_path / "train-000000.json").read_bytes()) == report
    assert (report.files[0].bytes, report.files[0].sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(tmp_path / "train-000000.tar") as archive:
        firsts = {m.name.split(".")[0]: m.offset for m in reversed(archive.getmembers())}
    assert {sample.key: sample.offset for sample in report.samples} == firsts
    assert list(verify_shard(str(tmp_path), report)) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train-000000.json", "train-000000.tar"]


def test_the_chunks_of_a_skipped_video_are_removed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    report = write_shard(tmp_path / "a", TASK, skip={"v1": "decode_error", "v3": "decode_error"})
    write_shard(tmp_path / "b", ShardTask(TASK.name, TASK.records[::2]))
    assert (tmp_path / "a/train-000000.tar").read_bytes() == (tmp_path / "b/train-000000.tar").read_bytes()
    assert [video.status for video in report.videos] == ["done", "skipped"] * 2
    assert list(verify_shard(str(tmp_path / "a"), report)) == []


def test_a_shard_of_skipped_videos_has_only_a_report(tmp_path):
    (tmp_path / "train-000000.tar").write_bytes(b"of an earlier run that was interrupted")
    report = write_shard(tmp_path, TASK, skip={record.key: "no_face" for record in TASK.records})
    assert report.skips == {"no_face": 4}
    assert [p.name for p in tmp_path.iterdir()] == ["train-000000.json"]


def interrupt(folder, key, error=KeyboardInterrupt, **options):
    """Writes a shard until it is interrupted while its video ``key`` is being written."""

    def extract(record):
        yield from chunks_of(record)
        if record.key == key:
            raise error

    with pytest.raises(error):
        write_shard(folder, TASK, extract=extract, **options)


def go_on(folder, **options):
    """Writes the rest of the shard; returns the extracted videos and the report of the shard."""
    extracted = []

    def extract(record):
        extracted.append(record.key)
        return chunks_of(record)

    report = write_shard(folder, TASK, extract=extract, **options)
    return extracted, report


@pytest.fixture
def whole(tmp_path):
    """Bytes, and report without times, of the same shard written without interruption."""
    (tmp_path / "whole").mkdir()
    report = write_shard(tmp_path / "whole", TASK)
    return (tmp_path / "whole/train-000000.tar").read_bytes(), dataclasses.replace(report, seconds=0)


@pytest.fixture
def out(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_shard_keeps_finished_videos_and_resumes_to_a_bit_identical_shard(out, whole, error):
    interrupt(out, "v1", error)
    assert names(out) == ["train-000000.progress", "train-000000.tar.part"]
    interrupt(out, "v2", error)
    extracted, report = go_on(out)
    assert extracted == ["v2", "v3"]
    assert ((out / "train-000000.tar").read_bytes(), dataclasses.replace(report, seconds=0)) == whole
    assert names(out) == ["train-000000.json", "train-000000.tar"]


def test_a_shard_interrupted_in_its_first_video_leaves_no_files(out):
    interrupt(out, "v0")
    assert names(out) == []


def test_a_skipped_video_counts_as_finished(out):
    skip = {"v0": "no_face"}
    interrupt(out, "v2", skip=skip)
    extracted, report = go_on(out)
    assert extracted == ["v2", "v3"]
    assert [video.reason for video in report.videos] == ["no_face", "", "", ""]
    (out / "other").mkdir()
    assert write_shard(out / "other", TASK, skip=skip).files == report.files


def test_the_time_of_a_shard_is_the_sum_over_its_finished_videos(out, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def extract(record):
        now[0] += 5
        yield from chunks_of(record)
        if record.key == "v2" and now[0] == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(out, TASK, extract=extract)
    assert write_shard(out, TASK, extract=extract).seconds == 4 * 5


def test_finished_videos_are_synchronised_to_the_disk_every_few_seconds(out, monkeypatch):
    now, synced = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("os.fsync", lambda _: synced.append(now[0]))

    def extract(record):
        now[0] += 3
        return chunks_of(record)

    write_shard(out, TASK, extract=extract)
    assert synced[:2] == [6, 6]  # the tar file and the progress file
    assert set(synced[2:]) == {12}


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "bytes behind the last video": (lambda part, log, ends: part.write_bytes(part.read_bytes() + b"x" * 999), 3),
    "the last bytes are lost": (lambda part, log, ends: os.truncate(part, ends[2] - 1), 2),
    "a byte of the first video is lost": (lambda part, log, ends: flip(part, ends[0] - 1), 0),
    "a byte of the second video is lost": (lambda part, log, ends: flip(part, ends[1] - 1), 1),
    "the last line is cut off": (lambda part, log, ends: os.truncate(log, log.stat().st_size - 9), 2),
    "a line is no report": (lambda part, log, ends: log.write_bytes(b"null\n"), 0),
    "the tar is gone": (lambda part, log, ends: part.unlink(), 0),
    "the progress is gone": (lambda part, log, ends: log.unlink(), 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_only_finished_videos_with_a_matching_digest_are_kept(out, whole, damage):
    interrupt(out, "v3")
    change, kept = DAMAGES[damage]
    part, log = out / "train-000000.tar.part", out / "train-000000.progress"
    change(part, log, [json.loads(line)["files"][0]["bytes"] for line in log.read_bytes().splitlines()])
    extracted, report = go_on(out)
    assert extracted == ["v0", "v1", "v2", "v3"][kept:]
    assert ((out / "train-000000.tar").read_bytes(), dataclasses.replace(report, seconds=0)) == whole


@pytest.mark.parametrize("videos", [["v1", "v0", "v2", "v3"], ["other"], []])
def test_a_shard_with_other_videos_is_not_resumed(out, videos):
    interrupt(out, "v3")
    with ShardWriter(out, TASK.name, videos) as shard:
        assert shard.kept == ()
    assert shard.report.samples == ()
    assert names(out) == ["train-000000.json"]


def test_a_shard_is_written_by_one_process_at_a_time(out):
    with ShardWriter(out, "a"):
        with pytest.raises(OutputError, match=r"a\.tar\.part: a process of an earlier run still writes") as caught:
            write_shard(out, ShardTask("a", TASK.records))
        assert caught.value.reason == "locked"
    write_shard(out, ShardTask("a", TASK.records))


def test_a_shard_on_a_full_disk_keeps_its_finished_videos(out, whole):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    _, report = whole
    second = next(sample.offset for sample in report.samples if sample.key.startswith("v2"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (second + 1000, hard))
    try:
        with pytest.raises(OutputError, match=r"too large .*raise the limit"):
            write_shard(out, TASK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (out / "train-000000.tar.part").stat().st_size == second  # lost data takes no space
    assert go_on(out)[0] == ["v2", "v3"]
    assert (out / "train-000000.tar").read_bytes() == whole[0]


def test_a_full_disk_is_a_clear_error(tmp_path):
    (tmp_path / "train-000000.tar.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the disk is full") as caught:
        write_shard(tmp_path, TASK)
    assert caught.value.where == str(tmp_path / "train-000000.tar.part")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_during_the_report_leaves_the_shard_incomplete(tmp_path):
    (tmp_path / "train-000000.json.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the disk is full"):
        write_shard(tmp_path, TASK)
    assert not (tmp_path / "train-000000.json").exists()
    (tmp_path / "train-000000.json.part").unlink(missing_ok=True)
    assert go_on(tmp_path)[0] == []
    assert names(tmp_path) == ["train-000000.json", "train-000000.tar"]


@pytest.mark.parametrize(("code", "words"), [(errno.EACCES, "no permission"), (errno.EROFS, "read-only")])
def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch, code, words):
    def refuse(*arguments, **more):
        raise OSError(code, "refused")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OutputError, match=words):
        write_shard(tmp_path, TASK)


@pytest.mark.parametrize(
    ("report", "complaint"),
    [
        (lambda record, chunk: report_of(record), "the report has 0 chunks"),
        (lambda record, chunk: report_of(TASK.records[1], [chunk]), "another video"),
        (lambda record, chunk: None, "was not called for the video"),
    ],
)
def test_a_report_that_contradicts_the_written_chunks_is_an_error(tmp_path, report, complaint):
    def write(record, chunk):
        with ShardWriter(tmp_path, "a") as shard:
            shard.write(chunk)
            if video := report(record, chunk):
                shard.end_video(video)

    with pytest.raises(ValueError, match=complaint):
        write(TASK.records[0], chunk_of(TASK.records[0]))
    assert list(tmp_path.iterdir()) == []
