"""Kills commands at random moments, starts them again until they are complete, and compares with undisturbed runs.

    python benchmarks/faults/bench_kills.py --work runs/kills --kills 1000

It writes results/faults_kills.json. A round is one output folder: the command is started, killed by SIGKILL at a random
moment, and started again, until it is complete. Then its files must be those of an undisturbed run, without a temporary
file beside them. After each kill no process of the command may stay. A share of the kills hits one worker process
instead of the command, as the out-of-memory killer does; the command must then go on by itself. What was counted is
kept in ``--work``, so that a stopped campaign continues.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, write_result
from jobs import OUT, Job, contents, jobs, light_jobs, make_input
from zygote import Zygote, kill, wait_for

# Longest time of a command, seconds. It is then lost.
LIMIT = 300.0
# Imported once, before any command starts.
PRELOAD = (
    "mgst_cli.data.extract", "mgst_cli.predict.batch", "mgst_cli.evaluate.measure", "mgst_cli.train.build",
    "mgst_cli.train.progress", "mgst_model.train.report", "mgst_model.train", "mgst_model.evaluate.report",
    "mgst_model.predict.report", "mgst_model.evaluate.joined", "mgst_model.evaluate.leakage", "plotly.graph_objects",
)  # fmt: skip


@dataclass(slots=True)
class Count:
    """What happened to one command.

    Attributes:
        rounds: Output folders that were made completely.
        kills: Kills of the command.
        worker_kills: Kills of one of its workers.
        starts: Starts of the command.
        losses: Rounds that did not end like an undisturbed run: what was wrong.
    """

    rounds: int = 0
    kills: int = 0
    worker_kills: int = 0
    starts: int = 0
    losses: list[str] = field(default_factory=list)


class Campaign:
    """Runs rounds of kills.

    Args:
        work: Folder of the campaign.
        seed: Seed of the moments.
        light: Whether only extractions of made-up chunks are run.
    """

    def __init__(self, work: Path, seed: int, *, light: bool = False) -> None:
        self.work, self.seed = work, seed
        self.kept = work / "counts.json"
        self.counts: dict[str, Count] = {}
        if self.kept.exists():
            self.counts = {name: Count(**count) for name, count in json.loads(self.kept.read_text()).items()}
        self.temporary = work / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        if not light:
            make_input(work)
        for module in PRELOAD[:1] if light else PRELOAD:
            __import__(module)
        self.zygote = Zygote("made_up" if light else "ready")
        self.seconds: dict[str, float] = {}
        self.wanted: dict[str, dict[str, bytes]] = {}
        self.orphans = ""

    def undisturbed(self, job: Job) -> None:
        """Runs a command to its end twice: the files must be equal, or the comparison would mean nothing."""
        out, again = self.work / "undisturbed" / job.folder / OUT, self.work / "again" / OUT
        for folder in (out, again):
            shutil.rmtree(folder, ignore_errors=True)
            began = time.perf_counter()
            self._complete(job, folder)
            self.seconds[job.name] = time.perf_counter() - began
        self.wanted[job.name] = contents(out, job.timed)
        if wrong := differences(contents(again, job.timed), self.wanted[job.name]):
            raise SystemExit(f"{job.name}: two undisturbed runs differ: {wrong}")
        print(f"{job.name}: {self.seconds[job.name]:.2f} s, {len(self.wanted[job.name])} files", flush=True)

    def round(self, job: Job) -> None:
        """Kills and starts a command until it is complete, and compares its files."""
        count = self.counts.setdefault(job.name, Count())
        draw = random.Random(f"{self.seed} {job.name} {count.rounds}")
        out, log = self.work / "killed" / OUT, self.work / "log.txt"
        shutil.rmtree(out, ignore_errors=True)
        log.unlink(missing_ok=True)
        wrong = ""
        for number in range(job.patience + 1):
            moment = draw.uniform(0.0, self.seconds[job.name]) if number < job.patience else LIMIT
            one_worker = job.workers and draw.random() < 0.25
            code = self._try(job, out, log, moment, draw if one_worker else None, count)
            if code is not None:
                wrong = wrong or (f"exit code {code}" if code else "")
                break
            wrong = wrong or self.orphans
        wrong = wrong or differences(contents(out, job.timed), self.wanted[job.name]) or self._stray()
        count.rounds += 1
        if wrong:
            kept = self.work / "losses" / f"{job.folder}-{count.rounds}"
            shutil.copytree(out, kept, dirs_exist_ok=True)
            shutil.copy(log, kept / "log.txt")
            count.losses.append(wrong)
            print(f"LOST {job.name}: {wrong}", flush=True)
        self.kept.write_text(json.dumps({name: asdict(one) for name, one in self.counts.items()}, indent=1))

    def _try(
        self, job: Job, out: Path, log: Path, moment: float, worker: random.Random | None, count: Count
    ) -> int | None:
        """Starts a command and kills it. Returns its exit code if it was complete before; None if it was killed."""
        self.orphans = ""
        process = self.zygote.start(job.command(out), log)
        count.starts += 1
        code = wait_for(process, moment)
        if code is None and worker is not None and (crew := self.zygote.others(process)):
            count.worker_kills += kill([worker.choice(crew)])
            code = wait_for(process, LIMIT)
        if code is None:
            count.kills += kill([process])
            os.waitpid(process, 0)
        if code and not self.zygote.serves():
            code = None  # a kill has ended the fork server that only this campaign shares among commands
        if left := self.zygote.left_behind(process, job.lingers):
            self.orphans = f"processes stay: {len(left)}"
            kill(left)
        return code

    def _complete(self, job: Job, out: Path) -> None:
        log = self.work / "log.txt"
        log.unlink(missing_ok=True)
        code = wait_for(self.zygote.start(job.command(out), log), LIMIT)
        if code != 0:
            raise SystemExit(f"{job.name}: an undisturbed run ended with {code}: {log.read_text()[-2000:]}")

    def _stray(self) -> str:
        """Returns what commands have left in the folder for temporary files; it is then deleted."""
        # Python's sockets, and the logs of Ray, which it always keeps.
        known = ("pymp-", "ray")
        there = sorted(path.name for path in self.temporary.iterdir() if not path.name.startswith(known))
        for name in there:
            path = self.temporary / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return f"temporary files stay: {', '.join(there[:5])}" if there else ""


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    """Returns how two folders differ, in one line; "" if they are equal.

    Args:
        found: Files by name.
        wanted: Files that should be there.
    """
    more, less = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    other = sorted(name for name in set(found) & set(wanted) if found[name] != wanted[name])
    parts = {"only after kills": more, "missing": less, "different": other}
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)


def write_counts(base: Path, results: Path) -> None:
    """Writes the figures of the full and the light campaign of a folder.

    Args:
        base: The folder.
        results: Folder for the figures.
    """
    counts: dict[str, Count] = {}
    for kept in sorted(base.glob("*/counts.json")):
        counts |= {name: Count(**count) for name, count in json.loads(kept.read_text()).items()}
    print(write_result("faults_kills", summary(counts), folder=results))


def summary(counts: dict[str, Count]) -> dict[str, Any]:
    """Returns the figures of a campaign.

    Args:
        counts: What happened, by command.
    """
    rows = [{"command": name, **asdict(count)} for name, count in counts.items()]
    total = Counter[str]()
    for count in counts.values():
        total.update(kills=count.kills, worker_kills=count.worker_kills, rounds=count.rounds, losses=len(count.losses))
    return {"rows": rows, "total": {name: total[name] for name in ("rounds", "kills", "worker_kills", "losses")}}


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the campaign; it continues there")
    parser.add_argument("--kills", type=int, default=1000, help="kills of all commands and workers together")
    parser.add_argument("--seconds", type=float, default=3600.0, help="no round begins after this time")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--light", action="store_true", help="only extractions of made-up chunks, without models")
    parser.add_argument("--only", action="append", help="commands to kill, by name; can be repeated")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parser.parse_args(given)
    began = time.monotonic()
    base = arguments.work.resolve()
    work = base / ("light" if arguments.light else "full")
    # Before any import of a library that reads it, and for all commands.
    os.environ.update(TMPDIR=str(work / "tmp"), MGST_CACHE=str(work / "cache"), OMP_NUM_THREADS="1")
    campaign = Campaign(work, arguments.seed, light=arguments.light)
    chosen = light_jobs() if arguments.light else jobs(work)
    for job in chosen:
        campaign.undisturbed(job)
    chosen = [job for job in chosen if job.name in (arguments.only or [job.name])]
    shown = began
    while time.monotonic() - began < arguments.seconds:
        # The command with the fewest kills is next, so that all get their share.
        counts = campaign.counts
        job = min(chosen, key=lambda job: (one := counts.get(job.name, Count())).kills + one.worker_kills)
        campaign.round(job)
        total = summary(campaign.counts)["total"]
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(total, flush=True)
        if total["kills"] + total["worker_kills"] >= arguments.kills:
            break
    write_counts(base, arguments.results)


if __name__ == "__main__":
    main()
