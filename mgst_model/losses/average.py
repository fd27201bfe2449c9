"""Means over a batch that several processes share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# The mean of a tensor of counts over all processes. Every process calls it the same number of times, whatever its share
# of the batch contains. No gradient passes through it.
Average = Callable[[Tensor], Tensor]


def identity(count: Tensor) -> Tensor:
    """Returns the count: the mean over all processes if there is one process."""
    return count


def share_of_mean(total: Tensor, count: Tensor) -> Tensor:
    """Returns ``total / count``, and 0 with a gradient of 0 if nothing was counted.

    With P processes, the mean of all shares is sum(total) / (P mean(count)): the mean over the whole batch. Gradients
    that are averaged over processes then equal those of one process with the whole batch. Batch norms are the
    exception: they normalise with the statistics of their own process.

    Args:
        total: Sum over the batch of this process.
        count: Number of summed items, averaged over all processes. It may be a fraction: a single frame in four
            processes counts 0.25 in each.
    """
    return total / count.where(count > 0, 1)
