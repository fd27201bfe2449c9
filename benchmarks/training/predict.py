"""Measures a whole prediction, from a video file to scores, timeline and annotated video, relative to real time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import torch
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import build_experiment

from mgst_model.networks import build_network
from mgst_model.networks.checkpoint import save_network


def measure_prediction(video: Path, preset: str, *, annotated: bool) -> dict[str, Any]:
    """Runs ``mgst-predict`` in a separate process, as a user does, with the network of a preset.

    Args:
        video: Video file.
        preset: Name of a file of configs/train; the network has the initial weights of a training.
        annotated: Whether the annotated video is written.
    """
    experiment = build_experiment(preset_file(preset), {}, [])
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment.network)
        data = experiment.data
        weights = save_network(
            Path(scratch, "network"), network, experiment.network, frames=data.scored_frames, size=data.size
        )
        command = [sys.executable, "-m", "mgst_cli.predict", str(video), "--weights", str(weights), "--json"]
        command += ["--out", str(Path(scratch, "out")), "--device", "cpu"] + ([] if annotated else ["--no-video"])
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        rate = float(stream.average_rate or 25)
        frames = stream.frames
    scored = json.loads(done.stdout)["videos"][0]
    return {
        "video": video.name,
        "frames": frames,
        "video_seconds": round(frames / rate, 2),
        "tracks": len(scored["tracks"]),
        "seconds": round(seconds, 2),
        "frames_per_second": round(frames / seconds, 2),
        "real_time": round(frames / rate / seconds, 3),
        "annotated": annotated,
    }
