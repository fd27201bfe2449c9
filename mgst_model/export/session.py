"""Sessions of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mgst_data.core import UsageError
from mgst_data.core.errors import first_line
from mgst_data.core.optional import need

AGAIN = "export the weights again with mgst-export"


def open_session(path: Path, *, threads: int | None = None) -> Any:
    """Opens a session of ONNX Runtime on the CPU.

    Args:
        path: The ``.onnx`` file.
        threads: Threads of ONNX Runtime; None for as many as torch uses.

    Raises:
        UsageError: if the file is missing or is not ONNX.
        ImportError: if ONNX Runtime is not installed.
    """
    need("onnxruntime", "export")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    if not path.is_file():
        raise UsageError("no such file", where=path, hint="write it with mgst-export")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented, RuntimeError) as error:
        raise UsageError(f"not an ONNX file, or damaged: {first_line(error)}", where=path, hint=AGAIN) from error
