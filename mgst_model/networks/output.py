"""The output of every network for a batch of segments."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class SegmentOutput(NamedTuple):
    """Output for b segments of t frames, at three grains: segment, frame and patch.

    Attributes:
        logit: Logit of each segment, above 0 for fake; the mean of ``frame_logits``.
        frame_logits: Logit of each frame, above 0 for fake.
        embedding: Frame embeddings of unit length, which the distance-based loss compares. None without a spatial
            stream.
        patch_logits: Logit of each patch, above 0 where it is inconsistent between frames t and t + 1, so that s = t -
            1. None without a temporal stream and for single frames.
    """

    logit: Float[Tensor, " b"]
    frame_logits: Float[Tensor, "b t"]
    embedding: Float[Tensor, "b t e"] | None
    patch_logits: Float[Tensor, "b s g g"] | None
