"""Counts what self-blending makes a GPU do: kernels, bytes and floating-point operations, without a GPU.

In eager mode every operator is one kernel or a few, which read their inputs from memory and write their outputs. The
operators are recorded on the device "meta", which computes shapes only, so a batch of any size costs nothing. For a
compiled graph, the scheduler of torch's compiler says which operators are fused, and what each fused kernel reads and
writes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mgst_data.augment import SelfBlend, SelfBlendParams
from mgst_data.core import Segment

aten = torch.ops.aten
# Operators that only reserve memory, or return a tensor of the CPU.
FREE = {aten.empty, aten.empty_like, aten.new_empty, aten._unsafe_view, aten.lift_fresh}
# Operators of more than one kernel: a copy of the whole, then the change of a part.
IN_TWO = {aten.index_copy, aten.index_put, aten.index_fill, aten.scatter}


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
        given, made = (list(_on_meta(leaves)) for leaves in ((args, kwargs), out))
        packet = func.overloadpacket
        if not made or packet in FREE or _is_view(func):
            return out
        read, written = sum(map(touched, given)), sum(map(touched, made))
        if packet in IN_TWO:
            whole = touched(given[0])
            self.kernels, read, written = self.kernels + 1, read + whole, written + read - whole
        self.kernels += 1
        self.by_name[packet.__name__] += read + written
        if packet in flop_registry:
            self.operations += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def _on_meta(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.device.type == "meta")


def _is_view(func: Any) -> bool:
    return any(item.alias_info is not None and not item.alias_info.is_write for item in func._schema.returns)


def touched(tensor: Tensor) -> int:
    """Returns the bytes of a tensor; values that are repeated without a copy count once."""
    sizes = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return int(torch.Size(sizes).numel()) * tensor.element_size()


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
    """Counts the work of blending as one graph of ``torch.compile``.

    It is an estimate: operators are fused as torch's compiler fuses them for a CPU. For a GPU it fuses by the same
    rules, with other limits.

    Args:
        blend: Blend to apply.
        segment: Segments; only shape and dtype are used.
        params: Parameters of any batch. All of them have the same graph.
    """
    found: list[Traffic] = []
    torch._dynamo.reset()
    with FakeTensorMode(allow_non_fake_inputs=True):
        columns = {field.name: getattr(segment, field.name) for field in dataclasses.fields(segment)}
        there = Segment(**{name: torch.empty(one.shape, dtype=one.dtype) for name, one in columns.items()})
        torch.compile(blend.apply, fullgraph=True, backend=_counted(found))(there, params)
    (traffic,) = found
    return traffic


def _products(graph_module: fx.GraphModule) -> int:
    """Returns the floating-point operations of the matrix products of a graph."""
    total = 0
    for node in graph_module.graph.nodes:
        packet = getattr(node.target, "overloadpacket", None)
        if packet in flop_registry:
            given = [argument.meta["val"] if isinstance(argument, fx.Node) else argument for argument in node.args]
            total += flop_registry[packet](*given, **node.kwargs, out_val=node.meta["val"])
    return total


def _counted(found: list[Traffic]) -> Callable[..., Any]:
    """Returns a backend of ``torch.compile`` that schedules a graph, counts, and runs it without compiling it."""
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V

    def count(graph_module: fx.GraphModule, inputs: list[Tensor], **_: Any) -> Any:
        graph = GraphLowering(graph_module)
        with V.set_graph_handler(graph), V.set_real_inputs(inputs):
            graph.run(*inputs)
            graph._update_scheduler()
            names: Counter[str] = Counter()
            kernels = 0
            for node in graph.scheduler.nodes:
                moved = node.get_read_write_buffers_sizes()
                names[type(node).__name__] += moved
                kernels += moved > 0
        found.append(Traffic(kernels, names.total(), _products(graph_module), names))
        return graph_module.forward

    def backend(graph_module: fx.GraphModule, inputs: list[Tensor]) -> Any:
        return compile_fx(graph_module, inputs, inner_compile=count)

    return backend
