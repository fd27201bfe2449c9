"""Choice of the device that networks run on."""

from __future__ import annotations

import torch

from mgst_data.core.errors import UsageError


def choose_device(name: str) -> str:
    """Returns the device that a name stands for: "auto" is CUDA if it is available, otherwise the CPU.

    Other names are returned unchanged.

    Raises:
        UsageError: if the name is a CUDA device and CUDA is not available.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    if name.startswith("cuda") and not there:
        raise UsageError("no CUDA device is available", where=f"device {name}", hint="use the device auto or cpu")
    return name
