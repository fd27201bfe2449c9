"""When a command is killed, its processes end too: also those that wait for work, and those that compute."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Each starts processes that would run for minutes, writes their numbers, and waits.
POOL = """
import os, sys, threading, time
from mgst_data.people import embed
def work(folder, report):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(100)
if __name__ == "__main__":
    embed.run_jobs(work, [(sys.argv[1], None)] * 2, 2, lambda *_: None)
"""
SPAWNED = """
import multiprocessing, os, sys, time
from mgst_data.processes import end_with_parent
def work(folder):
    end_with_parent()
    open(os.path.join(folder, str(os.getpid())), "w").close()
    while True:
        pass
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=(sys.argv[1],), daemon=True).start()
    time.sleep(100)
"""


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def living(processes):
    """Returns those of some processes that have not ended."""
    found = []
    for process in processes:
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            found.append(process)
    return found


@pytest.mark.parametrize(("code", "count"), [(SPAWNED, 1), (POOL, 2)], ids=["spawned", "pool"])
def test_no_process_outlives_a_killed_command(tmp_path, code, count):
    (tmp_path / "command.py").write_text(code)
    started = tmp_path / "started"
    started.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "command.py", str(started)]
    run = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: len(list(started.iterdir())) == count, seconds=240)
        workers = [int(path.name) for path in started.iterdir()]
        assert len(living(workers)) == count
        run.kill()
        run.wait()
        assert wait_for(lambda: not living(workers), seconds=20)
    finally:
        for process in (int(path.name) for path in started.iterdir()):
            if living([process]):
                os.kill(process, signal.SIGKILL)
        run.kill()
        run.wait()
