"""The packages in setup.cfg are those in the source tree, and the built wheel has all that the commands need."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_package_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {
        ".".join((name, *path.parent.relative_to(ROOT / top).parts))
        for top, name in (("mgst_data", "mgst_data"), ("mgst_model", "mgst_model"), ("cli", "mgst_cli"))
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed == found | {"mgst_configs"}


@pytest.mark.slow
def test_the_wheel_of_the_source_distribution_works_outside_of_the_source_tree(tmp_path):
    def run(*command: str, **options) -> str:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # First the source distribution, then the wheel from it; the build backend is the installed one.
    run("-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT))
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    # Folders of PYTHONPATH come before the editable installation.
    away = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(site), "PYTHONWARNINGS": "ignore"}}
    run("-c", f"import mgst_cli, mgst_data, mgst_model; assert mgst_cli.__file__.startswith({str(site)!r})", **away)
    run("-m", "mgst_cli.data", "demo", "--out", "videos", **away)
    options = ("--limit", "2", "--executor", "serial", "--config", str(site / "mgst_configs/extract/evaluation.toml"))
    run("-m", "mgst_cli.data", "extract", "--src", "videos", "--out", "shards", *options, **away)
    for command in ("data", "train", "evaluate", "predict", "export", "app"):
        assert "Usage: " in run("-m", f"mgst_cli.{command}", "--help", **away)
    run("-c", "from mgst_cli.common.tables import preset_file; assert preset_file('small').is_file()", **away)
    run("-c", "from mgst_cli.app.page import STYLE; assert STYLE.is_file()", **away)
