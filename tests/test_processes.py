"""The start of child processes does not change the settings of this process."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import subprocess
from contextlib import suppress

import pytest

from mgst_data.processes import heavy_imports, obey_parent


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


def deaf(ready):
    obey_parent()
    ready.set()
    signal.pause()


def test_a_process_that_ignores_sigterm_still_ends_for_its_parent():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=deaf, args=(ready,), daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        assert ready.wait(60)
        subprocess.run(["sh", "-c", f"kill -TERM {process.pid}"], check=True)
        process.join(0.2)
        assert process.is_alive()
        process.terminate()
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
