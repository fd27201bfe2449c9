"""The commands that are killed: their input, their arguments, and what of their output must be bit-identical."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from zygote import PATIENCE

VIDEOS, FRAMES, SIZE = 6, 9, (160, 128)
# Options of extractions of few and short videos.
LIMITED = (
    "--limit", str(VIDEOS), "--frames", "6", "--min-frames", "3", "--masks", "--videos-per-shard", "2",
    "--device", "cpu",
)  # fmt: skip
CONFIG = """
[network]
backbone = "test_convnext"
pretrained = "random"
dim = 16
heads = 2
blocks = 3
embedding_dim = 8
[data]
frames = 3
size = 32
batch_size = 2
draws_per_video = 4
val_draws_per_video = 1
workers = {workers}
[train]
epochs = 2
ema_decay = 0.9
save_every = 2
"""
# Folder that grows with every start of a training: its logs for TensorBoard. They have times, and are no result.
LOGS = "tensorboard"
# Name of every output folder: titles of pages have it.
OUT = "out"
# Values of JSON files that are times.
_TIMES = re.compile(rb'"(seconds|[a-z_]*_seconds|date|time)": "?[^",}\]]*"?')

# Way up from a page to the videos that it links to. It depends on the place of the output folder.
_UP = re.compile(rb"(?:\.\./)+")


@dataclass(frozen=True, slots=True)
class Job:
    """A command that is killed and started again until it is complete.

    Attributes:
        name: Name in the tables.
        command: Makes the command from its output folder.
        patience: Largest number of kills of one round. Then the command runs to its end: one that starts over each time
            would never end otherwise.
        workers: Whether it has worker processes that are killed too, while the command goes on.
        timed: Files that show times. Their content is not compared.
        lingers: Seconds that its processes may take to end after it was killed.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    patience: int
    workers: bool = False
    timed: tuple[str, ...] = ()
    lingers: float = PATIENCE

    @property
    def folder(self) -> str:
        """Name of a folder."""
        return self.name.replace(",", "").replace(" ", "-")


def jobs(work: Path) -> list[Job]:
    """Returns the commands; with Ray only where it is installed.

    The input of some is the output of others, so they are run in this order first.

    Args:
        work: Folder of the campaign.
    """
    videos, undisturbed = work / "input" / "videos", work / "undisturbed"
    shards, network = undisturbed / "extract-serial" / OUT, undisturbed / "train-in-one-process" / OUT

    def extraction(*more: str) -> Callable[[Path], Sequence[str]]:
        return lambda out: ["mgst-data", "extract", "--src", str(videos), "--out", str(out), *LIMITED, *more]

    def training(workers: int) -> Callable[[Path], Sequence[str]]:
        config = work / "input" / f"workers_{workers}.toml"
        return lambda out: [
            "mgst-train", str(shards), "--config", str(config), "--out", str(out), "--device", "cpu",
        ]  # fmt: skip

    def prediction(out: Path) -> Sequence[str]:
        wanted = [str(path) for path in sorted((videos / "original_sequences").rglob("*.mp4"))[:2]]
        return ["mgst-predict", *wanted, "--weights", str(network), "--out", str(out), "--device", "cpu"]

    def evaluation(out: Path) -> Sequence[str]:
        options = ["--split", "all", "--allow-trained-on", "--resamples", "20", "--device", "cpu"]
        return ["mgst-eval", str(shards), "--weights", str(network), "--out", str(out), *options]

    return [
        Job("extract, serial", extraction("--executor", "serial"), patience=20),
        Job("extract, 2 processes", extraction("--workers", "2"), patience=20, workers=True),
        Job("train, in one process", training(0), patience=20, timed=("report.html",)),
        Job("train, a process reads", training(1), patience=20, timed=("report.html",)),
        Job("mgst-predict", prediction, patience=4),
        Job("mgst-eval", evaluation, patience=4),
        *([_on_ray(extraction("--executor", "ray", "--workers", "2"))] if _has_ray() else []),
    ]


def _on_ray(command: Callable[[Path], Sequence[str]]) -> Job:
    # The agents of a Ray node notice the end of the node by themselves, within about a minute.
    return Job("extract, Ray", command, patience=4, lingers=120.0)


def _has_ray() -> bool:
    return importlib.util.find_spec("ray") is not None


def more_jobs(work: Path) -> list[Job]:
    """Returns commands that read the shards of :func:`jobs`, for faults of systems.

    Args:
        work: Folder of the campaign.
    """
    shards = str(work / "undisturbed" / "extract-serial" / OUT)

    def command(name: str, *options: str) -> Callable[[Path], Sequence[str]]:
        return lambda out: ["mgst-data", name, shards, "--out", str(out), *options]

    return [
        Job("mgst-data sheet", command("sheet"), patience=4),
        Job("mgst-data export", command("export", "--to", "folders"), patience=4),
        Job("mgst-data report", command("report"), patience=4, timed=("report.html",)),
    ]


def light_jobs() -> list[Job]:
    """Returns extractions of made-up chunks, which take a tenth of a second."""

    def run(*arguments: str) -> Callable[[Path], Sequence[str]]:
        return lambda out: ["made-up", str(out), *arguments]

    return [
        Job("made-up chunks, serial", run("serial", "1"), patience=30),
        Job("made-up chunks, 2 processes", run("process", "2"), patience=30, workers=True),
        Job("made-up chunks, two parts", run("serial", "1", "2/2", "1/2"), patience=30),
    ]


def light_commands(work: Path) -> list[Job]:
    """Returns the command ``mgst-data extract`` with made-up chunks, for faults of systems.

    Args:
        work: Folder of the campaign.
    """
    source = work / "input" / "set"
    for number in range(VIDEOS):
        (source / "real").mkdir(parents=True, exist_ok=True)
        (source / "real" / f"{number}.mp4").touch()
    given = ["made-up", "extract", "--src", str(source), "--videos-per-shard", "2", "--device", "cpu"]
    return [
        Job("mgst-data extract, serial", lambda out: [*given, "--out", str(out), "--executor", "serial"], patience=4),
        Job("mgst-data extract, 2 processes", lambda out: [*given, "--out", str(out), "--workers", "2"], patience=4),
    ]


def make_input(work: Path) -> None:
    """Renders the videos, and writes the configurations of the training.

    Args:
        work: Folder of the campaign.
    """
    folder = work / "input"
    if (folder / "workers_1.toml").exists():
        return
    size, frames = f"{SIZE[0]}, {SIZE[1]}", FRAMES
    code = f"from mgst_data.demo import render_demo; render_demo({str(folder / 'videos')!r}, people=6, frames={frames}"
    subprocess.run([sys.executable, "-c", f"{code}, size=({size}))"], check=True)
    for workers in (0, 1):
        (folder / f"workers_{workers}.toml").write_text(CONFIG.format(workers=workers))


def contents(out: Path, timed: Sequence[str] = ()) -> dict[str, bytes]:
    """Returns all files of an output folder by name, without what depends on the time and the place.

    Args:
        out: The folder.
        timed: Files whose content is left out.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not name.startswith(f"{LOGS}/"):
            found[name] = b"" if name in timed else _without_times(name, path.read_bytes(), out)
    return found


def _without_times(name: str, data: bytes, out: Path) -> bytes:
    data = data.replace(str(out).encode(), b"OUT")
    if name.endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        kept = [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]
        return json.dumps(kept).encode()
    if name.endswith(".pt"):
        return _values(torch.load(io.BytesIO(data), weights_only=True)).encode()
    if name.endswith(".html"):
        data = _UP.sub(b"../", data)
    return _TIMES.sub(rb'"\1": 0', data) if name.endswith((".json", ".html")) else data


def _values(state: Any) -> str:
    """Returns the values of a saved state as text: equal states can differ in how often they store an equal value."""
    if isinstance(state, torch.Tensor):
        return f"{state.dtype} {tuple(state.shape)} {hashlib.sha256(state.numpy().tobytes()).hexdigest()}"
    if isinstance(state, dict):
        return "".join(f"{key}: {_values(value)}\n" for key, value in state.items())
    if isinstance(state, (list, tuple)):
        return f"[{', '.join(map(_values, state))}]"
    return repr(state)
