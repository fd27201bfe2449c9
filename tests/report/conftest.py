"""One report, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.report_folder import write_folder

from mgst_data.report import ReportSummary, write_report


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of shards, and the folder of the data set."""
    return write_folder(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="session")
def summary(folders: tuple[Path, Path]) -> ReportSummary:
    """A report with the first frames of skipped videos, four frames in each film strip."""
    shards, root = folders
    return write_report(shards, shards.parent / "report", roots=[str(root)], frames=4, side=48, workers=1)
