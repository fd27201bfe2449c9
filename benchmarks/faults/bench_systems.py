"""Lets systems fail under commands: signals, full and read-only disks, two runs at once. Then runs the command again.

    python benchmarks/faults/bench_systems.py --work runs/systems --tries 10

It writes results/faults_systems.json. Each try has one fault. The command must end as documented (exit code, one line
that says what to do, no traceback, within ten seconds of a signal). After the fault is over, the same command must
make the files of an undisturbed run. Disks are file systems in memory, which only root can mount; without them, these
tries are left out, and the result says so.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, write_result
from bench_kills import LIMIT, Campaign, differences
from jobs import OUT, Job, contents, jobs, light_commands, more_jobs
from zygote import kill, wait_for

# Seconds that a scheduler gives a process after SIGTERM before it kills it.
GRACE = 10.0
INTERRUPTED, FAILED = 130, 1


class Systems(Campaign):
    """Runs commands with faults of the system."""

    def end(self, job: Job, out: Path, log: Path, *, after: float = 0.0, number: int = 0) -> tuple[int | None, float]:
        """Runs a command, and sends a signal after some seconds; without a signal, waits for its end.

        Args:
            job: The command.
            out: Its output folder.
            log: File for its output.
            after: Seconds until the signal.
            number: The signal; 0 for none.

        Returns:
            Its exit code, or None if it had to be killed; and the seconds from the signal to the end.
        """
        process = self.zygote.start(job.command(out), log)
        if number:
            code = wait_for(process, after)
            if code is not None:
                return code, 0.0
            # Ctrl-C reaches all processes of a terminal; a scheduler signals the command first.
            (os.killpg if number == signal.SIGINT else os.kill)(process, number)
        began = time.monotonic()
        code = wait_for(process, LIMIT)
        if code is None:
            kill([process, *self.zygote.others(process)])
            os.waitpid(process, 0)
        if self.zygote.left_behind(process):
            self.orphans = "processes stay"
        return code, time.monotonic() - began

    def finish(self, job: Job, out: Path) -> str:
        """Runs a command to its end. Returns how its files differ from those of an undisturbed run; "" for equal."""
        log = self.work / "log.txt"
        log.unlink(missing_ok=True)
        code, _ = self.end(job, out, log)
        if code:
            return f"the next run ended with {code}: {_last(log)}"
        return differences(contents(out, job.timed), self.wanted[job.name])


def signals(number: int) -> Callable[[Systems, Job, random.Random], str]:
    """Returns a try that sends a signal at a random moment.

    Args:
        number: The signal.
    """

    def run(systems: Systems, job: Job, draw: random.Random) -> str:
        out, log = _fresh(systems)
        after = draw.uniform(0, systems.seconds[job.name])
        code, seconds = systems.end(job, out, log, after=after, number=number)
        wrong = [systems.orphans] if systems.orphans else []
        if code not in (0, INTERRUPTED):
            wrong.append(f"exit code {code}")
        if seconds > GRACE:
            wrong.append(f"ended after {seconds:.0f} s")
        if "Traceback" in log.read_text(errors="replace"):
            wrong.append("traceback")
        return "; ".join(wrong) or systems.finish(job, out)

    return run


def full_disk(systems: Systems, job: Job, draw: random.Random) -> str:
    """A disk that has room for a part of the output only."""
    _, log = _fresh(systems)
    size = sum(map(len, systems.wanted[job.name].values()))
    with disk(systems.work / "disk", int(draw.uniform(0, 1.1) * size)) as folder:
        out = folder / OUT
        code, _ = systems.end(job, out, log)
        wrong = _told(code, log, "the disk is full")
        subprocess.run(["mount", "-o", f"remount,size={10 * size + (1 << 26)}", folder], check=True)
        return wrong or systems.finish(job, out)


def read_only(systems: Systems, job: Job, draw: random.Random) -> str:
    """A disk that cannot be written, before or during a run."""
    del draw
    _, log = _fresh(systems)
    with disk(systems.work / "disk", 1 << 28) as folder:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        code, _ = systems.end(job, folder / OUT, log)
        wrong = _told(code, log, "the file system is read-only")
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        return wrong or ("exit code 0" if code == 0 else systems.finish(job, folder / OUT))


def two_at_once(systems: Systems, job: Job, draw: random.Random) -> str:
    """Two runs of the same command: one is refused while the other one writes.

    A prediction locks one video after another, so each run can be refused for a part; together they are complete.
    """
    out, log = _fresh(systems)
    other = systems.work / "other.txt"
    other.unlink(missing_ok=True)
    first = systems.zygote.start(job.command(out), log)
    time.sleep(draw.uniform(0, systems.seconds[job.name] / 2))
    second = systems.zygote.start(job.command(out), other)
    codes = [wait_for(process, LIMIT) for process in (first, second)]
    wrong = [_told(code, where, "in use by another run") for code, where in zip(codes, (log, other), strict=True)]
    if all(codes) and differences(contents(out, job.timed), systems.wanted[job.name]):
        wrong.append("both were refused, and files are missing")
    return "; ".join(filter(None, wrong)) or systems.finish(job, out)


FAULTS: dict[str, Callable[[Systems, Job, random.Random], str]] = {
    "Ctrl-C": signals(signal.SIGINT),
    "SIGTERM": signals(signal.SIGTERM),
    "two runs at once": two_at_once,
    "full disk": full_disk,
    "read-only disk": read_only,
}
_DISKS = ("full disk", "read-only disk")


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """Mounts a file system in memory, and removes it when the block ends.

    Args:
        folder: Where to mount it.
        size: Its size, bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(size, 4096)}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def can_mount(folder: Path) -> bool:
    """Returns whether file systems can be mounted here.

    Args:
        folder: Where to try it.
    """
    try:
        with disk(folder, 4096):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _fresh(systems: Systems) -> tuple[Path, Path]:
    """Returns an output folder and a file for the output of commands, neither of which exists."""
    out, log = systems.work / "faulty" / OUT, systems.work / "fault.txt"
    shutil.rmtree(out, ignore_errors=True)
    log.unlink(missing_ok=True)
    systems.orphans = ""
    return out, log


def _told(code: int | None, log: Path, words: str) -> str:
    """Returns what is wrong with the end of a command that may fail for one reason only."""
    text = log.read_text(errors="replace")
    if "Traceback" in text:
        return "traceback"
    if code not in (0, FAILED):
        return f"exit code {code}: {_last(log)}"
    return f"says: {_last(log)}" if code and words not in text else ""


def _last(log: Path) -> str:
    return (log.read_text(errors="replace").splitlines() or ["nothing"])[-1][-300:]


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the campaign")
    parser.add_argument(
        "--light", action="store_true", help="only mgst-data extract with made-up chunks, without models"
    )
    parser.add_argument("--tries", type=int, default=10, help="tries of each fault with each command")
    parser.add_argument("--seconds", type=float, default=3600.0, help="no try begins after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and sizes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parser.parse_args(given)
    began, work = time.monotonic(), arguments.work.resolve()
    os.environ.update(TMPDIR=str(work / "tmp"), MGST_CACHE=str(work / "cache"), OMP_NUM_THREADS="1")
    systems = Systems(work, arguments.seed, light=arguments.light)
    chosen = light_commands(work) if arguments.light else [*jobs(work), *more_jobs(work)]
    for job in chosen:
        systems.undisturbed(job)
    faults = [name for name in FAULTS if name not in _DISKS or can_mount(work / "disk")]
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (fault, job.name): {"fault": fault, "command": job.name, "tries": 0, "losses": []}
        for fault in faults
        for job in chosen
    }
    for number in range(arguments.tries):
        for fault in faults:
            for job in chosen:
                if time.monotonic() - began > arguments.seconds:
                    break
                draw = random.Random(f"{arguments.seed} {fault} {job.name} {number}")
                wrong = FAULTS[fault](systems, job, draw)
                row = rows[fault, job.name]
                row["tries"] += 1
                if wrong:
                    row["losses"].append(wrong)
                    print(f"LOST {fault}, {job.name}: {wrong}", flush=True)
        print({fault: sum(row["tries"] for (name, _), row in rows.items() if name == fault) for fault in faults})
    figures = {"rows": list(rows.values()), "disks": _DISKS[0] in faults}
    print(write_result("faults_systems", figures, folder=arguments.results))


if __name__ == "__main__":
    main()
