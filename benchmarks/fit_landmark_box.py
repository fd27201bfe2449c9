"""Fits the position of a face in the box of dlib's HOG detector, and compares landmarks from several kinds of boxes.

    python benchmarks/fit_landmark_box.py             # prints FACE_IN_BOX, writes results/landmark_box.json
    python benchmarks/fit_landmark_box.py --every 30  # faster, with fewer frames

The faces are those of the real clips on which MTCNN and the HOG detector agree. The fit and the boxes are
cross-validated by clip. There are no annotations, so the error is the distance to a consensus: the mean of the
landmarks from 8 boxes around the HOG box and 8 around our box. Spread is the change of the landmarks when the box
changes (by 4 % in position and 6 % in size); it is smallest for boxes like those that dlib's trees were trained with.
Error and spread are in % of the eye distance. Jitter is too: it is the second difference over time, scaled to the noise
of one frame.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np
import torch
from _common import write_result
from extraction.clips import parse_with_clips
from torch import Tensor

from mgst_data.core.geometry import (
    apply_transform,
    box_around,
    box_centre,
    box_size,
    eye_distance,
    iou,
    similarity_transform,
    square,
)
from mgst_data.core.records import Detections
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.landmarks import FACE_IN_BOX, DlibLandmarks, packaged_model
from mgst_data.video.pyav import PyAVReader

FOLDS, CONSENSUS, PERTURBED = 10, 8, 8
HOG_SIDE = 800  # Larger frames are scaled down to this side for the HOG detector, pixels.
STILL = (
    "lp_d3", "lp_d9", "lp_s18", "lp_s20", "lp_d13", "dpe_s", "intel_sister", "edtalk_mouth_source", "fsgan_shinzo_abe",
    "latentsync_demo1_video", "sadtalker_WDA_KatieHill_000", "dflpair_Nicola_Badge_1_orig",
)  # fmt: skip

Predict = Callable[["Face"], Tensor]


@dataclass(frozen=True)
class Face:
    """A face that both detectors found, with a crop of the frame. Coordinates are in pixels of the crop."""

    clip: str
    corner: Tensor  # Upper left corner of the crop in the frame.
    picture: np.ndarray
    box: Tensor
    points: Tensor
    hog: Tensor


def faces_of(path: Path, detector: MTCNNDetector, *, every: int, count: int, reach: float = 1.3) -> Iterator[Face]:
    """Yields the faces of every ``every``-th frame, from at most ``count`` frames."""
    hog = dlib.get_frontal_face_detector()
    frames = (frame for batch in PyAVReader().chunks(str(path), 16) for frame in batch.frames)
    for number, frame in enumerate(frames):
        if number >= every * count:
            return
        if number % every:
            continue
        picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        found = detector(frame[None])
        found = found[(found.scores > 0.95) & (box_size(found.boxes).amin(dim=-1) > 40)]
        scale = min(1.0, HOG_SIDE / max(picture.shape))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        seen = [[r.left(), r.top(), r.right(), r.bottom()] for r in hog(small, int(max(small.shape) <= 640))]
        theirs = torch.tensor(seen, dtype=torch.float32).reshape(-1, 4) / scale
        overlap = iou(found.boxes, theirs)
        for i, j in overlap.gt(0.35).nonzero().tolist():
            middle, far = box_centre(found.boxes[i]), reach * box_size(found.boxes[i]).max()
            corner = (middle - far).floor().clamp_min(0)
            (x0, y0), (x1, y1) = corner.int().tolist(), (middle + far).int().tolist()
            box, other = found.boxes[i] - corner.repeat(2), theirs[j] - corner.repeat(2)
            yield Face(path.stem, corner, picture[y0:y1, x0:x1].copy(), box, found.points[i] - corner, other)


def fit(faces: list[Face]) -> Tensor:
    """Fits five points in units of the HOG box: the median over clips of the medians over faces, made symmetric."""
    clips = sorted({face.clip for face in faces})
    place = {clip: [] for clip in clips}
    for face in faces:
        place[face.clip].append((face.points - face.hog[:2]) / box_size(face.hog).mean())
    points = torch.stack([torch.stack(values).median(dim=0).values for values in place.values()]).median(dim=0).values
    mirrored = torch.stack((1 - points[:, 0], points[:, 1]), dim=-1)[[1, 0, 2, 4, 3]]
    return (points + mirrored) / 2


def laid_box(template: Tensor, points: Tensor) -> Tensor:
    """Returns the upright box whose eyes and mouth fit best to the points."""
    rows = [0, 1, 3, 4]
    matrix = similarity_transform(template[rows], points[rows])
    side = matrix[:, 0].norm()
    middle = apply_transform(matrix, torch.full((1, 2), 0.5))[0]
    return box_around(middle, side.expand(2))


def peers_box(box: Tensor) -> Tensor:
    """Returns the box of MTCNN as a square with 0.95 of the mean side, moved down by 8 % of the height."""
    width, height = box_size(box)
    return box_around(box_centre(box) + torch.stack((height * 0, 0.08 * height)), (0.475 * (width + height)).expand(2))


def moved(box: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Moves a box by ``shift`` times its size, and scales it about its centre."""
    return box_around(box_centre(box) + shift * box_size(box), box_size(box) * scale)


class Predictors:
    """Several ways to predict the landmarks of a face, also with a moved and scaled box (or points)."""

    def __init__(self) -> None:
        self.predictor = dlib.shape_predictor(str(packaged_model()))
        self.ours = {views: DlibLandmarks(views=views) for views in (1, 2, 4)}
        self.template = torch.tensor(FACE_IN_BOX)
        self.boxes: dict[str, Callable[[Face], Tensor]] = {
            "mtcnn box": lambda face: face.box,
            "mtcnn box, square, moved": lambda face: peers_box(face.box),
            "hog box": lambda face: face.hog,
        }

    def from_box(self, picture: np.ndarray, box: Tensor) -> Tensor:
        """Predicts landmarks in the usual way: from a box of whole pixels, RGB."""
        shape = self.predictor(picture, dlib.rectangle(*(round(v) for v in box.tolist())))
        return torch.tensor([(point.x, point.y) for point in shape.parts()], dtype=torch.float32)

    def from_points(self, picture: np.ndarray, points: Tensor, views: int) -> Tensor:
        """Predicts landmarks with the model of this project."""
        frames = torch.from_numpy(picture)[None].permute(0, 3, 1, 2)
        found = Detections(torch.zeros(1, dtype=torch.long), torch.zeros(1, 4), torch.ones(1), points[None])
        return self.ours[views](frames, found)[0]

    def names(self) -> tuple[str, ...]:
        """Returns the names of all ways."""
        return (*self.boxes, *(f"ours, {views} views" for views in self.ours), "ours, second pass")

    def __call__(self, name: str, face: Face, shift: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
        """Predicts landmarks in one way, with the box moved by ``shift`` times its size and scaled by ``scale``."""
        shift = torch.zeros(2) if shift is None else shift
        scale = torch.ones(()) if scale is None else scale
        if name in self.boxes:
            return self.from_box(face.picture, moved(self.boxes[name](face), shift, scale))
        five = torch.cat((self.template[:2], torch.full((1, 2), 0.5), self.template[2:]))
        box = laid_box(five, face.points)
        points = box_centre(box) + (face.points - box_centre(box)) * scale + shift * box_size(box)
        if name != "ours, second pass":
            return self.from_points(face.picture, points, int(name.split()[1]))
        first = self.from_points(face.picture, points, 1)
        matrix = similarity_transform(self.mean_face, first)
        again = apply_transform(matrix, five)
        return (first + self.from_points(face.picture, again, 1)) / 2

    def learn_mean_face(self, faces: list[Face]) -> None:
        """Computes the mean face for the second pass: the median landmarks from HOG boxes, in units of the box."""
        places = [(self("hog box", face) - face.hog[:2]) / box_size(face.hog).mean() for face in faces[::3]]
        self.mean_face = torch.stack(places).median(dim=0).values


def box_residuals(faces: list[Face]) -> dict[str, dict[str, float]]:
    """Measures offsets from the HOG box, in units of its side. Our box is fitted to the other clips."""
    clips = sorted({face.clip for face in faces})
    fold = {clip: i % FOLDS for i, clip in enumerate(clips)}
    fitted = [fit([face for face in faces if fold[face.clip] != i]) for i in range(FOLDS)]
    ways = {
        "mtcnn box, square": lambda face: square(face.box),
        "mtcnn box, square, moved": lambda face: peers_box(face.box),
        "ours": lambda face: laid_box(fitted[fold[face.clip]], face.points),
    }
    residuals = {}
    for name, way in ways.items():
        offset = torch.stack([(box_centre(way(f)) - box_centre(f.hog)) / box_size(f.hog).mean() for f in faces])
        ratio = torch.stack([(box_size(way(f)).mean() / box_size(f.hog).mean()).log() for f in faces])
        columns = {"x": offset[:, 0], "y": offset[:, 1], "log side": ratio}
        residuals[name] = {f"{c} bias": float(v.median()) for c, v in columns.items()}
        residuals[name] |= {f"{c} spread": float(1.4826 * (v - v.median()).abs().median()) for c, v in columns.items()}
    return residuals


def errors(faces: list[Face], predict: Predictors, generator: torch.Generator) -> dict[str, dict[str, float]]:
    """Measures the distance to the consensus, how often it is larger than with the HOG box, and the spread."""
    apart: dict[str, list[float]] = {name: [] for name in predict.names()}
    spread: dict[str, list[float]] = {name: [] for name in predict.names()}

    def draw() -> tuple[Tensor, Tensor]:
        return 0.04 * torch.randn(2, generator=generator), (0.06 * torch.randn((), generator=generator)).exp()

    for number, face in enumerate(faces):
        all_found = [predict(name, face, *draw()) for name in ("hog box", "ours, 1 views") for _ in range(CONSENSUS)]
        consensus = torch.stack(all_found).mean(dim=0)
        unit = eye_distance(consensus) / 100
        for name in apart:
            apart[name].append(float((predict(name, face) - consensus).norm(dim=-1).mean() / unit))
        if number % 4 == 0:
            moves = [draw() for _ in range(PERTURBED)]
            for name in spread:
                found = torch.stack([predict(name, face, *move) for move in moves])
                spread[name].append(float((found - found.mean(dim=0)).norm(dim=-1).mean() / unit))
    hog = np.array(apart["hog box"])
    return {
        name: {
            "median": float(np.median(values)),
            **{f"p{q}": float(np.percentile(values, q)) for q in (90, 99)},
            "share worse than hog by over 1": float(np.mean(np.array(values) > hog + 1)),
            "share better than hog by over 1": float(np.mean(np.array(values) < hog - 1)),
            "spread": float(np.median(spread[name])),
        }
        for name, values in apart.items()
    }


def jitter(folder: Path, detector: MTCNNDetector, predict: Predictors, count: int) -> dict[str, float]:
    """Measures the median second difference over consecutive frames, as a mean over clips with almost static faces."""
    by_clip: dict[str, list[float]] = {name: [] for name in predict.names()}
    for path in sorted(p for p in folder.iterdir() if p.stem in STILL):
        run = list(faces_of(path, detector, every=1, count=count, reach=1.5))
        for name in by_clip:
            found = torch.stack([predict(name, face) + face.corner for face in run])
            change = found[2:] - 2 * found[1:-1] + found[:-2]
            unit = eye_distance(found).median() / 100
            by_clip[name].append(float(change.norm(dim=-1).mean(dim=-1).median() / unit / 6**0.5))
    return {name: float(np.mean(values)) for name, values in by_clip.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=15, help="distance of two sampled frames, frames")
    parser.add_argument("--count", type=int, default=12, help="maximum number of sampled frames per clip")
    options = parse_with_clips(parser)
    folder = options.clips / "real"
    cv2.setNumThreads(1)
    detector, predict = MTCNNDetector(min_face=40), Predictors()
    paths = sorted(folder.iterdir())
    faces = [face for path in paths for face in faces_of(path, detector, every=options.every, count=options.count)]
    predict.learn_mean_face(faces)
    template = fit(faces)
    figures = {
        "faces": len(faces),
        "clips": len({face.clip for face in faces}),
        "face_in_box": template.tolist(),
        "box_against_hog": box_residuals(faces),
        "landmarks": errors(faces, predict, torch.Generator().manual_seed(0)),
        "jitter": jitter(folder, detector, predict, count=32),
    }
    print("FACE_IN_BOX =", [[round(v, 4) for v in template[row].tolist()] for row in (0, 1, 3, 4)])
    for name, rows in (*figures["box_against_hog"].items(), *figures["landmarks"].items()):
        print(f"{name:28}", "  ".join(f"{key} {value:.3f}" for key, value in rows.items()))
    print("jitter", "  ".join(f"{name} {value:.3f}" for name, value in figures["jitter"].items()))
    print(write_result("landmark_box", figures))


if __name__ == "__main__":
    main()
