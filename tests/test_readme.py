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
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def python_blocks() -> list[str]:
    return [part.split("```")[0] for part in (ROOT / "README.md").read_text().split("```python\n")[1:]]


def test_the_augmentation_example_runs():
    code = python_blocks()[1].replace("224", "64") + "\nprint(pair.fake)\n"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Segment(2x16")


def test_the_python_example_runs(tmp_path):
    render_demo(tmp_path / "videos", people=6, frames=16)
    scan = scan_dataset(tmp_path / "videos")
    extract(scan, ExtractConfig(), tmp_path / "demo" / "shards", executor="serial", device="cpu")
    code = python_blocks()[0].replace("workers=2", "workers=0") + "\nprint(segment)\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Segment(")
