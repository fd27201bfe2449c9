"""The README is true: its figures are those of the benchmarks, its example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract

ROOT = Path(__file__).parents[1]


def test_the_figures_are_those_of_the_benchmarks():
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "pages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def python_blocks() -> list[str]:
    return [part.split("```")[0] for part in (ROOT / "README.md").read_text().split("```python\n")[1:]]


def test_the_python_examples_run(tmp_path):
    """All but the one that needs a trained network, which tests of the detector run."""
    videos = render_demo(tmp_path / "videos", people=6, frames=16)
    (tmp_path / "video.mp4").symlink_to(videos[0])
    extract(
        scan_dataset(tmp_path / "videos"),
        ExtractConfig(),
        tmp_path / "demo" / "shards",
        executor="serial",
        device="cpu",
    )
    augment, video, loader, _ = python_blocks()
    parts = (
        augment.replace("224", "64"),
        "print(pair.fake)",
        video,
        "print(track)",
        loader.replace("num_workers=2", "num_workers=0"),
        "print(segment)",
    )
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(parts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split("(")[0] for line in done.stdout.splitlines()] == ["Segment", "CroppedTrack", "Segment"]
