"""The two pipelines that are compared. Both turn a video file into encoded crops with landmarks, in memory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np
from facenet_pytorch import MTCNN

from extraction.clips import record
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.shards import encode_chunk

MARGIN = 1.6
SIZE = 320


class Ours:
    """The pipeline of this project with its defaults. A call returns the numbers of frames and of crops."""

    def __init__(self) -> None:
        self.extractor = Extractor(ExtractConfig(), decode_threads=1)

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
        package = importlib.util.find_spec("face_recognition_models")
        if package is None or package.origin is None:
            raise ImportError("the landmark file is missing: pip install face_recognition_models")
        weights = Path(package.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"
        self.predictor = dlib.shape_predictor(str(weights))

    def __call__(self, path: Path) -> tuple[int, int]:
        """Processes one video."""
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        frames = crops = 0
        while True:
            there, bgr = video.read()
            if not there:
                video.release()
                return frames, crops
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            boxes, scores = self.mtcnn.detect(rgb)
            for box, score in zip(boxes if boxes is not None else (), scores, strict=False):
                if score > 0.9:
                    shape = self.predictor(rgb, dlib.rectangle(*(int(v) for v in box)))
                    np.array([(point.x, point.y) for point in shape.parts()])
                    cv2.imencode(".jpg", crop_square(bgr, box), (cv2.IMWRITE_JPEG_QUALITY, 95))
                    crops += 1
            frames += 1


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
