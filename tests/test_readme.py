"""The README is true: its figures are those of the benchmarks, its example runs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import build_experiment

from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract

ROOT = Path(__file__).parents[1]


def test_the_figures_are_those_of_the_benchmarks():
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variant", ["ours", "sbi"])
def test_the_presets_are_what_the_experiment_trains(variant, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    runs = importlib.import_module("generalise.runs")
    for stage in runs.stages(runs.QUICK, variant, 0, tmp_path):
        assert f"--preset {stage.preset} " in (ROOT / "README.md").read_text()
        settings = [f"{name}={value}" for name, value in stage.settings.items()]
        trained = build_experiment(preset_file(stage.preset), {}, settings).as_dict()
        shipped = build_experiment(preset_file(stage.preset), {}, ()).as_dict()
        # How fast it goes, and what is looked at meanwhile.
        for table, name in (
            ("data", "val_draws_per_video"),
            ("data", "workers"),
            ("train", "validate_every"),
            ("train", "precision"),
            ("train", "init_from"),
        ):
            del trained[table][name], shipped[table][name]
        assert trained == shipped


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
