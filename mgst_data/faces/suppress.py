"""Non-maximum suppression: of several boxes around one face, the one with the highest score is kept."""

from __future__ import annotations

import cv2
import torch
from jaxtyping import Float, Int
from torch import Tensor


def suppress(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], group: Int[Tensor, " n"], threshold: float
) -> Int[Tensor, " k"]:
    """Returns the boxes that are kept, by descending score. Boxes of different groups do not suppress each other.

    OpenCV does it on a CPU; the import of torchvision would take longer than that of torch. torchvision does it on a
    GPU, without copying all boxes to the CPU.

    Args:
        boxes: Boxes as corners (x0, y0, x1, y1).
        scores: Scores above 0.
        group: Group of each box, such as its frame.
        threshold: Largest IoU of two boxes that are both kept, [0, 1].
    """
    if boxes.device.type != "cpu":
        from torchvision.ops import batched_nms

        kept: Tensor = batched_nms(boxes, scores, group, threshold)
        return kept
    sized = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), dim=1).double()
    chosen = cv2.dnn.NMSBoxesBatched(sized.tolist(), scores.tolist(), group.tolist(), 0.0, threshold)
    return torch.tensor(chosen, dtype=torch.long).reshape(-1)
