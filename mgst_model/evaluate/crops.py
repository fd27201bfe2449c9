"""The input of a network: the crops of a chunk, or the faces in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from mgst_data.augment.geometric import crop_edges, crop_matrix
from mgst_data.shards import FaceChunk, scale_image
from mgst_data.shards.loader import VALID_SHARE
from mgst_model.networks.scorer import TakesCrops

# The matrices map pixels of the result to pixels of the crop.
_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


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
    training. OpenCV cuts the crops, which takes a tenth of the time of :class:`mgst_data.augment.FaceCrop`; values
    differ by rounding only.

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
    rows = list(positions)
    lead = (len(rows), 1) if spec.min_frames == 1 else (1, len(rows))
    valid = (chunk.valid[rows].float().mean(dim=1) >= VALID_SHARE).reshape(lead)
    points = chunk.landmarks[rows].float().reshape(*lead, -1, 2)
    margin = torch.full((len(points), 4), spec.face_margin)
    edges = crop_edges(points, valid, margin, crops[0].shape[:2]).expand(len(rows), 4)
    shown = np.stack([
        cv2.warpAffine(crop, matrix, (spec.size, spec.size), flags=_FLAGS, borderMode=cv2.BORDER_REPLICATE)
        for crop, matrix in zip(crops, crop_matrix(edges, (spec.size, spec.size)).double().numpy(), strict=True)
    ])  # fmt: skip
    return torch.from_numpy(shown).permute(0, 3, 1, 2), edges
