"""The input of a network: the crops of a chunk, or the faces in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.augment import FaceCrop
from mgst_data.core import Segment
from mgst_data.shards import FaceChunk, scale_image
from mgst_data.shards.loader import VALID_SHARE
from mgst_model.networks.scorer import TakesCrops


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """The input that a network needs.

    Attributes:
        frames: Number of frames of a window.
        min_frames: Smallest number of frames of a run.
        size: Side of the frames, in pixels.
        face_margin: Margin around the face box that the frames show; None for the whole crop.
    """

    frames: int
    min_frames: int
    size: int
    face_margin: float | None = None

    @staticmethod
    def of(network: TakesCrops) -> InputSpec:
        """Returns the input that a network needs, from its card, or from the contract of a detector."""
        return InputSpec(
            frames=network.frames, min_frames=network.shortest, size=network.size, face_margin=network.face_margin
        )


def network_input(
    chunk: FaceChunk, positions: Sequence[int], crops: Sequence[UInt8[ndarray, "s s 3"]], spec: InputSpec
) -> tuple[UInt8[Tensor, "t 3 h w"], Float[Tensor, "t 4"]]:
    """Scales crops to the input of a network; crops to the face first if the network needs that.

    A network for single frames gets the box of each frame. All other networks get one box for all frames, as in their
    training.

    Args:
        chunk: Chunk that the crops come from, for the landmarks.
        positions: Numbers of the frames in the chunk.
        crops: Crops of these frames, RGB.
        spec: Input that the network needs.

    Returns:
        Frames of ``spec.size``, and the part of the crop that each shows: left, top, right and bottom edge in pixels of
        the crop. The edges of the whole crop are at -0.5 and ``crop_size`` - 0.5.
    """
    if spec.face_margin is None:
        frames = torch.from_numpy(np.stack([scale_image(crop, spec.size) for crop in crops])).permute(0, 3, 1, 2)
        whole = torch.tensor((-0.5, -0.5, chunk.crop_size - 0.5, chunk.crop_size - 0.5))
        return frames, whole.expand(len(crops), 4)
    frames = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    rows = list(positions)
    valid = chunk.valid[rows].float().mean(dim=1) >= VALID_SHARE
    lead = (len(rows), 1) if spec.min_frames == 1 else (1, len(rows))
    segment = Segment.of(
        frames.reshape(*lead, *frames.shape[1:]),
        chunk.landmarks[rows].reshape(*lead, -1, 2),
        valid=valid.reshape(lead),
    )
    crop = FaceCrop(size=spec.size, margin_range=(spec.face_margin, spec.face_margin))
    params = crop.sample(segment, torch.Generator())
    shown = crop.apply(segment, params).frames.flatten(0, 1).mul(255).round_().to(torch.uint8)
    return shown, crop.edges(segment, params).expand(len(rows), 4)
