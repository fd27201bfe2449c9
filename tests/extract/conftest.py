"""Fixtures of the tests of extractions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import FakeExtractor

from mgst_data.extract import job, run


@pytest.fixture
def fake_extractor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts an extractor without models in place of the real one."""
    job._load.cache_clear()
    monkeypatch.setattr(job, "Extractor", FakeExtractor)
    monkeypatch.setattr(run, "Extractor", FakeExtractor)
    yield
    job._load.cache_clear()
