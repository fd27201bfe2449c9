"""Where networks run."""

from __future__ import annotations

import torch

from mgst_data.core import UsageError


def choose_device(name: str) -> str:
    """The device that "auto", "cpu" or "cuda" stands for; raises UsageError for CUDA where there is none."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available", where="--device cuda", hint="take auto or cpu")
    return name
