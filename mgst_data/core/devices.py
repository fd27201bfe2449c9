"""Choice of the device that networks run on, and constants on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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


def constant(values: Sequence[float] | Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Returns values as a tensor on the device of another tensor, without waiting for the device.

    ``like.new_tensor(values)``, and indexing with a list, copy from the CPU and wait until all earlier work is done.

    Args:
        values: Numbers, ``(n,)``.
        like: Tensor with the device.
        dtype: Dtype of the result; None for that of ``like``.
    """
    return torch.tensor(values, dtype=dtype or like.dtype).to(like.device, non_blocking=True)
