"""What setup.cfg says of the packages is what lies on disk."""

from __future__ import annotations

import configparser
from pathlib import Path

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
