"""Data sets made of empty files: layouts read names and metadata, never a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest


def put(root: Path, name: str, content: object = "") -> None:
    """Writes a file: text as it is, anything else as JSON."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """``make_tree(["a/1.mp4", ...], {"labels.csv": "..."})`` makes the files and returns the folder."""

    def make(names: Iterable[str], contents: dict[str, Any] | None = None, *, at: str = "set") -> Path:
        root = tmp_path / at
        root.mkdir(parents=True, exist_ok=True)
        for name in names:
            put(root, name)
        for name, content in (contents or {}).items():
            put(root, name, content)
        return root

    return make
