"""A decorator that switches autocast off."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def _accelerator() -> str:
    """Returns the kind of accelerator of this torch build; the CPU if there is none or autocast does not support it."""
    found = torch.accelerator.current_accelerator()
    return found.type if found is not None and torch.amp.is_autocast_available(found.type) else "cpu"


_ACCELERATOR = _accelerator()


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function so that it computes in the dtypes of its tensors, also inside ``torch.autocast``.

    A training step in mixed precision would otherwise round matrix products to 8 bits, for example those of the edge of
    a mask.
    """

    @functools.wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        if not (torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled(_ACCELERATOR)):
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False), torch.autocast(_ACCELERATOR, enabled=False):
            return function(*args, **kwargs)

    return exact
