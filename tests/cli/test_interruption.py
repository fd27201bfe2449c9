"""Complete runs in separate processes: killed, interrupted, terminated and continued."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from face_videos import encode, faces

VIDEOS, SHARDS = 6, 2
ANSWER = "interrupted; run the same command again\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    (root / "real").mkdir()
    data = encode(root / "real" / "0.mp4", faces(30)).read_bytes()
    for number in range(1, VIDEOS):
        (root / "real" / f"{number}.mp4").write_bytes(data)
    return root


def start(source, out):
    command = [sys.executable, "-c", "from mgst_cli.data import main; main()", "extract", "--videos-per-shard", "3"]
    command += ["--src", source, "--out", out, "--workers", "2"]
    # A separate session: like Ctrl-C in a terminal, a signal reaches all processes of the command.
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def session(leader):
    """Returns the running processes of the session."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, its_session, *_ = fields.split()
        if int(its_session) == leader and state != "Z":
            alive.append(int(stat.parent.name))
    return alive


def tars(out):
    return {path.name: path.read_bytes() for path in out.glob("*.tar")}


def names(out):
    return {path.name for path in out.glob("[!.]*")}


def finished(out):
    """Number of finished videos, in complete and in open shards."""
    return 3 * len(list(out.glob("all-*.json"))) + sum(
        path.read_bytes().count(b"\n") for path in out.glob("*.progress")
    )


def test_killed_and_interrupted_run_keeps_its_videos_and_gives_the_same_bytes(mgst_data, source, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    mgst_data("extract", "--videos-per-shard", 3, "--src", source, "--out", whole, "--executor", "serial")
    assert len(tars(whole)) == SHARDS

    run = start(source, out)
    assert wait_for(lambda: finished(out))
    run.kill()
    run.communicate()
    assert wait_for(lambda: not session(run.pid), seconds=30), "a worker was left behind"
    before = finished(out)

    run = start(source, out)
    assert wait_for(lambda: finished(out) > before)
    os.killpg(run.pid, signal.SIGINT)
    _, messages = run.communicate(timeout=30)
    assert run.returncode == 130
    kept, complete = finished(out), len(list(out.glob("all-*.json")))
    assert before < kept < VIDEOS
    there = f"{complete} of {SHARDS} shards complete, {kept - 3 * complete} video"
    assert messages.splitlines()[-1].startswith(f"interrupted: {there}")
    assert messages.endswith(" of other shards kept; run the same command again to continue\n")
    assert "Traceback" not in messages
    assert wait_for(lambda: not session(run.pid), seconds=10)

    run = start(source, out)
    output, messages = run.communicate()
    assert run.returncode == 0
    assert f"extracting {VIDEOS - kept} video" in messages
    assert f"this run: {VIDEOS - kept} video" in output
    assert tars(out) == tars(whole)
    assert names(out) == names(whole)


def test_a_run_can_be_terminated_while_its_workers_start(source, tmp_path):
    out = tmp_path / "out"
    run = start(source, out)
    assert wait_for(lambda: (out / "dataset.json").exists())
    run.terminate()
    _, messages = run.communicate(timeout=30)
    assert run.returncode == 130
    assert messages.splitlines()[-1].startswith(f"interrupted: 0 of {SHARDS} shards complete")
    assert "Traceback" not in messages
    assert not list(out.glob("*.part"))
    assert wait_for(lambda: not session(run.pid), seconds=10)


def ran(code, *, path=""):
    """Runs Python code in a new process, and checks that it ends in time. Returns exit code, stdout and stderr."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(path), *filter(None, sys.path)])}
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert time.monotonic() - began < 5
    return ended.returncode, ended.stdout, ended.stderr


IMPORTED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.{name})
    time.sleep(5)
except BaseException:
    pass  # as libraries do that try optional imports
for _ in range(500):
    time.sleep(0.01)
"""
COMMAND = """
import click
from mgst_cli.common.errors import LoneCommand, run_script

@click.command("try", cls=LoneCommand)
def command():
    import suppressing
    print("went on")

run_script(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_holds_even_if_an_imported_library_suppresses_it(name, tmp_path):
    (tmp_path / "suppressing.py").write_text(IMPORTED.format(name=name))
    assert ran(COMMAND, path=tmp_path) == (130, "", ANSWER)


DELETED = """
import os, signal, time
import click
from mgst_cli.common.errors import LoneCommand, run_script

class Open:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.1)
        print("closed", flush=True)

@click.command("try", cls=LoneCommand)
def command():
    Open()
    for _ in range(500):
        time.sleep(0.01)
    print("went on")

run_script(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_holds_even_while_an_object_is_deleted(name):
    assert ran(DELETED.format(name=name)) == (130, "closed\n", ANSWER)


PARSED = """
import os, signal
import click
from mgst_cli.common.errors import LoneCommand, run_script

def interrupt(ctx, param, value):
    os.kill(os.getpid(), signal.{name})

@click.command("try", cls=LoneCommand)
@click.option("--now", is_flag=True, callback=interrupt)
def command(now):
    print("went on")

run_script(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_before_the_command_begins_has_its_exit_code(name):
    code, out, err = ran(PARSED.format(name=name))
    assert (code, out, err.lstrip()) == (130, "", ANSWER)


HELD = """
import os, signal, threading, time
import click
from mgst_cli.common.errors import LoneCommand, interrupted_at_once, run_script

@click.command("try", cls=LoneCommand)
def command():
    released = threading.Event()
    reader = threading.Thread(target=released.wait, args=(30,))
    reader.start()
    with interrupted_at_once(released.set):
        try:
            os.kill(os.getpid(), signal.{name})
            time.sleep(5)
        finally:
            reader.join()

run_script(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_frees_what_the_command_waits_for(name):
    code, _, err = ran(HELD.format(name=name))
    assert code == 130
    assert err.endswith(ANSWER)


SLOW_TO_END = """
import click
from mgst_cli.common.errors import LoneCommand, run_script

@click.command("try", cls=LoneCommand)
@click.pass_context
def command(ctx):
    try:
        import interrupted
    except KeyboardInterrupt:
        import time
        time.sleep(1.2)
        print("cleaned up", flush=True)
        ctx.exit(130)

import atexit, time
atexit.register(time.sleep, 1)
run_script(command)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interruption_during_an_import_is_not_repeated_while_the_command_ends(name, tmp_path):
    source = f"import os, signal, time\nos.kill(os.getpid(), signal.{name})\ntime.sleep(5)"
    (tmp_path / "interrupted.py").write_text(source)
    assert ran(SLOW_TO_END, path=tmp_path) == (130, "cleaned up\n", "")
