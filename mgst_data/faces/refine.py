"""Moves rough boxes onto their faces: O-Net alone, on full-resolution pixels, many boxes at a time."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mgst_data.core.checks import check_frames
from mgst_data.core.geometry import square
from mgst_data.core.records import Detections
from mgst_data.faces.crop import resize
from mgst_data.faces.detect import apply_onet, load_network, normalise, place_points, regress

_SIDE = 48


class BoxRefiner:
    """O-Net as a regressor: a box near a face goes in, the face's box, points and probability come out.

    Args:
        device: Where the network runs. Results come back on the CPU.
    """

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.onet = load_network("ONet", self.device)

    @torch.inference_mode()
    def __call__(
        self, frames: UInt8[Tensor, "f 3 h w"], frame: Int[Tensor, " n"], boxes: Float[Tensor, "n 4"]
    ) -> Detections:
        """One result for each box, in the order given; a box without a face comes back with a low score."""
        check_frames(frames, 4, kind="uint8")
        crops, windows = cut_windows(frames, frame, square(boxes))
        shift, points, scores = apply_onet(self.onet, normalise(crops.to(self.device)))
        return Detections(
            frame,
            regress(windows, shift.cpu()),
            scores.cpu(),
            place_points(windows, points.cpu()),
        )


def cut_windows(
    frames: UInt8[Tensor, "f 3 h w"], frame: Int[Tensor, " n"], boxes: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n 3 48 48"], Float[Tensor, "n 4"]]:
    """Cuts boxes, rounded to whole pixels, out of frames; black where they reach beyond.

    Returns:
        The crops, [0, 255], and the boxes that were really cut, counted as MTCNN counts: from 1, both ends included.
    """
    pictures = frames.permute(0, 2, 3, 1).numpy()
    height, width = pictures.shape[1:3]
    low = boxes[:, :2].round()
    corners = torch.cat((low, torch.maximum(boxes[:, 2:].round(), low + 1)), dim=1)
    crops = np.zeros((len(boxes), _SIDE, _SIDE, 3), np.uint8)
    for i, (picture, (x0, y0, x1, y1)) in enumerate(zip(frame.tolist(), corners.long().tolist(), strict=True)):
        inside = pictures[picture, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        if inside.size == 0:
            continue
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            border = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
            inside = cv2.copyMakeBorder(inside, *border, cv2.BORDER_CONSTANT)
        crops[i] = resize(inside, _SIDE)
    corners[:, :2] += 1
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float(), corners
