"""Large tensors on a CPU in large pages: filling a new one takes a third of the time."""

from __future__ import annotations

import math
import mmap
from contextlib import suppress

import torch
from torch import Tensor

# Bytes from which on it is worth asking for; NumPy has the same bound for its arrays.
_LARGE = 2**22


def new_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros on the CPU.

    A large tensor is new memory from the system every time, which hands it out page by page as it is first written to:
    four kilobytes each, unless it is told that two megabytes will do (Linux; elsewhere this is ``torch.zeros``).
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape, dtype=dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without such pages: small ones do as well, slower
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).reshape(shape)
