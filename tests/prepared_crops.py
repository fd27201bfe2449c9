"""Prepared crops of the portrait of scikit-image, in the form of DeepfakeBench: 256 pixels, 81 landmarks, masks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from skimage.data import astronaut

from mgst_data.demo.portrait import LANDMARKS

SIDE = 256
CORNER, PART = (154.0, 48.0), 140.0  # upper left corner and side of the crop, pixels of the photograph


def crop(n: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns a crop and its landmarks (81, 2). Every number gives another picture: the face moves a little."""
    scale = SIDE / PART
    shift = -np.array(CORNER) * scale + (n % 7, n % 5)
    picture = cv2.warpAffine(astronaut(), np.float64([[scale, 0, shift[0]], [0, scale, shift[1]]]), (SIDE, SIDE))
    forehead = np.stack((np.linspace(190, 260, 13), np.full(13, 68.0)), axis=1)
    return picture, np.concatenate((np.array(LANDMARKS), forehead)) * scale + shift


def mask() -> np.ndarray:
    """Returns a mask of the face of a crop, black and white."""
    _, points = crop()
    white = cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), cv2.convexHull(points[:68].astype(np.int32)), 255)
    return np.asarray(white)


def write_video(folder: Path, name: str, numbers: Iterable[int], *, masks: bool = False) -> list[str]:
    """Writes ``frames/``, ``landmarks/`` and on request ``masks/`` of a video; returns the paths of the frames."""
    paths = []
    for n in numbers:
        picture, points = crop(n)
        save(folder / "frames" / name / f"{n:03d}.png", picture)
        landmarks = folder / "landmarks" / name / f"{n:03d}.npy"
        landmarks.parent.mkdir(parents=True, exist_ok=True)
        np.save(landmarks, points.round().astype(np.int64))
        if masks:
            save(folder / "masks" / name / f"{n:03d}.png", mask())
        paths.append(str(folder / "frames" / name / f"{n:03d}.png"))
    return paths


def save(path: Path, picture: np.ndarray) -> None:
    """Writes a picture, RGB or grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)


def write_bench(root: Path, numbers: Iterable[int]) -> Path:
    """Writes a small tree of DeepfakeBench with two real and two fake videos of FaceForensics++ and its JSON file."""
    numbers = list(numbers)
    base = root / "FaceForensics++"
    real, fake = base / "original_sequences/youtube/c23", base / "manipulated_sequences/Deepfakes/c23"
    splits = {"train": ("000", "001"), "test": ("002", "003")}
    content: dict[str, dict[str, dict[str, dict[str, object]]]] = {"FF-real": {}, "FF-DF": {}}
    for split, (one, other) in splits.items():
        frames = [path.replace("/", "\\") for path in write_video(real, one, numbers)]
        content["FF-real"][split] = {"c23": {one: {"label": "FF-real", "frames": frames}}}
        name = f"{one}_{other}"
        frames = write_video(fake, name, numbers, masks=True)
        masks = [path.replace("/frames/", "/masks/") for path in frames]
        content["FF-DF"][split] = {"c23": {name: {"label": "FF-DF", "frames": frames, "masks": masks}}}
    lists = root / "dataset_json"
    lists.mkdir()
    (lists / "FF-DF.json").write_text(json.dumps({"FF-DF": content}))
    return root
