"""Data sets of empty files: layouts read only names and metadata, never videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mgst_data.datasets import Scan


def put(root: Path, name: str, content: object = "") -> None:
    """Writes a file: text unchanged, other content as JSON."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """``make_tree(["a/1.mp4", ...], {"labels.csv": "..."})`` writes the files and returns the folder."""

    def make(names: Iterable[str], contents: dict[str, Any] | None = None, *, at: str = "set") -> Path:
        root = tmp_path / at
        root.mkdir(parents=True, exist_ok=True)
        for name in names:
            put(root, name)
        for name, content in (contents or {}).items():
            put(root, name, content)
        return root

    return make


@pytest.fixture
def rows() -> Callable[..., list[tuple[Any, ...]]]:
    """``rows(scan)`` returns video, label, split, method, target and source of every record."""

    def of(scan: Scan) -> list[tuple[Any, ...]]:
        return [(r.video, r.label, r.split, r.method, r.target_key, r.source_key) for r in scan.records]

    return of
