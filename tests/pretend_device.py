"""A pretend CUDA device: tensors that report the device cuda:0 and hold their data on the CPU.

It needs no GPU and shows two kinds of faults that a CPU hides. Code that mixes devices is refused as CUDA refuses it.
Everything that makes the CPU wait for the device is recorded with its place in the library.

What it cannot show: speed, memory, and the rounding of kernels of a GPU.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
LIBRARY = ("mgst_data", "mgst_model")
aten = torch.ops.aten

# Operators whose result must be read by the CPU, or whose output has a shape that depends on values.
READS = {
    aten._local_scalar_dense,
    aten.is_nonzero,
    aten.equal,
    aten.allclose,
    aten.nonzero,
    aten.masked_select,
    aten.bincount,
    aten.repeat_interleave,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten._linalg_check_errors,
    aten._assert_async,
}
# Element-wise operators whose CUDA kernels take a tensor of no dimensions from the CPU as a plain number.
WITH_NUMBERS = {
    *(aten.add, aten.sub, aten.rsub, aten.mul, aten.div, aten.add_, aten.sub_, aten.mul_, aten.div_, aten.pow),
    *(aten.maximum, aten.minimum, aten.eq, aten.ne, aten.lt, aten.le, aten.gt, aten.ge, aten.where),
    *(aten.masked_fill, aten.masked_fill_, aten.fill, aten.fill_, aten.remainder, aten.copysign),
}
COPIES = {aten._to_copy, aten.copy_, aten.copy}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index, aten._index_put_impl_}
# Functions of Python that copy values from the CPU to the device and wait for the copy.
FROM_VALUES = {torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, Tensor.new_tensor}


class PretendTensor(Tensor):
    """A tensor on the pretend device. ``held`` has its values, on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        # In inference mode, a view of a parameter must not be an inference tensor.
        with torch.inference_mode(mode=False):
            return Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=DEVICE, **layout)

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"PretendTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Only outside :func:`pretend`, where nothing may compute with these tensors.
        raise RuntimeError(f"{func} got a tensor of the pretend device outside pretend()")


class Waits(Counter[str]):
    """How often the CPU waited for the device, by place (file:function)."""

    def note(self, what: str) -> None:
        """Counts one wait at the innermost function of the library that is being called."""
        self[f"{place()} {what}"] += 1


def place() -> str:
    """Returns file and name of the innermost function of the library; "outside" if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        parts = Path(frame.f_code.co_filename).parts
        for package in LIBRARY:
            if package in parts and ".shim" not in parts:
                file = "/".join(parts[len(parts) - 1 - parts[::-1].index(package) :])
                return f"{file}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    return "outside"


def held(value: Tensor) -> Tensor:
    """Returns the values of a tensor of the pretend device, without counting a wait."""
    assert isinstance(value, PretendTensor), f"on the {value.device.type}, not on the pretend device"
    return value.held


def _on_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _packet(func: Any) -> Any:
    return getattr(func, "overloadpacket", func)


class _Dispatch(TorchDispatchMode):
    """Computes operators on the values, after the checks that CUDA makes."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [leaf for leaf in leaves if isinstance(leaf, PretendTensor)]
        moves = "device" in kwargs and kwargs["device"] is not None
        if not there and not (moves and _on_device(kwargs["device"])):
            return func(*args, **kwargs)
        packet = _packet(func)
        if packet is aten.to:
            # In inference mode it arrives whole, not as the copy that it consists of.
            with self:
                return func.decompose(*args, **kwargs)
        here = [leaf for leaf in leaves if not isinstance(leaf, PretendTensor)]
        self._check(func, packet, args, kwargs, there, here)
        to_device = _on_device(kwargs["device"]) if moves else bool(there)
        if packet in (aten.copy_, aten.copy):
            to_device = isinstance(args[0], PretendTensor)
        if moves:
            kwargs["device"] = torch.device("cpu")
            if packet is aten._to_copy:
                kwargs["non_blocking"] = False
        plain = tree_map(lambda leaf: leaf.held if isinstance(leaf, PretendTensor) else leaf, (args, kwargs))
        result = func(*plain[0], **plain[1])
        if not to_device:
            return args[0] if packet is aten.copy_ else result
        # An operator in place returns the tensor that it was given.
        known = {id(leaf.held): leaf for leaf in there}

        def wrap(leaf: Any) -> Any:
            return known[id(leaf)] if id(leaf) in known else PretendTensor(leaf) if isinstance(leaf, Tensor) else leaf

        return tree_map(wrap, result)

    def _check(self, func: Any, packet: Any, args: Any, kwargs: Any, there: list[Any], here: list[Tensor]) -> None:
        generator = next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Generator)), None)
        if generator is not None and generator.device.type == "cpu":
            raise RuntimeError(f"{func}: expected a 'cuda' device type for generator but found 'cpu'")
        if packet in READS:
            self.waits.note(packet.__name__)
        elif packet in COPIES:
            self._check_copy(packet, args, kwargs)
        elif packet in INDEXED:
            self._check_index(func, args, here)
        elif there and here and not (packet in WITH_NUMBERS and all(leaf.ndim == 0 for leaf in here)):
            shapes = [tuple(leaf.shape) for leaf in here]
            raise RuntimeError(f"{func}: expected all tensors on one device, got cuda:0 and cpu {shapes} at {place()}")

    def _check_copy(self, packet: Any, args: Any, kwargs: Any) -> None:
        if packet is aten._to_copy:
            from_device, to = isinstance(args[0], PretendTensor), kwargs.get("device")
            to_device = from_device if to is None else _on_device(to)
            waits = not kwargs.get("non_blocking", False)
        else:
            to_device, from_device = (isinstance(args[i], PretendTensor) for i in (0, 1))
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        if from_device == to_device:
            return
        if from_device and not waits:
            raise RuntimeError(f"values are read before they have arrived: non_blocking copy to the CPU at {place()}")
        if waits:
            self.waits.note("copy to the CPU" if from_device else "copy to the device")

    def _check_index(self, func: Any, args: Any, here: list[Tensor]) -> None:
        indices = [index for index in args[1] if index is not None]
        if not isinstance(args[0], PretendTensor):
            raise RuntimeError(f"{func}: indices on the device, but values on the CPU at {place()}")  # noqa: TRY004
        own = {id(index) for index in indices}
        if any(id(leaf) not in own and leaf.ndim > 0 for leaf in here):
            raise RuntimeError(f"{func}: values on the CPU are written to the device at {place()}")
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            self.waits.note("boolean index")
        if any(not isinstance(index, PretendTensor) for index in indices):
            self.waits.note("index on the CPU")


class _Functions(TorchFunctionMode):
    """Redirects functions of Python that would initialise CUDA."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cuda):
            return self._to(func, args, kwargs)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], PretendTensor):
            args = (args[0], self._index(args[1]), *args[2:])
        if func is Tensor.backward and isinstance(args[0], PretendTensor):
            return _give_gradients(args[0])
        if func is Tensor.tolist and isinstance(args[0], PretendTensor):
            self.waits.note("tolist")
            return args[0].held.tolist()
        if func is Tensor.pin_memory:
            return args[0]
        if func is Tensor.new_tensor and isinstance(args[0], PretendTensor) and kwargs.get("device") is None:
            kwargs["device"] = DEVICE
        if not _on_device(kwargs.get("device")):
            return func(*args, **kwargs)
        if getattr(kwargs.get("generator"), "device", DEVICE).type == "cpu":
            raise RuntimeError(f"{func.__name__}: expected a 'cuda' device type for generator but found 'cpu'")
        kwargs["device"] = torch.device("cpu")
        if func in FROM_VALUES:
            self.waits.note(f"{func.__name__} from values")
            if func is Tensor.new_tensor:
                args, func = args[1:], functools.partial(torch.tensor, dtype=kwargs.pop("dtype", args[0].dtype))
        out = func(*args, **kwargs)
        return out if isinstance(out, PretendTensor) else PretendTensor(out)

    def _to(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Copies a tensor to the device; anything else is left to the operators."""
        own, rest = args[0], list(args[1:])
        device = kwargs.pop("device", DEVICE if func is Tensor.cuda else None)
        if rest and isinstance(rest[0], str | torch.device):
            device = rest.pop(0)
        elif rest and isinstance(rest[0], Tensor):
            other = rest.pop(0)
            device, kwargs["dtype"] = other.device, other.dtype
        elif rest and rest[0] is None:
            rest.pop(0)
        names = ("non_blocking",) if func is Tensor.cuda else ("dtype", "non_blocking", "copy")
        if func is Tensor.to and rest and isinstance(rest[0], bool):
            names = ("non_blocking", "copy")
        kwargs |= dict(zip(names, rest, strict=False))
        if isinstance(own, PretendTensor) and (device is None or _on_device(device)):
            return Tensor.to(own, **{k: v for k, v in kwargs.items() if v is not None})
        if not _on_device(device):
            return Tensor.to(own, **({} if device is None else {"device": device}), **kwargs)
        if own.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("gradients through a copy to the pretend device")
        if not kwargs.get("non_blocking", False):
            self.waits.note("copy to the device")
        values = own.detach()
        return PretendTensor(values.to(kwargs["dtype"], copy=True) if kwargs.get("dtype") else values.clone())

    def _index(self, index: Any) -> Any:
        """Copies lists in an index to the device, as indexing does."""
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(part, list | range) for part in parts):
            return index
        self.waits.note("index from a list")
        found = tuple(
            PretendTensor(torch.as_tensor([*part])) if isinstance(part, list | range) else part for part in parts
        )
        return found if isinstance(index, tuple) else found[0]


def _give_gradients(loss: Tensor) -> None:
    """Gives every parameter that a loss depends on a gradient of ones.

    The engine of autograd needs a driver for tensors of CUDA. The library has no backward formulas of its own, so what
    the engine would call is torch's own code.
    """
    waiting, seen = [loss.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = PretendTensor(torch.ones_like(node.variable.held))
        waiting += [following for following, _ in node.next_functions]


@contextmanager
def pretend() -> Iterator[Waits]:
    """Makes ``cuda`` a device that can be used inside. Yields the waits, which are counted as they happen."""
    torch._C._ensureCUDADeviceGuardSet()
    # Moving a module must make new parameters: the class of a parameter that exists cannot change.
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    waits = Waits()
    try:
        # Without cuDNN, because its operators have no CPU kernels that could compute the values.
        with torch.backends.cudnn.flags(enabled=False), _Functions(waits), _Dispatch(waits):
            yield waits
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
