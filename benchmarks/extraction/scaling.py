"""Measures the speed of the extraction by the number of processes, each with a core of its own."""

from __future__ import annotations

import os
from pathlib import Path

from extraction.clips import GROUPS, Clips, pixels
from extraction.report import Figure, Section, alone
from extraction.speed import WARM_UP, our_fps

FRAMES, REPEATS = 100, 2


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures real runs with one process, two, four, and so on to one per core, in turn."""
    names = [name for group in GROUPS.values() for name in (group[:1] if quick else group)]
    paths = [clips.trimmed(clips.real(name), 24 if quick else FRAMES) for name in names]
    paths.sort(key=pixels, reverse=True)  # the longest work first; otherwise one core would work alone at the end
    warm_up = clips.trimmed(clips.real(GROUPS["256"][0]), WARM_UP)
    cores = sorted(os.sched_getaffinity(0))
    counts = sorted({1, len(cores), *(2**i for i in range(1, 10) if 2**i < len(cores))})
    runs: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(1 if quick else REPEATS):
        for count in counts:
            runs[count].append(alone(_fps, paths, warm_up, cores[:count], pinned=False))
            print(f"{count} processes: {runs[count][-1]:.1f}/s", flush=True)
    # The fastest runs: a slow period of the machine must not look like a cost of more processes.
    best = {count: max(fps) for count, fps in runs.items()}
    most = len(cores)
    name = f"all clips: {most} cores / {most} times one core"
    figure = Figure(name, best[most] / (most * best[1]), "x", at_least=0.95)
    return Section((figure,), {"frames_per_second": {str(count): fps for count, fps in runs.items()}})


def _fps(paths: list[Path], warm_up: Path, cores: list[int]) -> float:
    """Runs one process per core, on these cores only: a process decodes in a second thread, which would use another."""
    os.sched_setaffinity(0, cores)
    return float(our_fps(paths, warm_up, workers=len(cores), repeats=1)["fps"])
