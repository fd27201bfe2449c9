"""Means over a batch that several processes share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# The mean of a tensor of counts over all processes. It is called by every process, the same number of times, whatever
# is in its share of the batch; no gradient passes through it.
Average = Callable[[Tensor], Tensor]


def identity(count: Tensor) -> Tensor:
    """The mean over all processes where there is one."""
    return count


def share_of_mean(total: Tensor, count: Tensor) -> Tensor:
    """``total / count``, and 0, with a gradient of 0, where nothing was counted.

    Args:
        total: Sum over what this process has of the batch.
        count: The mean over all processes of how much was summed. It may be a fraction: a single frame among four
            processes counts 0.25 in each.

    With P processes, the mean of all shares is sum(total) / (P mean(count)): the mean over the whole batch. So
    gradients that are averaged over processes are those of one process with the whole batch; but for batch norms, which
    normalise by what their own process sees.
    """
    return total / count.where(count > 0, 1)
