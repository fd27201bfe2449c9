"""A lost reading process ends a training between two of its lines, whatever it was just doing."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from mgst_data.core import MgstError
from mgst_model.train.signals import lost_readers_named, workers_deaf_to_stopping


@pytest.fixture(autouse=True)
def handler_of_a_new_process(monkeypatch):
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # torch sets its handler once per process
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCHLD, before)


class Numbers(DataLoader):
    """The numbers from 0 as a loader of a training."""

    def __init__(self, *, workers=1, count=1000):
        super().__init__(range(count), num_workers=workers, generator=torch.Generator())

    def state_dict(self):
        return {"epoch": 0}

    def load_state_dict(self, state):
        pass


def kill_the_reader(others):
    """Kills the process that reads, and returns when the kernel has told so."""
    (reader,) = set(multiprocessing.active_children()) - others
    os.kill(reader.pid, signal.SIGKILL)
    os.waitid(os.P_PID, reader.pid, os.WEXITED | os.WNOWAIT)


def killed_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child.kill()
    return child


@pytest.mark.parametrize("handled", [False, True], ids=["first training", "after other loaders"])
def test_no_line_after_a_loss_is_interrupted(handled):
    """torch would raise an error within any line; for example while the folder of a training is closed."""
    if handled:
        next(iter(Numbers()))
        assert callable(signal.getsignal(signal.SIGCHLD))
    others = set(multiprocessing.active_children())
    counts = []

    def lose_the_reader():
        with lost_readers_named():
            batches = workers_deaf_to_stopping(Numbers())
            next(batches)
            kill_the_reader(others)
            counts.append(sum(1 for _ in range(100_000)))
            list(batches)

    with pytest.raises(MgstError, match="a process that reads shards has ended") as caught:
        lose_the_reader()
    assert (caught.value.reason, counts) == ("worker_died", [100_000])
    subprocess.run([sys.executable, "-c", ""], check=True)  # sends SIGCHLD: the loss is not told twice
    assert sum(1 for _ in range(100_000)) == 100_000


def test_signals_of_children_are_handled_as_before():
    seen = []
    signal.signal(signal.SIGCHLD, lambda *_: seen.append("child"))
    with lost_readers_named():
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert not seen
    seen.clear()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert seen == ["child"]


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError("no more")])
def test_a_connection_that_breaks_with_its_process_is_a_lost_reader(error):
    child = killed_child()
    with pytest.raises(MgstError, match=r"has ended: .*(reset by peer|no more)") as caught, lost_readers_named():
        raise error
    assert caught.value.reason == "worker_died"
    child.wait()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("out of memory")])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, lost_readers_named():
        raise error
    assert caught.value is error


def test_a_training_may_run_in_a_thread():
    handler, left = signal.getsignal(signal.SIGCHLD), []

    def train():
        with lost_readers_named():
            left.extend(workers_deaf_to_stopping(Numbers(workers=0, count=3)))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert len(left) == 3
    assert signal.getsignal(signal.SIGCHLD) is handler
