"""Computing as if there were no autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def _accelerator() -> str:
    """The kind of accelerator that this torch was built for; the CPU, if there is none or autocast does not know it."""
    found = torch.accelerator.current_accelerator()
    return found.type if found is not None and torch.amp.is_autocast_available(found.type) else "cpu"


_ACCELERATOR = _accelerator()


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function to compute in the types of its tensors, also inside ``torch.autocast``.

    A step in mixed precision would otherwise round matrix products, such as those of a mask's edge, to 8 bits.
    """

    @functools.wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled(_ACCELERATOR)):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False), torch.autocast(_ACCELERATOR, enabled=False):
            return function(*args, **kwargs)

    return exact
