"""Large tensors on a CPU in large memory pages: filling a new one takes a third of the time."""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import torch
from torch import Tensor

# Fewest bytes for which large pages are used. NumPy has the same bound for its arrays.
_LARGE = 2**22


def new_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Makes a tensor of zeros on the CPU.

    The system provides memory for a large new tensor page by page, when it is first written to. A page has 4 KiB,
    unless the program asks for pages of 2 MiB (Linux only; on other systems this function is ``torch.zeros``).

    Args:
        shape: Shape of the tensor.
        dtype: Dtype of the tensor.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape, dtype=dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # the kernel has no large pages: small pages work too, but are slower
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).reshape(shape)
