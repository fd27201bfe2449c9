"""Measures the frames per second of the whole pipeline and of a common pipeline, on the same clips."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from extraction.clips import GROUPS, Clips, pixels, record
from extraction.pipelines import Ours, Peer, in_turn
from extraction.report import SPAWN, Figure, Section, alone, cores, one_thread
from mgst_data.extract import ExtractConfig, ExtractJob
from mgst_data.extract.executors import ProcessExecutor
from mgst_data.shards import ShardReport, ShardTask, VideoReport
from mgst_data.shards.store import ShardStore

# The peer does the same work on every frame, so few frames are enough to measure it. Our pipeline is slower at the
# beginning (more key frames, memory that is not yet allocated), so it gets as many frames as a typical clip has.
OUR_FRAMES, PEER_FRAMES = 300, 64
# Order of one turn. The peer is slow, so ours runs before, between and after the peers: a slow period of the machine
# then shows in the spread of ours.
TURN = ("ours", "peer", "ours", "peer_min_face_40", "ours")
# Groups with a second turn, because the peer needs only seconds for them.
TWICE = ("256",)
TARGETS = {"1080p": 25.0, "720p": 15.0, "512": 10.0}
REPEATS = 3
# Tiny videos per process before the measurement: by then all processes have loaded their models.
WARM_UPS = 12
WARM_UP = 8

Clip = tuple[str, str, Path, Path]


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures both pipelines on one core, clip by clip, and on all cores, all clips at once."""
    groups = {group: names[-1:] for group, names in GROUPS.items() if group in ("720p", "256")} if quick else GROUPS
    ours, peers = (24, 24) if quick else (OUR_FRAMES, PEER_FRAMES)
    chosen = [
        (group, name, clips.trimmed(clips.real(name), ours), clips.trimmed(clips.real(name), peers))
        for group, names in groups.items()
        for name in names
    ]
    warm_up = clips.trimmed(clips.real(GROUPS["256"][0]), WARM_UP)
    rows = alone(one_core, chosen, warm_up)
    together = all_cores([short for *_, short in chosen], warm_up)
    figures, medians = _figures(rows, together)
    details = {
        "frames_per_clip": {"ours": ours, "peer": peers, "all cores, both": peers},
        "turn": TURN,
        "clips": rows,
        "median_by_group": medians,
        "all_cores": together,
    }
    return Section(tuple(figures), details)


def one_core(clips: list[Clip], warm_up: Path) -> list[dict[str, Any]]:
    """Measures every pipeline on every clip, in turn. The time is the processor time of all threads of the process."""
    works: dict[str, Callable[[Path], tuple[int, int]]] = {
        "ours": Ours(),
        "peer": Peer(),
        "peer_min_face_40": Peer(min_face=40),
    }
    for work in works.values():
        work(warm_up)
    rows = []
    for group, name, long, short in clips:
        paths = {pipeline: long if pipeline == "ours" else short for pipeline in works}
        timed = in_turn(works, paths, TURN * (2 if group in TWICE else 1))
        row: dict[str, Any] = {"clip": name, "group": group, **timed}
        row["ratio"] = row["ours"]["fps"] / row["peer"]["fps"]
        row["ratio_min_face_40"] = row["ours"]["fps"] / row["peer_min_face_40"]["fps"]
        rows.append(row)
        print(
            f"{group:>6} {name:40} ours {row['ours']['fps']:6.1f}/s, peer {row['peer']['fps']:5.1f}/s,"
            f" {row['ratio']:5.1f}x ({row['ratio_min_face_40']:.1f}x with min_face_size=40)",
            flush=True,
        )
    return rows


def all_cores(paths: list[Path], warm_up: Path) -> dict[str, Any]:
    """Measures all clips with one process per core: wall-clock time after the models are loaded."""
    # The longest work first; otherwise one core would work alone at the end.
    paths = sorted(paths, key=pixels, reverse=True)
    ours = our_fps(paths, warm_up, workers=cores(), repeats=REPEATS)
    frames, seconds = _peer_processes(paths, warm_up)
    peer = {"fps": frames / seconds, "runs": 1}
    print(f"all {cores()} cores: ours {ours['fps']:.1f}/s, peer {peer['fps']:.1f}/s", flush=True)
    return {"cores": cores(), "ours": ours, "peer": peer, "ratio": ours["fps"] / peer["fps"]}


def our_fps(paths: list[Path], warm_up: Path, *, workers: int, repeats: int) -> dict[str, Any]:
    """Measures real runs that write shards: frames per second, of the median, slowest and fastest run."""
    frames, seconds = zip(*(_our_processes(paths, warm_up, workers) for _ in range(repeats)), strict=True)
    low, middle, high = (frames[0] / choose(seconds) for choose in (max, statistics.median, min))
    return {"fps": middle, "low": low, "high": high, "runs": repeats}


def _our_processes(paths: list[Path], warm_up: Path, workers: int) -> tuple[int, float]:
    """Returns the frames and the seconds of a real run that writes shards.

    Raises:
        RuntimeError: if a video is skipped, or no shard is made.
    """
    warm = WARM_UPS * workers  # one process may be loaded long before another
    tasks = [ShardTask(f"warm-{i:06d}", (record(warm_up, f"warm{i}"),)) for i in range(warm)]
    tasks += [ShardTask(f"all-{i:06d}", (record(path, f"clip{i}"),)) for i, path in enumerate(paths)]
    frames = shards = 0
    start = math.nan
    with tempfile.TemporaryDirectory() as folder:
        job = ExtractJob(ExtractConfig(), ShardStore.at(folder))
        for event in ProcessExecutor(workers=workers).map(job, tasks):
            if isinstance(event, VideoReport):
                if event.skipped:
                    raise RuntimeError(event.message)
                frames += event.frames if event.key.startswith("clip") else 0
            elif isinstance(event, ShardReport):
                shards += 1
                start = time.perf_counter() if shards == warm else start
        if math.isnan(start):
            raise RuntimeError("the run made no shard")
        return frames, time.perf_counter() - start


def _peer_processes(paths: list[Path], warm_up: Path) -> tuple[int, float]:
    ready = SPAWN.Barrier(cores() + 1)
    with SPAWN.Pool(cores(), initializer=_load_peer, initargs=(warm_up, ready)) as pool:
        ready.wait()
        start = time.perf_counter()
        frames = sum(pool.imap_unordered(_run_peer, paths))
        return frames, time.perf_counter() - start


def _load_peer(warm_up: Path, ready: Any) -> None:
    one_thread()
    _peer()(warm_up)
    ready.wait()


def _run_peer(path: Path) -> int:
    return _peer()(path)[0]


@lru_cache(maxsize=1)
def _peer() -> Peer:
    """Loads the models once per process."""
    return Peer()


def _figures(rows: list[dict[str, Any]], together: dict[str, Any]) -> tuple[list[Figure], dict[str, Any]]:
    medians: dict[str, dict[str, float]] = {}
    figures = []
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        medians[group] = {name: statistics.median(row[name] for row in mine) for name in ("ratio", "ratio_min_face_40")}
        medians[group] |= {f"{p}_fps": statistics.median(row[p]["fps"] for row in mine) for p in ("ours", "peer")}
        figures += [
            Figure(f"{group}: ours / peer, one core", medians[group]["ratio"], "x", at_least=TARGETS.get(group)),
            Figure(f"{group}: ours / peer with min_face_size=40, one core", medians[group]["ratio_min_face_40"], "x"),
        ]
    figures.append(Figure(f"all clips: ours / peer, all {together['cores']} cores", together["ratio"], "x"))
    return figures, medians
