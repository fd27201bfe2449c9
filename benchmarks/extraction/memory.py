"""Measures the memory of one worker: its peak at 1080p, and its growth from video to video."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from extraction.clips import GROUPS, Clips
from extraction.report import Figure, Section, alone, resident_bytes
from extraction.worker import work

PEAK_FRAMES = 250
VIDEOS, FRAMES, EVERY = 200, 24, 10
# Number of videos after which all caches and libraries are initialised.
SETTLED = 50
MB = 1e6


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures a new worker for each 1080p clip, and one worker for 200 short videos of all sizes."""
    names = (*GROUPS["1080p"][:2], GROUPS["crowd"][0])[: 1 if quick else None]
    peaks = {name: peak(clips.trimmed(clips.real(name), 32 if quick else PEAK_FRAMES)) for name in names}
    print({name: f"{row['peak_gb']:.2f} GB" for name, row in peaks.items()}, flush=True)
    # Ten sizes and codecs in turn, so that the worker is in a similar state after every tenth video.
    mixed = [name for group in ("256", "512", "720p") for name in GROUPS[group][-3:]] + [GROUPS["1080p"][1]]
    paths = [clips.trimmed(clips.real(name), FRAMES) for name in mixed]
    growth = alone(grow, paths, 40 if quick else VIDEOS)
    settled = np.array(
        [[row["videos"], row["rss_mb"]] for row in growth if row["videos"] >= (20 if quick else SETTLED)]
    )
    slope = 100 * float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    figures = (
        Figure("peak memory of a worker at 1080p", max(row["peak_gb"] for row in peaks.values()), "GB", at_most=1.5),
        # The limit is the difference between two runs of the same measurement.
        Figure("memory growth of a worker after 50 videos", slope, "MB / 100 videos", at_most=5),
    )
    details = {"peak": peaks, "growth": growth, "videos_of": mixed, "frames_per_video": FRAMES}
    return Section(figures, details)


def peak(path: Path) -> dict[str, float]:
    """Returns the peak memory of a worker, and its part in the pages of libraries, which all workers share.

    The worker is a new process and not a fork of this one, because this process has imported more than a worker.
    """
    command = [sys.executable, "-m", "extraction.worker", str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def grow(paths: list[Path], videos: int) -> list[dict[str, Any]]:
    """Returns the resident memory of a worker after every ``EVERY`` videos."""
    rows = []
    for done in range(EVERY, videos + 1, EVERY):
        work(paths, EVERY)
        rows.append({"videos": done, "rss_mb": resident_bytes("VmRSS") / MB})
    marks = {20, 50, 100, 150, 200}
    print({row["videos"]: f"{row['rss_mb']:.0f} MB" for row in rows if row["videos"] in marks}, flush=True)
    return rows
