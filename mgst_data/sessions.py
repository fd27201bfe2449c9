"""Sessions of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mgst_data.core.errors import UsageError, first_line
from mgst_data.core.optional import need


def open_session(network: Path | bytes, *, where: Path, extra: str, hint: str, threads: int | None = None) -> Any:
    """Opens a session of ONNX Runtime on the CPU.

    Args:
        network: The ``.onnx`` file, or its content.
        where: File that an error names.
        extra: Extra of mgst that installs ONNX Runtime.
        hint: What to do if the file cannot be read.
        threads: Threads of ONNX Runtime; None for as many as torch uses.

    Raises:
        UsageError: if it is not ONNX.
        ImportError: if ONNX Runtime is not installed.
    """
    need("onnxruntime", extra)
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    given = network if isinstance(network, bytes) else str(network)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented, RuntimeError) as error:
        raise UsageError(f"not an ONNX file, or damaged: {first_line(error)}", where=where, hint=hint) from error
