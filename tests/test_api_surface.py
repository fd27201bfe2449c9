"""The public names are complete, listed, and change only on purpose."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from api_surface import PACKAGES

HERE = Path(__file__).parent


def test_the_public_names_match_the_record():
    command = [sys.executable, "-W", "ignore", str(HERE / "api_surface.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    assert done.returncode == 0, done.stderr
    found, recorded = json.loads(done.stdout), json.loads((HERE / "api_surface.json").read_text())
    for package in sorted({*found, *recorded}):
        now, before = found.get(package, {}), recorded.get(package, {})
        changed = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
        assert not changed, (
            f"{package}: {', '.join(changed)} changed. If this is meant, say so in CHANGELOG.md and run "
            "python tests/api_surface.py > tests/api_surface.json"
        )


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_once_and_has_a_docstring(name):
    package = importlib.import_module(name)
    assert len(package.__all__) == len(set(package.__all__))
    for public in package.__all__:
        assert not public.startswith("_") or public == "__version__"
        assert hasattr(package, public), public


def test_every_package_is_in_the_list():
    found = {
        info.name
        for top in ("mgst_data", "mgst_model")
        for info in pkgutil.walk_packages(importlib.import_module(top).__path__, f"{top}.")
        if info.ispkg and not any(part.startswith("_") for part in info.name.split("."))
    }
    # Packages whose names are exported by a parent package, or that are internal.
    inner = {"mgst_data.augment.blend", "mgst_data.augment.functional", "mgst_model.layers"}
    assert found - inner == set(PACKAGES) - {"mgst_data", "mgst_data.testing"}
