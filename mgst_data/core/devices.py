"""Where networks run."""

from __future__ import annotations

import torch

from mgst_data.core.errors import UsageError


def choose_device(name: str) -> str:
    """The device that "auto" stands for: CUDA where there is any; other names stay.

    Raises:
        UsageError: for CUDA where there is none.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    if name.startswith("cuda") and not there:
        raise UsageError("no CUDA device is available", where=f"device {name}", hint="take the device auto or cpu")
    return name
