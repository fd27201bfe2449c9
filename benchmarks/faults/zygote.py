"""Starts commands by forking a process that has imported them already, so that a try does not wait for imports.

A command that needs worker processes normally starts a fork server of its own, which imports torch first. Here all
commands share one fork server, which has imported torch and loaded the models. Everything else is as in a real run:
each command is a process and a session of its own, and workers watch the end of their command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import torch

_CONTEXT = multiprocessing.get_context("forkserver")
# Longest time for processes to end after their command was killed, seconds. A process of torch that reads shards looks
# for its parent every five seconds; more, because the machine may be busy.
PATIENCE = 30.0
# State of a process that does not exist: that of one that has ended.
_GONE = ("Z", 0, 0)
ENTRIES = {
    "mgst-data": "mgst_cli.data",
    "mgst-train": "mgst_cli.train",
    "mgst-eval": "mgst_cli.evaluate",
    "mgst-predict": "mgst_cli.predict",
    "made-up": "made_up",
}


class Zygote:
    """Starts commands, and knows all processes that belong to them.

    Args:
        preload: Module that the fork server imports, and with it everything that workers need.
    """

    def __init__(self, preload: str) -> None:
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        importlib.import_module(preload)
        _CONTEXT.set_forkserver_preload([preload])
        resource_tracker.ensure_running()
        self._server = 0
        self._serve()
        gc.collect()
        gc.freeze()

    def _serve(self) -> None:
        """Starts the fork server, also again: it ends when a command is killed in the middle of a request to it."""
        while self._server and not self.serves() and _processes().get(self._server, _GONE)[0] != "Z":
            time.sleep(0.05)  # it no longer listens, but torch takes its time to end
        forkserver.ensure_running()
        server = int(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]
        if server != self._server:
            self._server = server
            worker = _CONTEXT.Process(target=int)  # waits until the server has imported everything
            worker.start()
            worker.join()

    def start(self, command: Sequence[str], log: Path) -> int:
        """Starts a command as the leader of a new session, and returns its process.

        Args:
            command: Name of a console script and its arguments.
            log: File for its output.
        """
        self._serve()
        process = os.fork()
        if process:
            return process
        code = 70
        try:
            code = _become(command, log)
        except BaseException:  # noqa: BLE001 - nothing may return into the caller's code
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def serves(self) -> bool:
        """Returns whether the fork server still listens. A command without it cannot start workers."""
        address = str(forkserver._forkserver._forkserver_address)  # type: ignore[attr-defined]
        return address.lstrip("\0") in Path("/proc/net/unix").read_text()

    def others(self, leader: int) -> list[int]:
        """Returns the living processes of a command beside its leader.

        Args:
            leader: Its process.
        """
        found = []
        for process, (state, parent, session) in _processes().items():
            mine = session == leader or parent == self._server
            if mine and process != leader and state != "Z":
                found.append(process)
        return found

    def left_behind(self, leader: int, seconds: float = PATIENCE) -> list[int]:
        """Returns the processes that still live after their command has ended and some time has passed.

        Args:
            leader: The process of the command, which has ended.
            seconds: Longest time that they may take to end.
        """
        end = time.monotonic() + seconds
        while (there := self.others(leader)) and time.monotonic() < end:
            time.sleep(0.05)
        return there


def wait_for(process: int, seconds: float) -> int | None:
    """Waits for the end of a process. Returns its exit code, negative for a signal; None if it still runs.

    Args:
        process: A child of this process.
        seconds: Longest time to wait.
    """
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(min(0.005, max(0.0, end - time.monotonic())))


def kill(processes: Sequence[int]) -> int:
    """Sends SIGKILL to processes. Returns how many were alive.

    Args:
        processes: The processes.
    """
    hit = 0
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            hit += 1
    return hit


def _become(command: Sequence[str], log: Path) -> int:
    os.setsid()
    # Calls of the fork server look whether it is a child of the caller. Here it is a sibling.
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # After a fork, torch makes its threads anew. It fails if several threads are the first to need them.
    torch.set_num_threads(torch.get_num_threads())
    sys.argv = [*command]
    main: Callable[[], None] = importlib.import_module(ENTRIES[command[0]]).main
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001 - what Python does at the end of a command
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _processes() -> dict[int, tuple[str, int, int]]:
    """Returns state, parent and session of all processes."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = (state, int(parent), int(session))
    return found
