"""Face detection with MTCNN on whole batches of frames.

The weights are those of facenet-pytorch. The cascade follows Zhang et al., "Joint face detection and alignment
using multi-task cascaded convolutional networks" (2016), as implemented in facenet-pytorch, and finds the same faces.
The implementation is our own, because here every stage runs on all frames and candidates at once. Crops of any size are
computed from an integral image with four look-ups per pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import cv2
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from mgst_data.core.checks import check_frames
from mgst_data.core.devices import constant
from mgst_data.core.geometry import square
from mgst_data.core.records import Detections
from mgst_data.core.registry import Registry
from mgst_data.faces.cascade import load_network
from mgst_data.faces.suppress import suppress

# Receptive field of P-Net and step between two of its outputs, pixels.
_CELL, _STRIDE = 12, 2
# Pixels per forward pass. On a CPU, the data of one pass should fit into the cache: O-Net takes 1.6 times as long per
# face with batches of 64 as with batches of 32. On a GPU, the limit bounds the memory for frames with many faces.
_CPU_PIXELS, _GPU_PIXELS = 80_000, 2**24
# Fewest rows of the output of P-Net from one pass; neighbouring passes share ten rows of the picture.
_FEWEST_ROWS = 16


@runtime_checkable
class FaceDetector(Protocol):
    """Interface of a detector: it finds faces in a batch of frames of one size.

    Samples name the detector by its attribute ``name``, or, without one, by the name that it is registered under.
    """

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"]) -> Detections:
        """Returns all faces, sorted by frame and then by descending score; boxes are in pixels of the frames."""
        ...


DETECTORS: Registry[Callable[..., FaceDetector]] = Registry("mgst_data.detectors")


@DETECTORS.register("mtcnn")
class MTCNNDetector:
    """Detects faces with MTCNN, in batches.

    Args:
        min_face: Side of the smallest face to detect, pixels. The cost of the first stage decreases with its square.
        thresholds: Smallest probability of a face after each of the three stages, [0, 1].
        factor: Ratio of two neighbouring scales of the image pyramid, (0, 1).
        device: Device of the networks. Results are on the CPU.

    Raises:
        ValueError: if ``min_face`` is not above 0, or ``factor`` is not in (0, 1).
    """

    def __init__(
        self,
        *,
        min_face: float = 20.0,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        device: torch.device | str = "cpu",
    ) -> None:
        if not min_face > 0:
            raise ValueError(f"min_face must be above 0, got {min_face}")
        if not 0 < factor < 1:
            raise ValueError(f"factor must be in (0, 1), got {factor}")
        self.min_face, self.thresholds, self.factor = min_face, thresholds, factor
        self.device = torch.device(device)
        self.pnet, self.rnet, self.onet = (load_network(name, self.device) for name in ("PNet", "RNet", "ONet"))

    @torch.inference_mode()
    def __call__(self, frames: UInt8[Tensor, "f 3 h w"]) -> Detections:
        """Returns all faces, sorted by frame and then by descending score; boxes are in pixels of the frames."""
        check_frames(frames, 4, kind="uint8")
        integral = integral_image(frames.to(self.device))
        frame, boxes = self._propose(integral)
        frame, boxes = self._reject(integral, frame, boxes)
        found = self._refine(integral, frame, boxes)
        order = torch.argsort(found.scores, descending=True, stable=True)
        order = order[torch.argsort(found.frame[order], stable=True)]
        found = found[order]
        return Detections(found.frame.cpu(), found.boxes.cpu(), found.scores.cpu(), found.points.cpu())

    def _propose(self, integral: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the first stage: computes candidate boxes on an image pyramid of the frames."""
        height, width = integral.shape[1] - 1, integral.shape[2] - 1
        columns: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        scale = _CELL / self.min_face
        while min(height, width) * scale >= _CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            shift, probability = _in_strips(self.pnet, normalise(resize_area(integral, size)))
            frame, row, column = (probability[:, 1] >= self.thresholds[0]).nonzero(as_tuple=True)
            corner = torch.stack((column, row), dim=1) * _STRIDE
            boxes = torch.cat(((corner + 1) / scale, (corner + _CELL) / scale), dim=1).floor()
            scores = probability[frame, 1, row, column]
            keep = suppress(boxes, scores, frame, 0.5)
            shifts = shift.permute(0, 2, 3, 1)[frame, row, column]
            columns.append((frame[keep], boxes[keep], scores[keep], shifts[keep]))
            scale *= self.factor
        if not columns:
            return torch.zeros(0, dtype=torch.long, device=self.device), torch.zeros(0, 4, device=self.device)
        frame, boxes, scores, shifts = (torch.cat(column) for column in zip(*columns, strict=True))
        keep = suppress(boxes, scores, frame, 0.7)
        frame, boxes, shifts = frame[keep], boxes[keep], shifts[keep]
        extent = boxes[:, 2:] - boxes[:, :2]
        return frame, square(boxes + shifts * extent.repeat(1, 2))

    def _reject(self, integral: Tensor, frame: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the second stage: rejects most candidates."""
        frame, boxes = _on_frame(frame, boxes, integral)
        crops = crop_area(integral, frame, boxes, 24)
        shift, probability = in_batches(self.rnet, crops)
        passed = probability[:, 1] > self.thresholds[1]
        frame, boxes, shift, scores = frame[passed], boxes[passed], shift[passed], probability[passed, 1]
        keep = suppress(boxes, scores, frame, 0.7)
        return frame[keep], square(regress(boxes[keep], shift[keep]))

    def _refine(self, integral: Tensor, frame: Tensor, boxes: Tensor) -> Detections:
        """Runs the third stage: computes the final box, the probability and five points."""
        frame, boxes = _on_frame(frame, boxes, integral)
        shift, points, scores = apply_onet(self.onet, crop_area(integral, frame, boxes, 48))
        passed = scores > self.thresholds[2]
        found = Detections(
            frame[passed],
            regress(boxes[passed], shift[passed]),
            scores[passed],
            place_points(boxes[passed], points[passed]),
        )
        return found[_nms_by_smaller(found, 0.7)]


def apply_onet(onet: nn.Module, crops: Float[Tensor, "n 3 48 48"]) -> tuple[Tensor, Tensor, Tensor]:
    """Runs O-Net in batches of limited size.

    Args:
        onet: O-Net.
        crops: Crops of the boxes, as :func:`normalise` returns them.

    Returns:
        Shifts of the sides of the box (n, 4) and points (n, 5, 2), both relative to the size of the box, and
        probabilities (n,).
    """
    shift, points, probability = in_batches(onet, crops)
    return shift, points.reshape(-1, 2, 5).mT, probability[:, 1]


def place_points(boxes: Float[Tensor, "n 4"], points: Float[Tensor, "n 5 2"]) -> Float[Tensor, "n 5 2"]:
    """Converts points from units of their box to pixels.

    As in the original code, pixels are counted from 1, and the box includes the pixels at both ends.

    Args:
        boxes: Boxes (x0, y0, x1, y1), pixels.
        points: Points (x, y) relative to the box, [0, 1].
    """
    corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    return corner + points * (size + 1) - 1


def integral_image(frames: UInt8[Tensor, "f 3 h w"]) -> Int[Tensor, "f h1 w1 3"]:
    """Returns the sum of all pixels above and left of each pixel corner: one row and column more than the frames."""
    pictures = frames.permute(0, 2, 3, 1)
    # The largest sum must fit into the integer type; 32 bits are enough for 8.4 million pixels.
    small = frames.shape[2] * frames.shape[3] * 255 < 2**31
    if frames.device.type == "cpu" and small:
        sums = torch.empty(len(frames), frames.shape[2] + 1, frames.shape[3] + 1, 3, dtype=torch.int32)
        for picture, out in zip(pictures.contiguous().numpy(), sums.numpy(), strict=True):
            cv2.integral(picture, out, sdepth=cv2.CV_32S)
        return sums
    kind = torch.int32 if small else torch.int64
    return functional.pad(pictures.cumsum(1, dtype=kind).cumsum(2, dtype=kind), (0, 0, 1, 0, 1, 0))


def resize_area(integral: Int[Tensor, "f h1 w1 3"], size: tuple[int, int]) -> Float[Tensor, "f 3 h w"]:
    """Resizes frames by averaging over windows, as ``torch.nn.functional.interpolate(mode="area")``.

    Args:
        integral: Integral image of the frames.
        size: Height and width of the result, pixels.

    Returns:
        Resized frames, [0, 255].
    """
    top, bottom = _windows(constant([integral.shape[1] - 1], integral, torch.long), size[0])
    left, right = _windows(constant([integral.shape[2] - 1], integral, torch.long), size[1])
    rows = _taken(integral, bottom[0], 1).sub_(_taken(integral, top[0], 1))
    sums = _taken(rows, right[0], 2).sub_(_taken(rows, left[0], 2))
    area = (bottom[0] - top[0])[:, None] * (right[0] - left[0])[None, :]
    return (sums / area[..., None]).float().permute(0, 3, 1, 2)


def crop_area(
    integral: Int[Tensor, "f h1 w1 3"], frame: Int[Tensor, " n"], boxes: Float[Tensor, "n 4"], size: int
) -> Float[Tensor, "n 3 size size"]:
    """Cuts boxes out of frames and resizes them by averaging, as input of R-Net and O-Net.

    As in the original code, pixels are counted from 1, boxes include the pixels at both ends, and boxes are clipped to
    the frame.

    Args:
        integral: Integral image of the frames.
        frame: Index of the frame of each box.
        boxes: Boxes (x0, y0, x1, y1), pixels.
        size: Side of the crops, pixels.

    Returns:
        Normalised crops; see :func:`normalise`.
    """
    x0, y0, x1, y1 = _cut_to_frame(boxes, integral).unbind(dim=1)
    top, bottom = (edge + y0[:, None] for edge in _windows(y1 - y0, size))
    left, right = (edge + x0[:, None] for edge in _windows(x1 - x0, size))
    height, width = integral.shape[1:3]
    corners = integral.flatten(0, 2)

    def corner(y: Tensor, x: Tensor) -> Tensor:
        return _taken(corners, ((frame[:, None] * height + y) * width)[:, :, None] + x[:, None, :], 0)

    sums = corner(bottom, right).sub_(corner(top, right)).sub_(corner(bottom, left)).add_(corner(top, left))
    area = (bottom - top)[:, :, None] * (right - left)[:, None, :]
    return normalise((sums / area[..., None]).float().permute(0, 3, 1, 2))


def _taken(values: Tensor, index: Int[Tensor, "*i"], axis: int) -> Tensor:
    """Returns values at the indices along an axis; on a CPU by NumPy, which takes a third of the time of torch."""
    if values.device.type == "cpu":
        taken: Tensor = torch.from_numpy(values.numpy().take(index.numpy(), axis))
        return taken
    shape = (*values.shape[:axis], *index.shape, *values.shape[axis + 1 :])
    return values.index_select(axis, index.flatten()).reshape(shape)


def in_batches(network: nn.Module, pictures: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
    """Runs a network on pictures in batches whose size suits the device; the number of pictures may be 0.

    Args:
        network: Network to run.
        pictures: Input of the network.

    Returns:
        The outputs of the network for all pictures.
    """
    limit = _CPU_PIXELS if pictures.device.type == "cpu" else _GPU_PIXELS
    size = max(1, limit // (pictures.shape[2] * pictures.shape[3]))
    # The networks cannot flatten an empty batch. It is replaced by one blank picture, whose outputs are removed.
    padded = pictures if len(pictures) else pictures.new_zeros(1, *pictures.shape[1:])
    outputs = [network(padded[start : start + size]) for start in range(0, len(padded), size)]
    return tuple(torch.cat(output)[: len(pictures)] for output in zip(*outputs, strict=True))


def _in_strips(pnet: nn.Module, pictures: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
    """Runs P-Net on strips of large pictures that fit into the cache; whole pictures take half as long again.

    Args:
        pnet: P-Net. A row of its output sees 12 rows of the pictures, two rows further than the row before.
        pictures: Input of the network.

    Returns:
        The outputs of the network for the whole pictures.
    """
    height, width = pictures.shape[2:]
    limit = _CPU_PIXELS if pictures.device.type == "cpu" else _GPU_PIXELS
    rows = (height - 1) // 2 - 4  # of the output
    count = min(round(height * width / limit), rows // _FEWEST_ROWS)
    if count < 2:
        return in_batches(pnet, pictures)
    edges = [i * rows // count for i in range(count)]
    stops = [_STRIDE * edge + _CELL - _STRIDE for edge in edges[1:]]
    strips = [pictures[:, :, _STRIDE * edge : stop] for edge, stop in zip(edges, [*stops, height], strict=True)]
    outputs = [in_batches(pnet, strip) for strip in strips]
    return tuple(torch.cat(output, dim=2) for output in zip(*outputs, strict=True))


def normalise(pixels: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Maps pixel values from [0, 255] to about [-1, 1], the range that the networks were trained with."""
    return (pixels - 127.5) * 0.0078125


def _windows(length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Returns start and end (exclusive) of ``size`` windows over each length (n,), as two tensors (n, size)."""
    step = torch.arange(size + 1, device=length.device)
    start = step[:-1] * length[:, None] // size
    end = (step[1:] * length[:, None] + size - 1) // size
    return start, end


def _cut_to_frame(boxes: Tensor, integral: Tensor) -> Tensor:
    height, width = integral.shape[1] - 1, integral.shape[2] - 1
    x0, y0, x1, y1 = boxes.long().unbind(dim=1)
    return torch.stack(((x0 - 1).clamp_min(0), (y0 - 1).clamp_min(0), x1.clamp_max(width), y1.clamp_max(height)), dim=1)


def _on_frame(frame: Tensor, boxes: Tensor, integral: Tensor) -> tuple[Tensor, Tensor]:
    """Removes boxes that contain no pixel of their frame."""
    x0, y0, x1, y1 = _cut_to_frame(boxes, integral).unbind(dim=1)
    inside = (x1 > x0) & (y1 > y0)
    return frame[inside], boxes[inside]


def regress(boxes: Float[Tensor, "n 4"], shift: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Moves each side of a box by a fraction of the size of the box.

    Args:
        boxes: Boxes (x0, y0, x1, y1), pixels.
        shift: Shift of each side, relative to the size of the box.
    """
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + shift * size.repeat(1, 2)


def _nms_by_smaller(found: Detections, threshold: float) -> Tensor:
    """Returns the boxes that remain after non-maximum suppression by intersection over the area of the smaller box.

    This overlap removes a face that was detected inside another face. A box is kept unless a kept box of the same frame
    with a higher score covers more than ``threshold`` of the smaller of the two. The rule is applied to all boxes at
    once and repeated until nothing changes.
    """
    boxes, scores = found.boxes, found.scores
    low, high = (
        torch.maximum(boxes[:, None, :2], boxes[None, :, :2]),
        torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]),
    )
    area = (boxes[:, 2:] - boxes[:, :2] + 1).prod(dim=1)
    overlap = (high - low + 1).clamp_min(0).prod(dim=2) / torch.minimum(area[:, None], area[None, :])
    rank = torch.argsort(torch.argsort(scores, descending=True, stable=True))
    beats = (overlap > threshold) & (rank[:, None] < rank[None, :]) & (found.frame[:, None] == found.frame[None, :])
    keep = torch.ones_like(scores, dtype=torch.bool)
    while not torch.equal(keep, settled := ~(beats & keep[:, None]).any(dim=0)):
        keep = settled
    return keep
