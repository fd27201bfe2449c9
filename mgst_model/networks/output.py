"""What every network of the library says about a batch of segments."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class SegmentOutput(NamedTuple):
    """B segments of T frames, seen at three grains: segment, frame and patch.

    Attributes:
        logit: Above 0 where a segment looks fake; the mean of ``frame_logits``.
        frame_logits: The same for every frame.
        embedding: Frame embeddings of unit length, which the distance-based loss compares; None without a spatial
            stream.
        patch_logits: Above 0 where a patch looks inconsistent between frames t and t + 1, so that s = t - 1; None
            without a temporal stream and for single frames.
    """

    logit: Float[Tensor, " b"]
    frame_logits: Float[Tensor, "b t"]
    embedding: Float[Tensor, "b t e"] | None
    patch_logits: Float[Tensor, "b s g g"] | None
