"""Estimates the kernels and bytes of a graph in which element-wise operators are fused, as a compiler for GPUs does.

The rules, which are a simplification of torch's compiler:

- Element-wise operators with the same rows and columns form one kernel. Their intermediate values stay in registers.
- A reduction takes the element-wise operators before it into its kernel; its result is written to memory.
- Matrix products, and operators that read any position of their input (resampling, gathering, interpolation, shifts by
  rows or columns), need that input in memory.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from augmentation.counting import FREE, is_view, on_meta, touched

aten = torch.ops.aten
PRODUCTS = {aten.bmm, aten.mm, aten.addmm, aten.baddbmm}
# Their first input is read at any position.
LOOKUPS = {aten.grid_sampler_2d, aten.gather, aten.index, aten.index_select, aten.upsample_bilinear2d}
REDUCTIONS = {
    *(aten.sum, aten.mean, aten.amax, aten.amin, aten.argmax, aten.argmin, aten.all, aten.any, aten.var),
    *(aten.avg_pool2d, aten._adaptive_avg_pool2d),
}
# A state of a piece of memory: its number, and how often it was written.
Value = tuple[int, int]


@dataclass(slots=True)
class Node:
    """One operator.

    Attributes:
        level: Number of kernels that must run before it.
        reads: Values that it reads, with their bytes, and whether it may share a kernel with their operator.
        writes: Values that it writes, with their bytes.
        opaque: Whether its result is always written to memory.
    """

    level: int
    reads: dict[Value, tuple[int, bool]]
    writes: dict[Value, int]
    opaque: bool


class Recorder(TorchDispatchMode):
    """Records the operators on the device "meta" and which of them may share a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.operations = 0
        self._made: dict[Value, Node] = {}
        self._version: dict[int, int] = defaultdict(int)
        self._extent: dict[int, tuple[int, ...]] = {}
        # Keeps memory from being reused, because its address is its number.
        self._alive: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = list(on_meta((args, kwargs)))
        out = func(*args, **kwargs)
        made = list(on_meta(out))
        self._alive += [*given, *made]
        packet = func.overloadpacket
        if not made or is_view(func) or packet in FREE:
            return out
        if packet in flop_registry:
            self.operations += flop_registry[packet](*args, **kwargs, out_val=out)
        self._note(packet, given, made)
        return out

    def value(self, tensor: Tensor) -> Value:
        """Returns the present state of the memory of a tensor."""
        number = tensor.untyped_storage()._cdata
        return number, self._version[number]

    def _note(self, packet: Any, given: list[Tensor], made: list[Tensor]) -> None:
        reads: dict[Value, tuple[int, bool]] = {}
        level = 0
        for place, tensor in enumerate(given):
            value = self.value(tensor)
            before = self._made.get(value)
            shared = before is not None and not before.opaque and self._aligned(tensor)
            shared = shared and packet not in PRODUCTS and not (packet in LOOKUPS and place == 0)
            size, was_shared = reads.get(value, (0, True))
            reads[value] = (max(size, touched(tensor)), shared and was_shared)
            if before is not None:
                level = max(level, before.level + (not shared))
        node = Node(level, reads, {}, packet in PRODUCTS | REDUCTIONS)
        for tensor in made:
            number = tensor.untyped_storage()._cdata
            self._version[number] += 1
            # A part of some memory may be written: the whole has then a new state.
            self._extent.setdefault(number, tuple(tensor.shape[-2:]))
            node.writes[number, self._version[number]] = tensor.untyped_storage().nbytes()
            self._made[number, self._version[number]] = node
        self.nodes.append(node)

    def _aligned(self, tensor: Tensor) -> bool:
        """Returns whether whole rows and columns are read, as they were written. Channels may be read one by one."""
        extent = self._extent.get(tensor.untyped_storage()._cdata, ())
        if tuple(tensor.shape[-2:]) != extent or not extent:
            return tensor.numel() <= 1
        return tensor.ndim < 2 or tensor.stride(-1) <= 1

    def kernels(self, results: list[Tensor]) -> tuple[int, int]:
        """Joins operators to kernels. Returns their number, and the bytes that they read and write.

        Args:
            results: Tensors that are needed at the end.
        """
        group = {id(node): id(node) for node in self.nodes}

        def root(key: int) -> int:
            while group[key] != key:
                key = group[key]
            return key

        for node in self.nodes:
            for value, (_, shared) in node.reads.items():
                before = self._made.get(value)
                if shared and before is not None and before.level == node.level:
                    group[root(id(node))] = root(id(before))
        needed = {self.value(tensor) for tensor in results}
        loaded: dict[tuple[int, Value], int] = {}
        for node in self.nodes:
            mine = root(id(node))
            for value, (size, _) in node.reads.items():
                before = self._made.get(value)
                if before is None or root(id(before)) != mine:
                    loaded[mine, value] = max(size, loaded.get((mine, value), 0))
                    needed.add(value)
        stored = sum(size for node in self.nodes for value, size in node.writes.items() if value in needed)
        return len({root(id(node)) for node in self.nodes}), stored + sum(loaded.values())
