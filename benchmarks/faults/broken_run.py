"""Runs the commands on broken files, many in one forked process, with a limit of time and memory for each file."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from broken_data import MAKERS, OUTSIDE, Sound
from broken_watch import Watch, forget_peak, peak

# Seconds of wall-clock time for one file, and bytes that its commands may need beside the libraries.
SECONDS, MEMORY = 120, 10**9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one broken file.

    Attributes:
        kind: Kind of file.
        number: Number of the file, which is its seed.
        mutation: Name of the mutation.
        verdict: "accepted" (the change does no harm), "refused" (one line, exit code 1 or 2), "skipped" (with a reason
            code in the report), or "fault".
        detail: Reason code or last line of the output.
    """

    kind: str
    number: int
    mutation: str
    verdict: str
    detail: str


def run_slice(kind: str, numbers: range, seed: int, work: Path, sound: Sound, log: Path) -> list[Outcome]:
    """Checks files of one kind in one forked process. A file that ends the process is a fault, and the rest goes on.

    Args:
        kind: Kind of file, one of ``MAKERS``.
        numbers: Numbers of the files.
        seed: Seed of the campaign.
        work: Folder for the files.
        sound: Sound files.
        log: File for the outcomes, one JSON object per line.
    """
    todo = list(numbers)
    done: list[Outcome] = []
    while todo:
        part = work / "slice.jsonl"
        part.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            _serve(kind, todo, seed, work, sound, part)
        _, status = os.waitpid(child, 0)
        lines = part.read_text().splitlines() if part.exists() else []
        made = [Outcome(**json.loads(line)) for line in lines if "verdict" in line]
        done += made
        todo = todo[len(made) :]
        if todo:  # the process has ended in the middle
            mutation = json.loads(lines[-1])["mutation"] if lines else "?"
            ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
            what = f"hangs: no result after {SECONDS} s" if ended == "SIGALRM" else f"ended by {ended}"
            done.append(Outcome(kind, todo.pop(0), mutation, "fault", what))
    with log.open("a") as file:
        file.writelines(json.dumps(asdict(outcome)) + "\n" for outcome in done)
    return done


def _serve(kind: str, numbers: list[int], seed: int, work: Path, sound: Sound, log: Path) -> None:
    """Checks files until the end, in a process of its own."""
    gc.freeze()  # otherwise garbage collection visits, and thereby copies, all memory of the parent
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.dont_write_bytecode = True  # a compiled module is no fault
        watch = Watch()
        own = Path("/proc/self/statm").read_text().split()
        data = (int(own[5]) * resource.getpagesize()) + 3 * MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (data, data))
        with log.open("a", buffering=1) as file:
            for number in numbers:
                draw = random.Random(f"{seed}/{kind}/{number}")
                folder = work / "file"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                mutation, commands = MAKERS[kind](folder, draw, sound)
                file.write(json.dumps({"mutation": mutation}) + "\n")
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                verdict, detail = _check(commands, watch, folder)
                signal.setitimer(signal.ITIMER_REAL, 0)
                file.write(json.dumps(asdict(Outcome(kind, number, mutation, verdict, detail))) + "\n")
    except BaseException:  # noqa: BLE001 - nothing may return into the code of the parent
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def _check(commands: list[list[str]], watch: Watch, folder: Path) -> tuple[str, str]:
    """Runs the commands on one file. Returns the verdict and a line about it."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    verdicts = []
    watch.found.clear()
    watch.allowed = (str(folder.resolve()),)
    forget_peak()
    began = peak()
    for command in commands:
        watch.active = True
        try:
            verdicts.append(_run(command))
        finally:
            watch.active = False
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    outside = Path("/tmp") / OUTSIDE
    if outside.exists():
        outside.rmdir()
        return "fault", f"wrote {outside}"
    if watch.found:
        return "fault", watch.found[0]
    if after != before:
        return "fault", "changed its input"
    if (used := peak() - began) > MEMORY:
        return "fault", f"needed {used / 1e6:.0f} MB of memory"
    return min(verdicts, key=lambda verdict: ("fault", "refused", "accepted").index(verdict[0]))


def _run(command: list[str]) -> tuple[str, str]:
    """Runs one command in this process. Returns the verdict and a line about it."""
    out = io.StringIO()
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = _COMMANDS[command[0]](command[1:]) or 0
    except SystemExit as error:
        code = error.code or 0
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "/mgst_" in f.filename or "/cli/" in f.filename
        ]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return "fault", f"{type(error).__name__}: {str(error)[:200]} ({place})"
    text = out.getvalue()
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else ""
    if "Traceback" in text or "internal_error" in text:
        return "fault", last
    if code not in (0, 1, 2):
        return "fault", f"exit code {code}: {last}"
    if code and not last.strip():
        return "fault", f"exit code {code} without a message"
    return ("refused" if code else "accepted"), last


def _data(arguments: list[str]) -> int:
    """Runs ``mgst-data``."""
    from mgst_cli.data import data

    return int(data(arguments, standalone_mode=True) or 0)


def _expected(work: Any) -> int:
    """Runs a function of the library. Its own errors are one line, as in a command."""
    from mgst_data.core import MgstError

    try:
        work()
    except MgstError as error:
        print(f"error: {error}")
        return error.exit_code
    return 0


def _config(arguments: list[str]) -> int:
    """Reads a configuration as extraction, training and evaluation do."""
    from mgst_cli.data.source import build_config
    from mgst_cli.train.build import build_experiment, build_sources

    path = Path(arguments[0])
    codes = [
        _expected(lambda: build_config(path, {}, ())),
        _expected(lambda: build_experiment(path, {}, ())),
        _expected(lambda: build_sources(path, ("shards",), ())),
    ]
    return max(codes)


def _read(arguments: list[str]) -> int:
    """Reads all chunks and crops of a folder of shards."""
    from mgst_data.shards import ShardReader

    return _expected(lambda: [list(chunk.frames()) for chunk in ShardReader.open(arguments[0]).with_persons()])


def _load(arguments: list[str]) -> int:
    """Reads weights."""
    from mgst_model.networks.checkpoint import load_network

    return _expected(lambda: load_network(arguments[0]))


_COMMANDS = {"data": _data, "config": _config, "read": _read, "load": _load}


# Matplotlib makes its folder at the first import.
_PRELOADED = (
    "matplotlib.pyplot", "mgst_cli.data.extract", "mgst_cli.data.inspect", "mgst_cli.data.show", "mgst_cli.data.source",
    "mgst_cli.data.find_copies", "mgst_cli.train.build", "mgst_model.networks.checkpoint",
)  # fmt: skip


def preload() -> None:
    """Imports everything that the commands need, so that forked processes do not."""
    began = time.monotonic()
    for name in _PRELOADED:
        importlib.import_module(name)
    print(f"imported in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
