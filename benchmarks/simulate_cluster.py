"""Simulates an extraction on 1 to 10,000 workers: wall time, efficiency and cost, by number of workers and shard size.

    python benchmarks/simulate_cluster.py                             # writes results/cluster.json and cluster.png
    python benchmarks/simulate_cluster.py --reports SHARDS            # with the durations of another extraction
    python benchmarks/simulate_cluster.py --check SHARDS RUN.json 1   # also compares with a finished extraction
    python benchmarks/simulate_cluster.py --quick                     # smoke test: few videos and workers

The durations of videos come from the reports of an extraction (``--reports``: a folder of shards). Without
``--reports`` they are those of the last result. RUN.json is the output of ``mgst-data extract --json --workers N`` for
a run that made all shards of SHARDS; give ``--check SHARDS RUN.json N`` once for each run, first for one worker.

What is simulated: cluster/simulation.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, write_result
from cluster.simulation import HOUR, PARTS, Cluster, Outcome, Shards, draw_videos, simulate

from mgst_data.shards import ShardFolder

WORKERS = (1, 10, 100, 1_000, 10_000)
PER_SHARD = (1, 4, 16, 64, 256)
# Millions of clips are simulated with the sizes and numbers of workers that make sense for them.
MANY = 1_000_000
MAIN_WAYS = ("queue", "queue, losses, URL", "parts")
DATASETS = {"DFDC": 119_154, "10 million clips": 10_000_000}
START, RESTART, LOSS_RATE, MACHINE, SLOW, SLOWNESS, PRICE = 90.0, 120.0, 0.05, 8, 0.05, 1.5, 0.04
# A larger shard size is preferred if the wall time is at most this much longer: there are fewer files.
TOLERANCE = 1.05


@dataclass(frozen=True, slots=True)
class Durations:
    """Measured durations, seconds: those of videos, and of a shard beside its videos (mean)."""

    videos: tuple[float, ...]
    overhead: float

    @staticmethod
    def of(folder: str, frames: int = 0) -> Durations:
        """Reads the reports of a folder of shards.

        Args:
            folder: Path or URL of the folder.
            frames: Number of frames that every video is taken to have; 0 for its own number.
        """
        reports = [report for report in ShardFolder.read(folder).reports() if report.videos]
        videos = [video for report in reports for video in report.videos if video.frames]
        beside = [report.seconds - sum(video.seconds for video in report.videos) for report in reports]
        seconds = tuple(round(video.seconds * (frames / video.frames if frames else 1), 4) for video in videos)
        return Durations(seconds, round(float(np.mean(beside)), 4))


def main() -> None:
    options = _options()
    if options.reports:
        durations = Durations.of(options.reports, options.frames)
    else:
        before = json.loads((RESULTS / "cluster.json").read_text())["figures"]["durations"]
        durations = Durations(tuple(before["videos"]), before["overhead"])
    base = Cluster(
        workers=1, workers_per_machine=options.machine, start=options.start, restart=options.restart,
        slow=options.slow, slowness=options.slowness,
    )  # fmt: skip
    datasets = {"few clips": 2_000} if options.quick else DATASETS
    workers = WORKERS[:3] if options.quick else WORKERS
    rows = [
        row
        for name, videos in datasets.items()
        for row in table(name, videos, durations, scenarios(base, options.loss_rate), workers, options)
    ]
    figures = {
        "durations": asdict(durations),
        "assumed": {
            **asdict(replace(base, loss_rate=options.loss_rate)),
            "price": options.price,
            "frames": options.frames,
        },
        "rows": rows,
        "best": [best for key in _keys(rows) if (best := best_size(rows, key))],
        "checks": check(options.check, options.seed),
    }
    if not options.quick:
        print(write_result("cluster", figures, folder=options.out))
        plot(figures, options.out / "cluster.png")
    for one in figures["checks"]:
        print(one)


def scenarios(base: Cluster, loss_rate: float) -> dict[str, Cluster]:
    """The ways to run: shards from a queue or in parts, machines that are lost or not, a folder or a URL."""
    lost = replace(base, loss_rate=loss_rate)
    return {
        "queue": base,
        "queue, losses, URL": lost,
        "queue, losses, folder": replace(lost, keeps_videos=True),
        "parts": replace(base, sharing=PARTS),
        "parts, losses, URL": replace(lost, sharing=PARTS),
    }


def table(
    name: str,
    videos: int,
    durations: Durations,
    ways: Mapping[str, Cluster],
    workers: Sequence[int],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Simulates a data set with every way to run, number of workers and shard size."""
    rows = []
    drawn = draw_videos(durations.videos, videos, np.random.default_rng(options.seed))
    sizes = [size for size in PER_SHARD if videos < MANY or size >= 16]
    workers = [number for number in workers if videos < MANY or number >= 100]
    shown_ways = {way: cluster for way, cluster in ways.items() if videos < MANY or way in MAIN_WAYS}
    for (way, cluster), number, size in itertools.product(shown_ways.items(), workers, sizes):
        rng = np.random.default_rng([options.seed, number])
        shards = Shards(drawn, size, durations.overhead)
        outcome = simulate(shards, replace(cluster, workers=number), rng)
        rows.append(
            {"dataset": name, "way": way, "workers": number, "per_shard": size, **shown(outcome, options.price)}
        )
        print(rows[-1], flush=True)
    return rows


def shown(outcome: Outcome, price: float) -> dict[str, Any]:
    """Returns an outcome as plain values: times in hours, and the cost."""
    return {
        "wall_hours": round(outcome.wall / HOUR, 4),
        "worker_hours": round(outcome.paid / HOUR, 2),
        "efficiency": round(outcome.efficiency, 4),
        "cost": round(outcome.cost(price), 2),
        "losses": outcome.losses,
        "repeated_hours": round(outcome.repeated / HOUR, 2),
        "ends_on_ray": outcome.ends,
    }


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return list(dict.fromkeys((row["dataset"], row["way"], row["workers"]) for row in rows))


def best_size(rows: Sequence[Mapping[str, Any]], key: tuple[str, str, int]) -> dict[str, Any]:
    """Returns the row with the largest shards whose wall time is within the tolerance of the shortest one.

    Args:
        rows: Rows of the table.
        key: Data set, way and number of workers.
    """
    mine = [row for row in rows if (row["dataset"], row["way"], row["workers"]) == key and row["ends_on_ray"]]
    if not mine:
        return {}
    limit = TOLERANCE * min(row["wall_hours"] for row in mine)
    return dict(max((row for row in mine if row["wall_hours"] <= limit), key=lambda row: row["per_shard"]))


def check(runs: Sequence[tuple[str, str, str]], seed: int) -> list[dict[str, Any]]:
    """Compares the simulated wall time of finished extractions with the measured one.

    The simulation gets the measured duration of every video, in the order of the plan. The time to start a worker is
    that of the first run: what its wall time is longer than its shards.

    Args:
        runs: Folder of shards, output of ``mgst-data extract --json`` and number of workers of each run; the first run
            has one worker.
        seed: Seed of the simulation.
    """
    found: list[dict[str, Any]] = []
    measured = [
        (_made(folder), json.loads(Path(run).read_text())["seconds"], int(workers)) for folder, run, workers in runs
    ]
    for shards, wall, workers in measured:
        first, first_wall, _ = measured[0]
        start = first_wall - float(first.sums().sum())
        walls = [
            simulate(work, Cluster(workers=workers, start=start), np.random.default_rng(seed)).wall
            for work in (shards, first)
        ]
        found.append(
            {
                "workers": workers,
                "videos": len(shards.videos),
                "start": round(start, 2),
                "measured": round(wall, 2),
                "simulated": round(walls[0], 2),
                "simulated_with_durations_of_first_run": round(walls[1], 2),
                "difference": round(walls[0] / wall - 1, 4),
            }
        )
    return found


def _made(folder: str) -> Shards:
    """Returns the measured durations of a folder whose shards all have the same number of videos."""
    reports = list(ShardFolder.read(folder).reports())
    (size,) = {len(report.videos) for report in reports}
    videos = np.array([video.seconds for report in reports for video in report.videos])
    return Shards(videos, size, Durations.of(folder).overhead)


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draws the efficiency over the number of workers, one line per shard size, with and without losses."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = figures["rows"]
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    made, axes = plt.subplots(len(names), len(MAIN_WAYS), figsize=(10, 3 * len(names)), squeeze=False, sharey=True)
    for (line, name), (column, way) in itertools.product(enumerate(names), enumerate(MAIN_WAYS)):
        panel = axes[line][column]
        for size in sorted({row["per_shard"] for row in rows}):
            mine = [row for row in rows if (row["dataset"], row["way"], row["per_shard"]) == (name, way, size)]
            panel.plot(
                [row["workers"] for row in mine], [100 * row["efficiency"] for row in mine], "o-", ms=3, label=size
            )
        panel.set(xscale="log", ylim=(0, 102), xlabel="workers" if line == len(names) - 1 else "")
        panel.set_title(f"{name}: {way}", fontsize=9)
        panel.grid(visible=True, alpha=0.3)
    for line in range(len(names)):
        axes[line][0].set_ylabel("efficiency, %")
    axes[0][0].legend(fontsize=7, title="videos per shard", title_fontsize=7)
    made.tight_layout()
    made.savefig(path, dpi=110)
    plt.close(made)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", default="", metavar="SHARDS", help="folder of shards with the durations")
    parser.add_argument("--frames", type=int, default=300, help="frames of every clip; 0 for those of the reports")
    parser.add_argument("--start", type=float, default=START, help="seconds until a machine works")
    parser.add_argument("--restart", type=float, default=RESTART, help="seconds until a lost machine is replaced")
    parser.add_argument("--loss-rate", type=float, default=LOSS_RATE, help="losses of a machine per hour")
    parser.add_argument("--machine", type=int, default=MACHINE, help="workers of a machine")
    parser.add_argument("--slow", type=float, default=SLOW, help="share of slow machines")
    parser.add_argument("--slowness", type=float, default=SLOWNESS, help="how many times as long they take")
    parser.add_argument("--price", type=float, default=PRICE, help="price of a worker per hour")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation")
    parser.add_argument(
        "--check",
        nargs=3,
        action="append",
        default=[],
        metavar=("SHARDS", "RUN", "WORKERS"),
        help="finished run; the first one with one worker",
    )
    parser.add_argument("--quick", action="store_true", help="smoke test: few videos and workers; writes no result")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for JSON and plot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
