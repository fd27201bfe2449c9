"""A perceptron of two linear layers."""

from __future__ import annotations

from torch import nn


def perceptron(width: int, hidden: int, out: int | None = None, *, closed: bool = False) -> nn.Sequential:
    """Builds two linear layers with a GELU between them.

    Args:
        width: Channels of the input.
        hidden: Channels between the layers.
        out: Channels of the output; None for ``width``.
        closed: Whether the initial output is exactly 0.
    """
    last = nn.Linear(hidden, width if out is None else out)
    if closed:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), last)
