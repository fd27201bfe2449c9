"""Refines approximate face boxes with O-Net alone, on full-resolution frames, many boxes at once."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mgst_data.core.checks import check_frames
from mgst_data.core.geometry import square
from mgst_data.core.records import Detections
from mgst_data.faces.cascade import load_network
from mgst_data.faces.crop import resize
from mgst_data.faces.detect import apply_onet, normalise, place_points, regress

_SIDE = 48


class BoxRefiner:
    """Computes box, five points and probability of a face from a box near it; it uses O-Net as a regressor.

    Args:
        device: Device of the network. Results are on the CPU.
    """

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.onet = load_network("ONet", self.device)

    @torch.inference_mode()
    def __call__(
        self, frames: UInt8[Tensor, "f 3 h w"], frame: Int[Tensor, " n"], boxes: Float[Tensor, "n 4"]
    ) -> Detections:
        """Refines boxes; a box without a face gets a low score.

        Args:
            frames: RGB frames, [0, 255].
            frame: Index of the frame of each box.
            boxes: Approximate boxes (x0, y0, x1, y1), pixels of the frames.

        Returns:
            One detection per box, in the same order.
        """
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
    """Cuts boxes, rounded to whole pixels, out of frames; pixels outside a frame are black.

    Args:
        frames: RGB frames, [0, 255].
        frame: Index of the frame of each box.
        boxes: Boxes (x0, y0, x1, y1), pixels of the frames.

    Returns:
        The crops, [0, 255], and the rounded boxes in the convention of MTCNN: pixels are counted from 1, and the pixels
        at both ends are included.
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
