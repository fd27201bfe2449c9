"""Fixtures that run ``mgst-data`` in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from click.testing import CliRunner, Result
from face_videos import encode, faces
from mgst_cli.data import data

from mgst_data.extract.executors import EXECUTORS

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def mgst_data() -> Run:
    """``mgst_data("inspect", folder)`` runs the command; arguments may be paths and numbers."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(data, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def face_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four short videos with a face each, two of them fake, in two splits."""
    root = tmp_path_factory.mktemp("set")
    for number, place in enumerate(("train/real/a", "train/fake/swap/b", "test/real/c", "test/fake/swap/d")):
        path = root / f"{place}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, faces(12, (15 + 3 * number, 20)))
    return root


class Backwards:
    """Runs the last task first in this process, and treats some records as if they had ended two workers."""

    lost = MappingProxyType({})

    def __init__(self, *, workers=None):
        pass

    def map(self, work, tasks):
        for task in reversed(tasks):
            yield from work(task, self.lost)


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> type[Backwards]:
    """The class of an executor with the name ``backwards``."""
    monkeypatch.setitem(EXECUTORS._own, "backwards", Backwards)
    return Backwards
