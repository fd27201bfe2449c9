"""The preset ``sbi`` has the same statistics over many draws as image-level self-blending in OpenCV.

The reference blends the wide crop that its strengths refer to; the toolkit blends the whole picture, which has another
margin. Both are compared on the wide crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import reference
import torch
from numpy import ndarray

from mgst_data.augment import SelfBlend
from mgst_data.core import Segment, generator_for
from mgst_data.core.geometry import apply_transform, box_size
from mgst_data.faces.crop import crop_from_frame, cut, keep, stable_square
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.landmarks import DlibLandmarks
from mgst_data.video import PyAVReader

Face = tuple[ndarray, ndarray]
SIZE, FACES, DRAWS = 256, 32, 2048
# Margin around the face box, so that the wide crop of the reference is inside the picture.
MARGIN = 0.6
# The largest distance between two distributions. Of the same one, 2,048 draws each are 0.05 apart once in a hundred.
ALIKE = 0.1


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread: with small pictures, threads save nothing, and are much slower if other processes use the cores."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.fixture(scope="module")
def faces(clips: Path, one_thread: None) -> list[Face]:
    """Crops of 8 bits, (256, 256, 3), with 68 landmarks: the largest face of different real clips."""
    paths = sorted((clips / "real").iterdir())
    # Clips of one origin have names that begin alike.
    spread = [path for start in range(3) for path in paths[start::3]]
    detector, model = MTCNNDetector(min_face=64), DlibLandmarks()
    found: list[Face] = []
    while spread and len(found) < FACES:
        found += first_face(spread.pop(0), detector, model)
    assert len(found) == FACES
    return found


def first_face(path: Path, detector: MTCNNDetector, model: DlibLandmarks) -> Iterator[Face]:
    """The largest face in the first frame of a clip, if there is one that is seen clearly and not small."""
    frames = next(PyAVReader().chunks(str(path), 1)).frames
    detections = detector(frames)
    detections = detections[detections.scores > 0.99]
    sides = box_size(detections.boxes).amax(dim=1)
    if len(sides) and sides.max() > 100:
        largest = detections[sides.argmax()[None]]
        square = stable_square(largest.boxes.numpy(), MARGIN)
        crop = cut(keep(frames[0].permute(1, 2, 0).numpy(), square, 1), square, SIZE)
        yield crop, apply_transform(crop_from_frame(square, 1, SIZE).float(), model(frames, largest)[0]).numpy()


def figures(real: ndarray, fake: ndarray, mask: ndarray) -> dict[str, float]:
    """What is compared; pictures are (h, w, 3), in levels of 8 bits."""
    peak, area = float(mask.max()), float(mask.mean())
    x, y, width, height = cv2.boundingRect((mask > 0.05 * peak).astype(np.uint8))
    real, fake, form = (item[y : y + height, x : x + width] for item in (real, fake, mask / np.float32(peak)))
    inside = form > 0.5
    rims, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    edge = ((form > 0.05) & (form < 0.95)).sum() / sum(cv2.arcLength(rim, closed=True) for rim in rims)
    difference = fake[inside].astype(np.float32) - real[inside]
    corners = cv2.convexHull(np.concatenate(rims))
    detail = [np.abs(cv2.Laplacian(picture.astype(np.float32), -1))[inside].mean() for picture in (real, fake)]
    return {
        "mask area": area / peak,
        "edge width": float(edge),
        # Where a mask is made at half resolution, its peak falls short of the ratio by a little.
        "blend ratio": float(min(reference.RATIOS, key=lambda ratio: abs(ratio - peak))),
        "difference": float(np.abs(difference).mean()),
        "colour shift": float(np.linalg.norm(difference.mean(axis=0))),
        # What elastic warping takes away from a convex region, and how much sharper or coarser the source is.
        "unevenness": float(1 - sum(map(cv2.contourArea, rims)) / cv2.contourArea(corners)),
        "sharpness": float(np.log(detail[1] / detail[0])),
    }


def distance(a: list[float], b: list[float]) -> float:
    """The Kolmogorov-Smirnov distance of two samples: the most by which their shares below any value differ."""
    values = np.concatenate((a, b))
    shares = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def ours(faces: list[Face]) -> Iterator[dict[str, float]]:
    """Each face as a segment of a single frame."""
    frames = torch.from_numpy(np.stack([crop for crop, _ in faces])).permute(0, 3, 1, 2)
    segment = Segment.of(frames, torch.from_numpy(np.stack([landmarks for _, landmarks in faces])))
    blend, generator = SelfBlend.preset("sbi"), generator_for(0, "parity")
    for _ in range(DRAWS // len(faces)):
        pair = blend(segment, generator=generator)
        assert pair.fake.valid.all()
        pictures = [(255 * twin.frames[:, 0]).round().permute(0, 2, 3, 1).numpy() for twin in (pair.real, pair.fake)]
        for (_, landmarks), *blended in zip(faces, *pictures, pair.fake.mask[:, 0, 0].numpy(), strict=True):
            rows, columns = reference.wide_crop((SIZE, SIZE), landmarks)
            yield figures(*(item[rows, columns] for item in blended))


def theirs(faces: list[Face]) -> Iterator[dict[str, float]]:
    """One picture after another."""
    random = np.random.default_rng(0)
    for _ in range(DRAWS // len(faces)):
        for crop, landmarks in faces:
            rows, columns = reference.wide_crop((SIZE, SIZE), landmarks)
            corner = np.array((columns.start, rows.start), np.float32)
            yield figures(*reference.self_blend(crop[rows, columns], landmarks - corner, random))


@pytest.mark.slow
def test_statistics_of_many_draws_have_the_distribution_of_the_reference(faces: list[Face]):
    mine, others = list(ours(faces)), list(theirs(faces))
    apart = {name: distance([row[name] for row in mine], [row[name] for row in others]) for name in mine[0]}
    assert max(apart.values()) < ALIKE, apart


def test_the_distance_of_two_distributions_is_that_of_kolmogorov_and_smirnov():
    assert distance([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]) == 0
    assert distance([0.0, 1.0], [2.0, 3.0]) == 1
    assert distance([0.0, 1.0, 2.0, 3.0], [1.5, 2.5, 3.5, 4.5]) == 0.5
