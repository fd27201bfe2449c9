"""Sessions of exported networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgst_data.core import UsageError
from mgst_data.sessions import open_session

AGAIN = "export the weights again with mgst-export"


def session_of(path: Path, *, threads: int | None = None) -> Any:
    """Opens a session of ONNX Runtime with an exported network.

    Args:
        path: The ``.onnx`` file.
        threads: Threads of ONNX Runtime; None for as many as torch uses.

    Raises:
        UsageError: if the file is missing or is not ONNX.
        ImportError: if ONNX Runtime is not installed.
    """
    if not path.is_file():
        raise UsageError("no such file", where=path, hint="write it with mgst-export")
    return open_session(path, where=path, extra="export", hint=AGAIN, threads=threads)
