"""Gives broken files to the commands and counts what becomes of them.

    python benchmarks/faults/bench_broken_input.py --work runs/broken --files 10000

It writes results/faults_broken.json. Every file has a number, from which it is made: the same seed gives the same
files.
What was checked is kept in ``--work``, so that a stopped campaign continues. Videos and pictures are extracted in
folders, between sound files that must come out complete; all others are read by the commands and functions that read
such files. Each fault is listed with the number of its file, and ``--only KIND --number N`` repeats it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from broken_data import MAKERS, Sound  # noqa: E402
from broken_extract import MEMORY as WORKER_MEMORY  # noqa: E402
from broken_extract import SECONDS as VIDEO_SECONDS  # noqa: E402
from broken_extract import SUFFIXES, rate, run_folder, start_server  # noqa: E402
from broken_run import MEMORY, SECONDS, preload, run_slice  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Share of each kind in all files.
SHARES = {"videos": 0.28, "pictures": 0.2, "tables": 0.18, "configurations": 0.12, "shards": 0.14, "weights": 0.08}
# Files per folder or forked process.
SLICE = {"videos": 20, "pictures": 50, "tables": 200, "configurations": 200, "shards": 100, "weights": 50}


def make_sound(work: Path) -> tuple[Sound, dict[str, bytes]]:
    """Renders videos with the demo, and makes shards of them, once.

    Args:
        work: Folder of the campaign.

    Returns:
        Sound files, and content of videos and pictures by suffix.
    """
    import broken_media

    from mgst_data.datasets import scan_dataset
    from mgst_data.demo.film import Person
    from mgst_data.extract import ExtractConfig, extract

    media = work / "sound"
    if not (media / "tif").exists():
        media.mkdir(parents=True, exist_ok=True)
        frames = list(Person(0, seed=0, frames=10, fps=25, size=(192, 144)).film())
        for suffix, content in broken_media.seeds(frames).items():
            (media / suffix).write_bytes(content)
    content = {path.name: path.read_bytes() for path in media.iterdir()}
    shards = work / "shards"
    if not (shards / "dataset.json").exists():
        for name, suffix in (("real/a", "mp4"), ("fake/b", "avi")):
            path = work / "small" / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[suffix])
        scan = scan_dataset(work / "small", layout="folder")
        extract(scan, ExtractConfig(frames=4, size=96), shards, executor="serial", device="cpu", videos_per_shard=1)
    configs = tuple(sorted((ROOT / "configs").rglob("*.toml")))
    return Sound(shards, ROOT / "mgst_model" / "pretrained" / "detector.safetensors", configs), content


def summary(outcomes: Iterable[dict[str, Any]], lost: list[str], seconds: float, seed: int) -> dict[str, Any]:
    """Counts the outcomes.

    Args:
        outcomes: Outcomes of all files.
        lost: What was lost or written where it must not be.
        seconds: Time of the campaign.
        seed: Seed of the campaign.
    """
    outcomes = list(outcomes)
    kinds = {}
    for kind in SHARES:
        mine = [one for one in outcomes if one["kind"] == kind]
        verdicts = Counter(one["verdict"] for one in mine)
        kinds[kind] = {
            "files": len(mine),
            **{name: verdicts[name] for name in ("accepted", "refused", "skipped", "fault")},
            "reasons": dict(Counter(one["detail"] for one in mine if one["verdict"] == "skipped").most_common()),
        }
    mutations = Counter(one["mutation"] for one in outcomes)
    return {
        "seed": seed,
        "files": len(outcomes),
        "seconds": round(seconds),
        "limits": {
            "video_timeout": VIDEO_SECONDS,
            "worker_memory": WORKER_MEMORY,
            "seconds": SECONDS,
            "memory": MEMORY,
        },
        "kinds": kinds,
        "mutations": dict(mutations.most_common()),
        "faults": [one for one in outcomes if one["verdict"] == "fault"],
        "lost": lost,
    }


def main() -> None:
    """Runs the campaign, or continues it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    parser.add_argument("--files", type=int, default=10_000, help="number of files [default: 10000]")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no new folder after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(SHARES), action="append", help="only this kind; can be repeated")
    parser.add_argument("--number", type=int, help="only the file with this number")
    parser.add_argument("--results", type=Path, help="folder for the JSON [default: benchmarks/results]")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    kinds = arguments.only or list(SHARES)
    log = work / "outcomes.jsonl"
    if set(kinds) & set(SUFFIXES):
        start_server(work / "watched.txt")
    preload()
    sound, content = make_sound(work)
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    state = (
        json.loads((work / "state.json").read_bytes()) if (work / "state.json").exists() else {"lost": [], "seconds": 0}
    )
    done = Counter(one["kind"] for one in known)
    began, count = time.monotonic(), 0
    while time.monotonic() - began < arguments.seconds:
        open_kinds = [kind for kind in kinds if done[kind] < round(arguments.files * SHARES[kind])]
        if not open_kinds and arguments.number is None:
            break
        kind = min(open_kinds or kinds, key=lambda kind: done[kind] / SHARES[kind])
        last = min(done[kind] + SLICE[kind], round(arguments.files * SHARES[kind]))
        numbers = range(done[kind], last)
        if arguments.number is not None:
            numbers = range(arguments.number, arguments.number + 1)
            log = work / "repeated.jsonl"
        place = work / "try"
        place.mkdir(exist_ok=True)
        if kind in MAKERS:
            outcomes, lost = run_slice(kind, numbers, arguments.seed, place, sound, log), []
        else:
            outcomes, lost = run_folder(kind, numbers, arguments.seed, place, content, log)
        done[kind] += len(numbers)
        count += len(numbers)
        state["lost"] += lost
        for outcome in outcomes:
            if outcome.verdict == "fault" or arguments.number is not None:
                print(f"{outcome.verdict}: {outcome.kind} {outcome.number} ({outcome.mutation}): {outcome.detail}")
        print(f"{kind}: {rate(began, count)}", *lost, sep="\n  ", flush=True)
        if arguments.number is not None:
            return
        seconds = state["seconds"] + time.monotonic() - began
        (work / "state.json").write_text(json.dumps({"lost": state["lost"], "seconds": seconds}))
    from _common import RESULTS, write_result

    known = [json.loads(line) for line in log.read_text().splitlines()]
    figures = summary(known, state["lost"], state["seconds"] + time.monotonic() - began, arguments.seed)
    write_result("faults_broken", figures, folder=arguments.results or RESULTS)
    print(f"{figures['files']} files, {len(figures['faults'])} faults, {len(figures['lost'])} losses")


if __name__ == "__main__":
    main()
