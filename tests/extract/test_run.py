import json

import pytest
from fakes import FakeExtractor, record_of

from mgst_data.core import ConfigMismatchError, OutputError, UsageError
from mgst_data.core.devices import choose_device
from mgst_data.datasets import Note, Scan
from mgst_data.extract import ExtractConfig, Watcher, extract, run
from mgst_data.extract.executors import EXECUTORS, SerialExecutor, choose
from mgst_data.shards import ShardFolder, ShardReader, ShardReport, VideoReport

pytestmark = pytest.mark.usefixtures("fake_extractor")


def scan_of(*keys, **about):
    return Scan(tuple(record_of(key, **about) for key in keys))


def go(scan, out, *, config=None, **options):
    options = {"executor": "serial", "device": "cpu", "videos_per_shard": 2, **options}
    return extract(scan, config or ExtractConfig(), out, **options)


def names(out):
    return sorted(path.name for path in out.glob("[!.]*"))


def tars(out):
    return {path.name: path.read_bytes() for path in out.glob("*.tar")}


class Notebook(Watcher):
    def __init__(self):
        self.tasks, self.planned, self.kept, self.events = (), 0, 0, []

    def begin(self, tasks, planned, kept):
        self.tasks, self.planned, self.kept = tasks, planned, kept

    def see(self, event):
        self.events.append(event)


def test_a_run_extracts_all_videos_once_and_the_next_run_none(tmp_path):
    first, second = Notebook(), Notebook()
    summary = go(scan_of("a", "b", "empty", "c", "noface"), tmp_path / "out", watcher=first)
    assert summary.complete
    assert (summary.shards, summary.planned, len(first.tasks), first.planned) == (3, 3, 3, 3)
    assert (summary.totals.overall.videos, summary.totals.overall.skipped) == (3, 2)
    assert [video.key for video in summary.skipped] == ["empty", "noface"]
    assert (summary.videos, summary.frames) == (5, 3 * 6 + 3)
    assert summary.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.tar"))
    assert sum(isinstance(event, VideoReport) for event in first.events) == 5
    assert len(ShardReader.open(tmp_path / "out")) == 6

    again = go(scan_of("a", "b", "empty", "c", "noface"), tmp_path / "out", watcher=second)
    assert (again.videos, again.frames, again.totals, again.skipped) == (0, 0, summary.totals, summary.skipped)
    assert (len(second.tasks), second.planned, second.events) == (0, 3, [])


def test_an_interrupted_run_keeps_complete_shards_and_resumes_to_bit_identical_ones(tmp_path, monkeypatch):
    scan = scan_of(*"abcdef")
    go(scan, tmp_path / "whole")

    class Interrupt(Notebook):
        def see(self, event):
            super().see(event)
            if len(self.events) == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(scan, tmp_path / "broken", watcher=Interrupt())
    assert len(tars(tmp_path / "broken")) == 1
    extracted, call = [], FakeExtractor.__call__
    monkeypatch.setattr(FakeExtractor, "__call__", lambda self, record: extracted.append(record) or call(self, record))
    notebook = Notebook()
    assert go(scan, tmp_path / "broken", watcher=notebook).videos == len(extracted) == 3
    assert (sum(map(len, notebook.tasks)), notebook.kept) == (4, 1)
    assert sum(isinstance(event, VideoReport) for event in notebook.events) == 3
    assert tars(tmp_path / "broken") == tars(tmp_path / "whole")
    assert names(tmp_path / "broken") == names(tmp_path / "whole")


def test_a_full_disk_ends_the_run_and_finished_videos_are_kept(tmp_path, monkeypatch):
    scan = scan_of("a", "b", "c", "full", "d", "e")
    first, second = Notebook(), Notebook()
    with pytest.raises(OutputError, match="disk is full"):
        go(scan, tmp_path, videos_per_shard=4, watcher=first)
    done = sum(isinstance(event, VideoReport) for event in first.events)
    assert done
    with pytest.raises(OutputError, match="disk is full"):
        go(scan, tmp_path, watcher=second)
    assert (second.kept, second.events) == (done, [])


def test_skipped_videos_are_tried_again_on_request(tmp_path, monkeypatch):
    scan = scan_of("a", "empty", "noface")
    go(scan, tmp_path)
    summary = go(scan, tmp_path, retry="no_face")
    assert (summary.videos, summary.planned) == (1, 3)
    assert go(scan, tmp_path, retry="all").videos == 2
    with pytest.raises(UsageError, match="reasons here: empty_file, no_face"):
        go(scan, tmp_path, retry="nope")


def test_another_config_is_an_error_that_names_the_difference(tmp_path):
    go(scan_of("a"), tmp_path)
    with pytest.raises(ConfigMismatchError, match=r"extract\.size: 320 -> 256"):
        go(scan_of("a"), tmp_path, config=ExtractConfig(size=256))


def test_another_split_of_a_video_is_an_error(tmp_path):
    go(scan_of("a", "b", split="train"), tmp_path)
    with pytest.raises(UsageError, match=r"videos/a\.mp4: is now in the split 'test', but in 'train'"):
        go(scan_of("a", "b", split="test"), tmp_path)


def test_notes_of_the_scan_are_stored_with_the_shards(tmp_path):
    scan = Scan((record_of("a"),), (Note("x.mp4", "listed, but not there", "missing_video"),))
    go(scan, tmp_path)
    stored = json.loads((tmp_path / "notes.json").read_text())
    note = {"where": "x.mp4", "what": "listed, but not there", "reason": "missing_video"}
    assert stored == {"notes": [note], "videos": []}


def test_videos_kept_with_a_note_are_in_the_summary_and_stored_with_the_shards(tmp_path):
    class Interrupt(Watcher):
        def see(self, event):
            if isinstance(event, ShardReport):
                raise KeyboardInterrupt

    scan, notes = scan_of("a", "cut", "cut_b", "noface"), tmp_path / "notes.json"
    with pytest.raises(KeyboardInterrupt):
        go(scan, tmp_path, watcher=Interrupt(), videos_per_shard=3)
    complete = next(ShardFolder.read(tmp_path).reports())
    expected = [{"video": v.video, "reason": r, "text": text} for v in complete.videos for r, text in v.notes]
    assert json.loads(notes.read_text())["videos"] == sorted(expected, key=lambda note: note["video"])
    summary = go(scan, tmp_path)
    assert [video.key for video in summary.noted] == ["cut", "cut_b"]
    assert [video["key"] for video in summary.as_dict()["noted"]] == ["cut", "cut_b"]
    assert json.loads(notes.read_text())["videos"] == [
        {"video": f"videos/{key}.mp4", "reason": "truncated", "text": f"videos/{key}.mp4: damaged"}
        for key in ("cut", "cut_b")
    ]


def test_invalid_options_are_an_error_before_any_file_is_written(tmp_path, monkeypatch):
    def no_model(config):
        raise UsageError("no such landmark file", where=config.landmark_model)

    monkeypatch.setattr(run, "Extractor", no_model)
    for options, message in (
        ({"executor": "proces"}, "did you mean 'process'"),
        ({"workers": 3}, "workers must be 1 for the executor 'serial', got 3"),
        ({"gpus_per_worker": 0.5}, "--gpus-per-worker: the executor 'serial' has no option 'gpus_per_worker'"),
        ({"gpus_per_worker": 0.5, "executor": "ray"}, "--gpus-per-worker: no GPU is used"),
        ({"config": ExtractConfig(landmark_model="typo.dat")}, "typo.dat: no such landmark file"),
    ):
        with pytest.raises(UsageError, match=message):
            go(scan_of("a"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_an_executor_without_a_limit_says_so(tmp_path, monkeypatch):
    def limitless(*, workers=None):
        return SerialExecutor(workers=workers)

    monkeypatch.setitem(EXECUTORS._own, "limitless", limitless)
    with pytest.raises(
        UsageError, match=r"^--video-timeout: the executor 'limitless' has no option 'video_timeout' \("
    ):
        go(scan_of("a"), tmp_path / "out", executor="limitless", video_timeout=5.0)
    assert go(scan_of("a"), tmp_path / "out", executor="limitless").complete


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="no CUDA device"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert (choose_device("auto"), choose_device("cuda"), choose_device("cpu")) == ("cuda", "cuda", "cpu")


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (("auto", None), ("cpu", 0)),
        (("cuda", None), ("cuda", 1)),
        (("auto", 0.25), ("cuda", 0.25)),
        (("cpu", None), ("cpu", 0)),
    ],
)
def test_on_other_machines_the_device_does_not_depend_on_this_one(monkeypatch, asked, chosen):
    for here in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=here: there)
        assert choose._device(*asked, reserved=True) == chosen
