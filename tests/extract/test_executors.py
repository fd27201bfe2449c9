import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import BlockWork, DeadOnArrival, FakeWork, task_of

from mgst_data.core import MgstError, OutputError, UsageError
from mgst_data.extract.executors import EXECUTORS, ProcessExecutor, SerialExecutor
from mgst_data.processes import available_cores
from mgst_data.shards import ShardReport, ShardTask, ShardWriter, VideoReport

TASKS = [task_of("train-000000", "a", "b"), task_of("train-000001", "c"), task_of("test-000000", "d", "e", "f")]


def videos(events):
    return [event.key for event in events if isinstance(event, VideoReport)]


def shards(events):
    return {event.name: event for event in events if isinstance(event, ShardReport)}


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(workers=2)], ids=["serial", "process"])
def test_every_video_is_reported_once_and_before_its_shard(tmp_path, executor):
    events = list(executor.map(FakeWork(tmp_path), TASKS))
    assert sorted(videos(events)) == list("abcdef")
    for task in TASKS:
        own = [record.key for record in task.records]
        at = [i for i, event in enumerate(events) if isinstance(event, VideoReport) and event.key in own]
        assert [events[i].key for i in at] == own
        assert events.index(shards(events)[task.name]) > max(at)
    assert not multiprocessing.active_children()


def test_a_killed_worker_does_not_change_the_result(tmp_path):
    tasks = [task_of("train-000000", "a", "dieonce", "b"), task_of("train-000001", "c")]
    events = list(ProcessExecutor(workers=1).map(FakeWork(tmp_path), tasks))
    assert videos(events) == ["a", "dieonce", "b", "c"]
    assert not any(video.skipped for shard in shards(events).values() for video in shard.videos)


@dataclass(frozen=True)
class WrittenWork(FakeWork):
    """Keeps finished videos like the real work, and appends a line to a file for every video that it opens."""

    def __call__(self, task, lost):
        with ShardWriter(self.folder, task.name, [record.key for record in task.records]) as shard:
            yield from shard.kept
            for record in task.records[len(shard.kept) :]:
                if record.key not in lost:
                    with (self.folder / "touched").open("a") as file:
                        file.write(f"{record.key}\n")
                for event in super().__call__(ShardTask(task.name, (record,)), lost):
                    if isinstance(event, ShardReport):
                        continue
                    if isinstance(event, VideoReport):
                        shard.end_video(event)
                    yield event
        yield shard.report


def test_the_replacement_of_a_killed_worker_continues_after_the_last_finished_video(tmp_path):
    tasks = [task_of("train-000000", "a", "dieonce", "b", "die", "dieonce_c", "d")]
    events = list(ProcessExecutor(workers=1).map(WrittenWork(tmp_path), tasks))
    assert (tmp_path / "touched").read_text().split() == [
        "a", "dieonce", "dieonce", "b", "die", "die", "dieonce_c", "dieonce_c", "d"
    ]  # fmt: skip
    assert videos(events) == ["a", "dieonce", "b", "die", "dieonce_c", "d"]
    assert [video.key for video in shards(events)["train-000000"].videos if video.skipped] == ["die"]


ENDLESS = """
from pathlib import Path
from fakes import FakeWork, task_of
from mgst_data.extract.executors import ProcessExecutor
if __name__ == "__main__":
    list(ProcessExecutor(workers=1).map(FakeWork(Path()), [task_of("train-000000", "wait")]))
"""


def test_the_workers_of_a_killed_run_end_with_it(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen([sys.executable, "endless.py"], cwd=tmp_path, env=environment, start_new_session=True)
    try:
        assert wait_for((tmp_path / "wait").exists)
        assert alive(run.pid)
        run.kill()
        run.wait()
        assert wait_for(lambda: not alive(run.pid), seconds=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


def alive(group):
    """Returns the running processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
            found += [stat.parent.name] if int(its_group) == group and state != "Z" else []
    return found


def test_a_video_that_kills_every_worker_is_skipped_and_named(tmp_path):
    events = list(ProcessExecutor(workers=1).map(FakeWork(tmp_path), [task_of("train-000000", "a", "die", "b")]))
    assert videos(events) == ["a", "die", "b"]
    skipped = [video for video in shards(events)["train-000000"].videos if video.skipped]
    assert [(video.key, video.reason) for video in skipped] == [("die", "worker_died")]
    assert "SIGKILL, 2 times" in skipped[0].message


@pytest.mark.parametrize(
    ("executor", "kind", "limit", "reason", "words"),
    [
        (SerialExecutor, "stuck", {"video_timeout": 0.4}, "timeout", "took longer than 0.4 seconds"),
        (ProcessExecutor, "stuck", {"video_timeout": 0.4}, "timeout", "took longer than 0.4 seconds"),
        (ProcessExecutor, "grow", {"worker_memory": 7 * 10**8}, "out_of_memory", "more memory than 700 MB, 2 times"),
    ],
)
def test_a_video_beyond_a_limit_is_skipped_and_the_others_are_complete(tmp_path, executor, kind, limit, reason, words):
    tasks = [task_of("train-000000", "a", kind, "b")]
    events = list(executor(workers=1, **limit).map(WrittenWork(tmp_path), tasks))
    videos = [event for event in events if isinstance(event, VideoReport)]
    assert [(video.key, video.reason) for video in videos] == [("a", ""), (kind, reason), ("b", "")]
    assert words in videos[1].message
    assert tuple(videos) == shards(events)["train-000000"].videos
    # A limit of time holds at the first time, one of memory at the second.
    assert (tmp_path / "touched").read_text().split() == ["a", *[kind] * (1 + (kind == "grow")), "b"]
    assert not multiprocessing.active_children()


def test_the_time_limit_is_that_of_each_video(tmp_path):
    tasks = [task_of("train-000000", "nap1", "nap2", "nap3")]
    events = list(ProcessExecutor(workers=1, video_timeout=1.2).map(FakeWork(tmp_path), tasks))
    assert not [event for event in events if isinstance(event, VideoReport) and event.skipped]


@pytest.mark.parametrize("limit", [{"video_timeout": 0.0}, {"video_timeout": float("nan")}, {"worker_memory": 0}])
def test_a_limit_is_positive(limit):
    with pytest.raises(UsageError, match=f"{next(iter(limit))} must be a positive number"):
        SerialExecutor(**limit)


def test_of_videos_that_are_opened_together_the_cause_is_skipped(tmp_path):
    tasks = [task_of("train-000000", "a", "b", "die", "c")]
    events = list(ProcessExecutor(workers=1).map(BlockWork(tmp_path), tasks))
    assert videos(events) == ["a", "b", "die", "c"]
    assert [event.key for event in events if isinstance(event, VideoReport) and event.skipped] == ["die"]


def test_workers_that_cannot_start_end_the_run(tmp_path):
    killed = r"train-000000: a worker process was killed by SIGKILL while it started, .*fewer --workers"
    with pytest.raises(MgstError, match=killed):
        list(ProcessExecutor(workers=1).map(DeadOnArrival(), TASKS))
    with pytest.raises(
        MgstError, match=r"train-000000: a worker process ended with exit code 1 while it started, .*__main__"
    ):
        list(ProcessExecutor(workers=1).map(Exit(), TASKS))
    assert not multiprocessing.active_children()


@dataclass(frozen=True)
class Exit:
    """Ends every process that runs it, with the exit code of a Python error."""

    def __call__(self, task, lost):
        sys.exit(1)
        yield from ()


@pytest.mark.parametrize(("kind", "error"), [("raise", OutputError), ("bug", ZeroDivisionError)])
def test_an_error_of_the_work_stops_all_workers_and_is_raised_with_its_traceback(tmp_path, kind, error):
    tasks = [task_of("train-000000", "wait"), task_of("train-000001", kind)]
    with pytest.raises(error) as caught:
        list(ProcessExecutor(workers=2).map(FakeWork(tmp_path), tasks))
    assert "fakes.py" in "".join(caught.value.__notes__)  # the traceback, for --debug
    if kind == "raise":
        assert (caught.value.where, caught.value.hint) == ("train-000001", "free some")
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another thread"])
def test_an_interrupt_ends_all_workers_at_once(tmp_path, elsewhere):
    def interrupt():
        while not (tmp_path / "wait").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    events = ProcessExecutor(workers=1).map(FakeWork(tmp_path), [task_of("train-000000", "a", "wait")])
    threading.Thread(target=interrupt).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if elsewhere else ())
    try:
        with closing(events), pytest.raises(KeyboardInterrupt):
            list(events)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert not multiprocessing.active_children()


def test_the_environment_and_the_signal_handlers_do_not_change(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with closing(ProcessExecutor(workers=1).map(FakeWork(tmp_path), TASKS)) as events:
        next(events)
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "MKL_NUM_THREADS" not in os.environ
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not multiprocessing.active_children()


def test_the_number_of_workers_is_the_given_one_or_one_per_core():
    assert ProcessExecutor().workers == available_cores() <= len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match="workers must be at least 1"):
        ProcessExecutor(workers=0)
    with pytest.raises(UsageError, match=r"workers must be 1 .*, got 2"):
        SerialExecutor(workers=2)


def test_executors_are_found_by_name():
    assert tuple(EXECUTORS)[:3] == ("process", "ray", "serial")
    with pytest.raises(UsageError, match="did you mean 'process'"):
        EXECUTORS.get("proces")


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_its_executor_names_the_extra():
    with pytest.raises(ImportError, match=r"mgst\[ray\]"):
        EXECUTORS.get("ray")(workers=2)


RAY = """
from pathlib import Path
from fakes import FakeWork
from test_executors import TASKS, shards, videos
from mgst_data.extract.executors import EXECUTORS
events = list(EXECUTORS.get("ray")(workers=2).map(FakeWork(Path()), TASKS))
print(sorted(videos(events)), sorted(shards(events)))
"""


@pytest.mark.slow
def test_ray_gives_the_same_events(tmp_path):
    pytest.importorskip("ray")
    # In a separate process without run-time type checks: Ray does not accept a generator that they wrap.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", RAY], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{list('abcdef')} {sorted(task.name for task in TASKS)}\n"
