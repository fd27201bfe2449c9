"""One folder of shards, and one export of it in each format."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_data.export_shards import write_folder

from mgst_data.export import FORMATS, export_tracks
from mgst_data.shards import FaceChunk, ShardReader


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of shards."""
    return write_folder(tmp_path_factory.mktemp("stored") / "shards")


@pytest.fixture(scope="session")
def chunks_by_key(stored: Path) -> dict[str, FaceChunk]:
    """The chunks of the folder by name of the sample."""
    return {chunk.key: chunk for chunk in ShardReader.open(stored)}


@pytest.fixture(scope="session")
def exports(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of complete exports, by format."""
    pytest.importorskip("datasets")
    pytest.importorskip("pycocotools")
    out = tmp_path_factory.mktemp("exports")
    return {to: export_tracks(stored, out / to, to=to).folder for to in FORMATS}
