"""The start of child processes does not change the settings of this process."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from mgst_data.processes import heavy_imports


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_off_while_libraries_are_imported(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with suppress(ImportError), heavy_imports():
            during = gc.isenabled()
            raise ImportError
        assert not during
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
        gc.unfreeze()
