"""``mgst-predict --executor``: workers print and write what a serial run does; lost inputs are reported."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import test_predict
from face_videos import empty_rooms, encode, faces
from mgst_cli.common.inputs import Input
from mgst_cli.common.spread import Spread
from mgst_cli.predict import workers
from mgst_cli.predict.one import Job
from mgst_cli.predict.workers import Network, ScoreTask, ScoreWork

from mgst_data.core import NoFaceError
from mgst_data.extract.executors import Loss, Outcome, ProcessExecutor

mgst_predict = test_predict.mgst_predict
_models_are_loaded_once = test_predict._models_are_loaded_once


@pytest.fixture(autouse=True)
def _no_network_of_another_test():
    workers._loaded.cache_clear()
    yield
    workers._loaded.cache_clear()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two faces, an empty room and a file that is no video."""
    folder = tmp_path_factory.mktemp("inputs") / "clips"
    folder.mkdir()
    encode(folder / "a.mp4", faces(9))
    encode(folder / "b.mp4", empty_rooms(9))
    (folder / "c.mp4").write_text("not a video\n" * 50)
    encode(folder / "d.mp4", faces(10, (0, 20)))
    return folder


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("more", [("--no-video",), ("--json", "--no-report", "--no-video")], ids=["tables", "json"])
def test_workers_print_and_write_what_a_serial_run_does_in_any_order(mgst_predict, backwards, clips, tmp_path, more):
    out = tmp_path / "out"
    arguments = (clips, tmp_path / "gone.mp4", "--out", out, *more)
    serial = mgst_predict(*arguments)
    written = files(out)
    assert (serial.exit_code, len(written) > 2) == (1, True)
    out.rename(tmp_path / "before")
    spread = mgst_predict(*arguments, "--executor", "backwards")
    assert (spread.exit_code, spread.stdout, spread.stderr) == (serial.exit_code, serial.stdout, serial.stderr)
    assert files(out) == written


def test_an_input_that_ends_its_workers_is_reported_and_the_others_are_complete(
    mgst_predict, backwards, clips, tmp_path, monkeypatch
):
    monkeypatch.setattr(backwards, "lost", {"000001": Loss("worker_died", "the worker process died, 2 times")})
    result = mgst_predict(clips / "a.mp4", clips / "d.mp4", "--executor", "backwards", "--json", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {clips}/d.mp4: the worker process died, 2 times (it crashes the decoder")
    good, bad = json.loads(result.stdout)["videos"]
    assert (bad["reason"], "score" in good) == ("worker_died", True)
    assert not (tmp_path / "d-scores").exists()


class StuckDetector:
    """Finds no face, and never finishes an input whose name begins with "stuck"."""

    device = "cpu"

    def predict(self, path, *, saw):
        if Path(path).name.startswith("stuck"):
            time.sleep(1000)
        raise NoFaceError("no face", where=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckNetwork(Network):
    def load(self):
        return StuckDetector()


def work_of(folder):
    options = {"runtime": "torch", "device": "cpu", "precision": "fp32", "stride": None, "batch": None}
    network = StuckNetwork(weights=None, explain=False, **options)
    return ScoreWork(network=network, threads=1, out="", written={"debug": False}, folder=folder)


def test_an_input_beyond_the_time_limit_is_reported_and_the_others_are_scored(tmp_path):
    names = ("a", "stuck", "b")
    jobs = tuple(Job(name, Input(f"{name}.mp4"), Path(f"{name}-scores"), 0.5) for name in names)
    executor = ProcessExecutor(workers=1, video_timeout=1.0)
    events = list(executor.map(work_of(tmp_path), [ScoreTask("a", jobs)]))
    outcomes = {event.key: event.value.about for event in events if isinstance(event, Outcome)}
    assert {key: about["reason"] for key, about in outcomes.items()} == {
        "a": "no_face",
        "stuck": "timeout",
        "b": "no_face",
    }
    assert (
        "stuck.mp4: took longer than 1 seconds (check the file, or give --video-timeout" in outcomes["stuck"]["error"]
    )
    assert len([event for event in events if isinstance(event, Outcome)]) == 3
    assert not list(tmp_path.iterdir()), "an ended worker leaves no lock and no unfinished file"


def test_a_machine_without_the_folder_of_the_command_says_so(tmp_path):
    work = work_of(tmp_path / "gone")
    task = ScoreTask("a", (Job("a", Input("a.mp4"), Path("a-scores"), 0.5),))
    with pytest.raises(workers.MgstError, match=r"does not have the folder .*give a URL as --out"):
        list(work(task, {}))
    assert list(replace(work, out="memory://scores")(task, {}))


def test_results_on_the_disk_of_another_machine_are_an_error(mgst_predict, backwards, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_WAIT", 0.0)
    monkeypatch.setattr(workers.OutputFolder, "name", lambda *_: "/elsewhere/scores.json")
    result = mgst_predict(clips / "a.mp4", "--executor", "backwards", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: /elsewhere/scores.json: a worker has written this file, but it is not here")


def test_a_worker_that_starts_for_each_task_gets_several_inputs():
    assert Spread("process").size(200, "cuda") == Spread("ray").size(200, "cpu") == 1
    assert Spread("ray").size(200, "cuda") == Spread("ray", video_timeout=60.0).size(200, "cpu") == 6
    assert Spread("ray").size(3, "cuda") == 1
    assert Spread("ray").size(10**6, "cuda") == 16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--executor", "proces"), "did you mean 'process'"),
        (("--workers", "2"), "workers must be 1 for the executor 'serial', got 2"),
        (("--executor", "process", "--gpus-per-worker", "0.5"), "--gpus-per-worker: the executor 'process' has no"),
        (("--video-timeout", "0"), "video_timeout must be a positive number of seconds"),
    ],
)
def test_options_of_workers_are_checked_in_one_line(mgst_predict, clips, tmp_path, options, words):
    result = mgst_predict(clips / "a.mp4", "--out", tmp_path, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
