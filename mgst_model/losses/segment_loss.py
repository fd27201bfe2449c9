"""The segment-level loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from mgst_model.losses.average import Average, identity, share_of_mean


def segment_loss(
    logit: Float[Tensor, " b"],
    label: Float[Tensor, " b"],
    *,
    weight: Float[Tensor, " b"] | None = None,
    average: Average = identity,
) -> Float[Tensor, ""]:
    """Binary cross-entropy -[y log p + (1 - y) log(1 - p)] with p = sigmoid(logit), averaged over segments.

    Args:
        logit: Above 0 for fake; any float type. The loss is computed in float32.
        label: [0, 1]; 0 real, 1 fake.
        weight: Weight of every segment, at least 0; 0 leaves it out. The divisor of the mean is the sum of the weights.
        average: Mean of a count over all processes; see :mod:`mgst_model.losses.average`.
    """
    logit, label = logit.float(), label.float()
    weight = logit.new_ones(len(logit)) if weight is None else weight.float()
    # A segment of weight 0 must not affect the loss, even if its logit is infinite.
    logit = logit.where(weight > 0, 0)
    total = functional.binary_cross_entropy_with_logits(logit, label, weight=weight, reduction="sum")
    return share_of_mean(total, average(weight.sum()))
