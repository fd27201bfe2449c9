"""What counting in eager mode and counting of fused operators have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# Operators that only reserve memory, or return the same memory.
FREE = {aten.empty, aten.empty_like, aten.new_empty, aten._unsafe_view, aten.lift_fresh}


def on_meta(values: Any) -> Iterator[Tensor]:
    """Yields the tensors on the device "meta" in nested containers."""
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.device.type == "meta")


def is_view(func: Any) -> bool:
    """Returns whether an operator only returns another view of its input."""
    return any(item.alias_info is not None and not item.alias_info.is_write for item in func._schema.returns)


def touched(tensor: Tensor) -> int:
    """Returns the bytes of a tensor; values that are repeated without a copy count once."""
    sizes = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return int(torch.Size(sizes).numel()) * tensor.element_size()
