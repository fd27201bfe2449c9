"""Measures a whole prediction, from a video file to scores, timeline and annotated video, relative to real time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av

SCORES_ONLY = ("--no-video", "--no-report")


def measure_prediction(video: Path, *, runtime: str, annotated: bool, repeats: int) -> dict[str, Any]:
    """Runs ``mgst-predict`` with the weights that come with it in a separate process, as a user does.

    Args:
        video: Video file.
        runtime: "torch" or "onnx".
        annotated: Whether the annotated video and the page are written.
        repeats: Number of runs; the result is their median.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mgst_cli.predict", str(video), "--runtime", runtime, "--json"]
        command += ["--out", str(Path(scratch, "out")), "--device", "cpu", *(() if annotated else SCORES_ONLY)]
        runs = []
        for _ in range(repeats):
            before = _processor_seconds()
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append((time.perf_counter() - began, _processor_seconds() - before))
    seconds, processor = sorted(runs)[len(runs) // 2]
    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        rate = float(stream.average_rate or 25)
        frames = stream.frames
    scored = json.loads(done.stdout)["videos"][0]
    return {
        "video": video.name,
        "runtime": runtime,
        "frames": frames,
        "video_seconds": round(frames / rate, 2),
        "tracks": len(scored["tracks"]),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "runs": repeats,
        "real_time": round(frames / rate / seconds, 3),
        "annotated": annotated,
    }


def measure_help(command: str, repeats: int) -> float:
    """Returns the processor time of ``command --help``, seconds: the median of several runs.

    Args:
        command: Module of the command.
        repeats: Number of runs.
    """
    times = []
    for _ in range(repeats):
        before = _processor_seconds()
        subprocess.run([sys.executable, "-m", command, "--help"], capture_output=True, check=True)
        times.append(_processor_seconds() - before)
    return sorted(times)[repeats // 2]


def _processor_seconds() -> float:
    """Returns the processor time of all child processes that have ended, also that of their own children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
