import json
import multiprocessing
import os
import signal

import pytest
from synthetic_shards import CONFIG, chunks_of, record_of, report_of, write_shard

from mgst_data.core import ConfigMismatchError, MgstError, OutputError, ShardError, UsageError
from mgst_data.shards import ShardFolder, ShardReport, open_folder, plan_shards, summarise
from mgst_data.shards.report import ShardFile


def tars(out):
    return {path.name: path.read_bytes() for path in out.glob("*.tar")}


def names(out):
    return sorted(path.name for path in out.glob("[!.]*"))


def run(out, records, *, config=CONFIG, retry="", **options):
    """Runs the whole job once; returns the names of the new shards."""
    with open_folder(out, config, records, videos_per_shard=3, retry=retry) as folder:
        tasks = folder.missing(records)
        for task in tasks:
            write_shard(out, task, **options)
        folder.finish()
    return [task.name for task in tasks]


def test_a_new_folder_plans_all_videos_and_stores_totals(tmp_path, records):
    out = tmp_path / "deep" / "shards"
    assert run(out, records) == [task.name for task in plan_shards(records, videos_per_shard=3)]
    state = json.loads((out / "dataset.json").read_text())
    assert state["config"] == CONFIG
    assert state["totals"]["overall"]["videos"] == 15
    assert state["totals"] == summarise(ShardFolder.read(out).reports()).as_dict()
    assert run(out, records) == []
    assert json.loads((out / "dataset.json").read_text()) == state


def test_an_interrupted_run_resumes_to_bit_identical_shards(tmp_path, records, make_folder):
    whole = make_folder("whole")
    out = tmp_path / "broken"

    def extract(record):
        chunks = list(chunks_of(record))
        yield chunks[0]
        if record.key == stop:
            raise RuntimeError("stop")
        yield from chunks[1:]

    tasks = plan_shards(records, videos_per_shard=3)
    stop = tasks[1].records[2].key
    with pytest.raises(RuntimeError, match="stop"):
        run(out, records, extract=extract)
    done = {path.stem for path in out.glob("train*.json")}
    assert done == {tasks[0].name}
    assert "totals" not in json.loads((out / "dataset.json").read_text())
    assert [video.key for video in ShardFolder.read(out).kept()] == [record.key for record in tasks[1].records[:2]]
    for name in (f"{tasks[0].name}.progress", f"{tasks[-1].name}.tar.part", f"{tasks[-1].name}.json.part"):
        (out / name).write_bytes(b"left by a killed process")

    assert set(run(out, list(reversed(records)))) == {task.name for task in tasks} - done
    assert tars(out) == tars(whole)
    assert json.loads((out / "dataset.json").read_text()) == json.loads((whole / "dataset.json").read_text())
    assert names(out) == names(whole)
    assert list(ShardFolder.read(out).kept()) == []


def test_partial_files_are_deleted_and_finished_videos_are_kept(tmp_path, records):
    out = tmp_path / "shards"
    with open_folder(out, CONFIG, records, videos_per_shard=3) as folder:
        complete, begun, *_ = folder.missing(records)
        write_shard(out, complete)
        of = {begun.records[0].key: list(chunks_of(begun.records[0]))}
        with pytest.raises(KeyError):  # the mock has no chunks for the second video
            write_shard(out, begun, extract=lambda record: of[record.key])
        before = names(out)
        left = [
            f"{complete.name}.tar.part",
            f"{complete.name}.progress",
            f"{begun.name}.json.part",
            "dataset.json.part",
        ]
        left += [f"{folder.missing(records)[-1].name}.{kind}" for kind in ("tar.part", "progress", "progress.part")]
        for name in (*left, "mine.tar.part"):
            (out / name).write_bytes(b"")
        # The process ended after it wrote the report of a complete shard, and before it deleted the progress file.
        line = ShardReport(complete.name, (report_of(complete.records[0]),), (), (ShardFile("part", 0, ""),))
        (out / f"{complete.name}.progress").write_bytes(line.to_json(indent=None))
    assert names(out) == sorted([*before, "mine.tar.part"])
    assert [video.key for video in ShardFolder.read(out).kept()] == [begun.records[0].key]
    os.truncate(out / f"{begun.name}.tar.part", 1)
    assert list(ShardFolder.read(out).kept()) == []


def test_a_missing_or_truncated_shard_is_made_again(make_folder, records):
    out = make_folder()
    whole = tars(out)
    (out / "train-000000.tar").unlink()
    (out / "train-000001.tar").write_bytes(whole["train-000001.tar"][:-1])
    assert run(out, records) == ["train-000000", "train-000001"]
    assert tars(out) == whole


def test_another_config_is_an_error_that_lists_every_difference(make_folder, records):
    out = make_folder()
    config = {"frames": 32, "crop": {"size": 16}, "quality": 95}
    with pytest.raises(ConfigMismatchError) as caught:
        run(out, records, config=config)
    line = str(caught.value)
    assert "crop.margin: 0.3 -> unset; frames: 5 -> 32; quality: unset -> 95" in line
    assert "crop.size" not in line


def test_an_option_that_was_added_later_has_its_earlier_value(tmp_path, records):
    run(tmp_path / "old", records, config={"extract": {"size": 16}})
    assert run(tmp_path / "old", records, config={"extract": {"size": 16, "damaged": "keep"}}) == []
    with pytest.raises(ConfigMismatchError, match=r'extract\.damaged: "keep" -> "drop" \('):
        run(tmp_path / "old", records, config={"extract": {"size": 16, "damaged": "drop"}})
    with pytest.raises(ConfigMismatchError, match=r"extract\.other: unset -> 1 \("):
        run(tmp_path / "old", records, config={"extract": {"size": 16, "damaged": "keep", "other": 1}})
    run(tmp_path / "new", records, config={"extract": {"damaged": "drop"}})
    assert run(tmp_path / "new", records, config={"extract": {"damaged": "drop"}}) == []


def test_new_videos_are_appended_and_old_shards_do_not_change(make_folder, records):
    out = make_folder()
    before = tars(out)
    new = [*records, record_of("x0"), record_of("x1", split="val")]
    assert run(out, new) == ["train-000004", "val-000000"]
    assert {name: data for name, data in tars(out).items() if name in before} == before
    # A video that no longer exists in the source is an error only if it is not yet extracted.
    assert run(out, new[1:]) == []


def test_a_missing_planned_video_is_named(tmp_path, records):
    out = tmp_path / "shards"
    with open_folder(out, CONFIG, records):
        pass
    with (
        pytest.raises(UsageError, match=r"not among those given: v00 \(.*choose the same videos"),
        open_folder(out, CONFIG, records[1:]) as folder,
    ):
        folder.missing(records[1:])


def test_skipped_videos_are_tried_again_on_request_and_their_latest_status_counts(tmp_path, records):
    out = tmp_path / "shards"
    run(out, records, skip={"v01": "no_face", "v05": "no_face", "w02": "decode_error"})
    before = tars(out)
    assert run(out, records) == []

    assert run(out, records, retry="no_face", skip={"v05": "no_face"}) == ["train-000004"]
    totals = ShardFolder.read(out).finish()
    assert {reason: len(videos) for reason, videos in totals.skips.items()} == {"no_face": 1, "decode_error": 1}
    assert totals.overall.videos == 13

    assert run(out, records, retry="all") == ["train-000005", "test-000002"]
    totals = ShardFolder.read(out).finish()
    assert (totals.overall.videos, totals.overall.skipped, totals.skips) == (15, 0, {})
    assert {name: data for name, data in tars(out).items() if name in before} == before
    # No video is left to try again. The same command does nothing, and an unknown reason is an error.
    assert run(out, records, retry="no_face") == run(out, records, retry="all") == []
    with pytest.raises(UsageError, match=r"'nofaces'.*reasons here: decode_error, no_face"):
        run(out, records, retry="nofaces")


def test_an_interrupted_retry_is_not_planned_twice(tmp_path, records):
    out = tmp_path / "shards"
    run(out, records, skip={"v01": "no_face"})
    with open_folder(out, CONFIG, records, retry="no_face"):
        pass
    assert run(out, records, retry="no_face") == ["train-000004"]


def test_a_folder_with_other_files_is_not_changed(tmp_path, records):
    (tmp_path / "holiday.tar.part").write_bytes(b"precious")
    with pytest.raises(UsageError, match="not empty"):
        run(tmp_path, records)
    assert (tmp_path / "holiday.tar.part").read_bytes() == b"precious"
    with pytest.raises(UsageError, match="no shards here"):
        ShardFolder.read(tmp_path)


def test_a_path_that_cannot_be_a_folder_is_an_output_error(tmp_path, records):
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="file"):
            run(out, records)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}', '{"schema": 1, "shards": [1], "config": {}}'])
def test_a_malformed_state_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ShardError, match=r"dataset\.json"):
        ShardFolder.read(tmp_path)


def hold(out, records, ready, die, end):
    with open_folder(out, CONFIG, records, videos_per_shard=3):
        multiprocessing.get_context("fork").Process(target=end.wait, args=(60,)).start()  # outlives this process
        ready.set()
        die.wait()


def test_two_runs_cannot_write_one_folder_and_a_killed_run_releases_its_lock(tmp_path, records):
    out = tmp_path / "shards"
    context = multiprocessing.get_context("fork")
    ready, die, end = context.Event(), context.Event(), context.Event()
    other = context.Process(target=hold, args=(out, records, ready, die, end))
    other.start()
    assert ready.wait(30)
    with pytest.raises(MgstError, match=f"in use by another run .process {other.pid} on") as caught:
        run(out, records)
    assert caught.value.reason == "locked"
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    assert len(run(out, records)) == 6
    end.set()
