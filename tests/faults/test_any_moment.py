"""Runs that end at a random moment, killed or interrupted: the next run makes what an undisturbed one makes."""

import os
import random
import signal
import time
import warnings

import pytest
from writing import contents, write

TRIES = 25


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of an undisturbed run, and its duration in seconds."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    began = time.perf_counter()
    write(out)
    return contents(out), time.perf_counter() - began


def killed(out, seconds):
    """Writes the folder in another process, and kills it. Returns whether it was complete before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, which the child ignores
        process = os.fork()
    if not process:
        code = 1
        try:
            write(out)
            code = 0
        finally:
            os._exit(code)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def interrupted(out, seconds):
    """Writes the folder, and raises KeyboardInterrupt at any line, as Ctrl-C does. Returns whether it was complete."""
    writing = True

    def interrupt(*_):
        if writing:  # else it comes too late, and would end the test
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        write(out)
        writing = False
    except KeyboardInterrupt:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return True


# Between opening a file and keeping it, no code can close it: the interpreter does, and warns.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
# Python ignores an interruption while it deletes an object, and warns; commands then interrupt themselves again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("stop", [killed, interrupted])
def test_a_run_that_ends_at_any_moment_costs_no_file_and_leaves_none(tmp_path, undisturbed, stop):
    files, seconds = undisturbed
    draw = random.Random(0)
    stopped = 0
    for number in range(TRIES):
        out = tmp_path / str(number)
        for _ in range(3):
            if stop(out, draw.uniform(0, seconds)):
                break
            stopped += 1
        write(out)
        assert contents(out) == files
    assert stopped > TRIES // 2
