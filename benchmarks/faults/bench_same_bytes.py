"""Extracts the same videos in many ways: one hash.

    python benchmarks/faults/bench_same_bytes.py --work runs/same

It writes results/faults_same_bytes.json. Ways: one process, 1, 2 and 4 worker processes, parts in any order, killed
and continued, into an S3 bucket (where moto is installed), and with Ray (where it is installed). The hash is that of
all shards, reports (without their times) and the plan. The exit code is 1 if the hashes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "shards"))

from _common import RESULTS, write_result
from bench_kills import LIMIT, Campaign
from jobs import LIMITED, make_input
from object_store import s3_server
from zygote import wait_for

from mgst_data.shards.store import ShardStore

BUCKET = "mgst"
# Options of each way; a way with several lists is several runs into one folder.
LOCAL: dict[str, list[list[str]]] = {
    "one process": [["--executor", "serial"]],
    "1 worker": [["--workers", "1"]],
    "2 workers": [["--workers", "2"]],
    "4 workers": [["--workers", "4"]],
    "three parts": [["--part", part, "--workers", "1"] for part in ("3/3", "1/3", "2/3")],
}


class Ways(Campaign):
    """Runs extractions in the folder of a campaign."""

    def extract(self, out: str, options: Sequence[str], *, kills: int = 0) -> None:
        """Extracts all videos, after some runs that are killed.

        Args:
            out: Folder or URL.
            options: Further options of the command.
            kills: Number of runs that are killed first.
        """
        log, draw = self.work / "log.txt", random.Random(out)
        log.unlink(missing_ok=True)
        command = ["mgst-data", "extract", "--src", str(self.work / "input" / "videos"), "--out", out, *LIMITED]
        for _ in range(kills):
            process = self.zygote.start([*command, *options], log)
            if wait_for(process, draw.uniform(0.5, 3.0)) is None:
                os.kill(process, 9)
                os.waitpid(process, 0)
            self.zygote.left_behind(process)
        if code := wait_for(self.zygote.start([*command, *options], log), LIMIT):
            raise SystemExit(f"{out}: exit code {code}: {log.read_text()[-2000:]}")


def hash_of(location: str) -> str:
    """Returns one hash of all files of a folder, without the times that reports hold.

    Args:
        location: Folder or URL.
    """
    store, digest = ShardStore.at(location), hashlib.sha256()
    for name in store.names():
        data = re.sub(rb'"seconds": [0-9.e-]+', b"", store.read(name))
        digest.update(f"{name} {len(data)} ".encode() + data)
    return digest.hexdigest()


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parser.parse_args(given)
    work = arguments.work.resolve()
    os.environ.update(TMPDIR=str(work / "tmp"), MGST_CACHE=str(work / "cache"), OMP_NUM_THREADS="1")
    hashes: dict[str, str] = {}
    with ExitStack() as stack:
        here = all(importlib.util.find_spec(name) for name in ("moto", "s3fs"))
        if here:
            os.environ.update(stack.enter_context(s3_server()))
        ways = Ways(work, seed=0)
        make_input(work)
        shutil.rmtree(work / "ways", ignore_errors=True)

        def made(name: str, out: str, runs: Sequence[Sequence[str]], *, kills: int = 0) -> None:
            for options in runs:
                ways.extract(out, options, kills=kills)
            hashes[name] = hash_of(out)
            print(f"{name}: {hashes[name][:16]}", flush=True)

        for name, runs in LOCAL.items():
            made(name, str(work / "ways" / name), runs)
        made("one process, killed", str(work / "ways" / "killed"), LOCAL["one process"], kills=4)
        made("2 workers, killed", str(work / "ways" / "workers killed"), LOCAL["2 workers"], kills=4)
        if importlib.util.find_spec("ray"):
            made("Ray", str(work / "ways" / "ray"), [["--executor", "ray", "--workers", "2"]])
        if here:
            import fsspec

            fsspec.filesystem("s3").mkdir(BUCKET)
            made("S3, one process", f"s3://{BUCKET}/serial", LOCAL["one process"])
            made("S3, three parts", f"s3://{BUCKET}/parts", LOCAL["three parts"])
            made("S3, killed", f"s3://{BUCKET}/killed", LOCAL["one process"], kills=4)
    print(write_result("faults_same_bytes", {"hashes": hashes}, folder=arguments.results))
    if len(set(hashes.values())) > 1:
        sys.exit("the hashes differ")


if __name__ == "__main__":
    main()
