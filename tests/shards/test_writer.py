import errno
import hashlib
import tarfile

import pytest
from synthetic_shards import chunk_of, chunks_of, record_of, report_of, write_shard

from mgst_data.core import OutputError
from mgst_data.shards import ShardReport, ShardTask, ShardWriter, verify_shard

TASK = ShardTask("train-000000", tuple(record_of(f"v{i}") for i in range(4)))


def test_equal_input_gives_equal_bytes(tmp_path):
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, TASK)
        contents.append((tmp_path / name / "train-000000.tar").read_bytes())
    assert contents[0] == contents[1]


def test_the_report_knows_the_file_and_where_every_sample_lies(tmp_path):
    report = write_shard(tmp_path, TASK)
    data = (tmp_path / "train-000000.tar").read_bytes()
    assert ShardReport.from_json((tmp_path / "train-000000.json").read_bytes()) == report
    assert (report.files[0].bytes, report.files[0].sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(tmp_path / "train-000000.tar") as archive:
        firsts = {m.name.split(".")[0]: m.offset for m in reversed(archive.getmembers())}
    assert {sample.key: sample.offset for sample in report.samples} == firsts
    assert list(verify_shard(str(tmp_path), report)) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train-000000.json", "train-000000.tar"]


def test_what_was_written_of_a_video_is_taken_back_when_it_is_skipped(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    report = write_shard(tmp_path / "a", TASK, skip={"v1": "decode_error", "v3": "decode_error"})
    write_shard(tmp_path / "b", ShardTask(TASK.name, TASK.records[::2]))
    assert (tmp_path / "a/train-000000.tar").read_bytes() == (tmp_path / "b/train-000000.tar").read_bytes()
    assert [video.status for video in report.videos] == ["done", "skipped"] * 2
    assert list(verify_shard(str(tmp_path / "a"), report)) == []


def test_a_shard_of_skipped_videos_is_a_report_alone(tmp_path):
    (tmp_path / "train-000000.tar").write_bytes(b"of an earlier run that was interrupted")
    report = write_shard(tmp_path, TASK, skip={record.key: "no_face" for record in TASK.records})
    assert report.skips == {"no_face": 4}
    assert [p.name for p in tmp_path.iterdir()] == ["train-000000.json"]


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_interrupted_shard_leaves_nothing(tmp_path, error):
    def extract(record):
        yield from chunks_of(record)
        if record.key == "v2":
            raise error

    with pytest.raises(type(error)):
        write_shard(tmp_path, TASK, extract=extract)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_clearly(tmp_path):
    (tmp_path / "train-000000.tar.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the disk is full") as caught:
        write_shard(tmp_path, TASK)
    assert caught.value.where == str(tmp_path / "train-000000.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_with_the_report_leaves_the_shard_incomplete(tmp_path):
    (tmp_path / "train-000000.json.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the disk is full"):
        write_shard(tmp_path, TASK)
    assert not (tmp_path / "train-000000.json").exists()


@pytest.mark.parametrize(("code", "words"), [(errno.EACCES, "no permission"), (errno.EROFS, "read-only")])
def test_a_folder_that_cannot_be_written_is_said_clearly(tmp_path, monkeypatch, code, words):
    def refuse(*arguments, **more):
        raise OSError(code, "refused")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OutputError, match=words):
        write_shard(tmp_path, TASK)


@pytest.mark.parametrize(
    ("report", "complaint"),
    [
        (lambda record, chunk: report_of(record), "reports 0 chunks"),
        (lambda record, chunk: report_of(TASK.records[1], [chunk]), "another video"),
        (lambda record, chunk: None, "was not ended"),
    ],
)
def test_a_report_that_contradicts_what_was_written_is_an_error(tmp_path, report, complaint):
    def write(record, chunk):
        with ShardWriter(tmp_path, "a") as shard:
            shard.write(chunk)
            if video := report(record, chunk):
                shard.end_video(video)

    with pytest.raises(ValueError, match=complaint):
        write(TASK.records[0], chunk_of(TASK.records[0]))
    assert list(tmp_path.iterdir()) == []
