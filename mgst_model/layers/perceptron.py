"""Two linear layers, as they come in every block."""

from __future__ import annotations

from torch import nn


def perceptron(width: int, hidden: int, out: int | None = None, *, closed: bool = False) -> nn.Sequential:
    """Two linear layers with a GELU in between; ``closed`` ones start with an output of exactly 0."""
    last = nn.Linear(hidden, width if out is None else out)
    if closed:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), last)
