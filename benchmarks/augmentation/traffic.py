"""Counts what self-blending makes a GPU do: kernels, bytes and floating-point operations, without a GPU.

In eager mode every operator is one kernel or a few, which read their inputs from memory and write their outputs. The
operators are recorded on the device "meta", which computes shapes only, so a batch of any size costs nothing. For a
compiled graph, it is estimated which operators are fused.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from augmentation.counting import FREE, is_view, on_meta, touched
from augmentation.fusion import Recorder
from mgst_data.augment import SelfBlend, SelfBlendParams
from mgst_data.core import Segment

aten = torch.ops.aten
# Operators of more than one kernel: a copy of the whole, then the change of a part.
IN_TWO = {aten.index_copy, aten.index_put, aten.index_fill, aten.scatter}
# Operators that write a part of their first input, as large as the others, and do not read it.
PARTS = {aten.index_copy_, aten.index_put_}
# Operators that write their first input and do not read it.
OVERWRITES = {aten.copy_, aten.fill_, aten.zero_}


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """Work of a GPU for one batch.

    Attributes:
        kernels: Number of kernels that are started, with copies from the CPU.
        bytes: Bytes that they read from memory and write to it.
        operations: Floating-point operations of matrix products.
        by_name: Bytes by operator.
    """

    kernels: float
    bytes: float
    operations: float
    by_name: Counter[str]

    def seconds(self, bandwidth: float, launch: float, flops: float) -> float:
        """Returns the expected time: kernels are started while earlier ones run, so the slower of both counts.

        Args:
            bandwidth: Bytes per second of the memory.
            launch: Seconds to start a kernel.
            flops: Operations per second in products of float32 matrices.
        """
        return max(self.kernels * launch, self.bytes / bandwidth + self.operations / flops)


class Trace(TorchDispatchMode):
    """Records the operators on the device "meta". Views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.operations = 0, 0
        self.by_name: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given, made = (list(on_meta(leaves)) for leaves in ((args, kwargs), out))
        packet = func.overloadpacket
        if not made or packet in FREE or is_view(func):
            return out
        read, written = sum(map(touched, given)), sum(map(touched, made))
        whole = touched(given[0]) if given else 0
        if packet in IN_TWO:
            self.kernels, written = self.kernels + 1, written + read - whole
        elif packet in PARTS:
            read, written = read - whole, read - whole
        elif packet in OVERWRITES:
            read -= whole
        self.kernels += 1
        self.by_name[packet.__name__] += read + written
        if packet in flop_registry:
            self.operations += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def eager(blend: SelfBlend, segment: Segment, drawn: list[SelfBlendParams]) -> Traffic:
    """Counts the work of blending in eager mode: the mean over some draws.

    Args:
        blend: Blend to apply.
        segment: Segments; only shape and dtype are used.
        drawn: Parameters of some batches.
    """
    there = segment.to("meta")
    trace = Trace()
    for params in drawn:
        with trace:
            blend.apply(there, params)
    n = len(drawn)
    by_name = Counter({name: count // n for name, count in trace.by_name.items()})
    return Traffic(trace.kernels / n, trace.by_name.total() / n, trace.operations / n, by_name)


def compiled(blend: SelfBlend, segment: Segment, params: SelfBlendParams) -> Traffic:
    """Estimates the work of blending as one graph of ``torch.compile``; see :mod:`augmentation.fusion`.

    Args:
        blend: Blend to apply.
        segment: Segments; only shape and dtype are used.
        params: Parameters of any batch. All of them have the same graph.
    """
    there = segment.to("meta")
    recorder = Recorder()
    # As while torch compiles: everything is computed for all segments and then selected.
    with mock.patch("torch.compiler.is_compiling", return_value=True), recorder:
        pair = blend.apply(there, params)
    results = [pair.real.frames, pair.fake.frames, pair.fake.mask, pair.fake.patch_label, pair.fake.frame_label]
    kernels, moved = recorder.kernels(results)
    return Traffic(kernels, moved, recorder.operations, Counter())
