"""Fixtures of the tests of augmentations."""

from __future__ import annotations

from collections.abc import Callable

import faces68
import pytest

from mgst_data.core import Segment


@pytest.fixture
def make_segment() -> Callable[..., Segment]:
    """Makes synthetic segments; see :func:`faces68.make`."""
    return faces68.make
