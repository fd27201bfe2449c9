"""Measures the motion of a static background in the crops.

The motion between two frames is measured by aligning small patches of the background (ECC: Evangelidis and Psarakis,
"Parametric image alignment using enhanced correlation coefficient maximization", 2008). It is measured in the crops of
this project, at the same place of the source video, and in crops around the box of each frame, as other tools make
them. All motion is in pixels of the crop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from extraction.clips import STEADY, Clips, record
from extraction.pipelines import SIZE, crop_square
from extraction.quality import detect_all
from extraction.report import Figure, Section, in_parallel
from mgst_data.core.geometry import apply_transform, invert_transform, iou
from mgst_data.extract import ExtractConfig, Extractor
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.shards import FaceChunk

FRAMES = 96
# Side of a patch, pixels of the crop, and maximum number of patches per chunk.
PATCH, PATCHES = 48, 8
# Minimum of the mean square gradient in the direction with the least texture, levels per pixel.
TEXTURE = 2.0
# A patch is background if the source moves less than this in 95 % of its frames, pixels. Otherwise a person or the
# camera moves.
STILL = 0.1
# Stops after 100 steps, or when the correlation no longer increases.
PRECISE = cv2.TermCriteria_EPS | cv2.TermCriteria_COUNT, 100, 1e-6

Grey = np.ndarray
Corner = tuple[int, int]


def run(clips: Clips, *, quick: bool) -> Section:
    """Measures clips from a camera on a tripod, on all cores."""
    names = STEADY[-1:] if quick else STEADY
    rows = in_parallel(measure, [clips.trimmed(clips.real(name), 40 if quick else FRAMES) for name in names])
    motion = {kind: np.concatenate([row.pop(kind) for row in rows]) for kind in ("ours", "source", "per_frame")}
    figures = tuple(
        Figure(f"background motion in {where}, {which}", quantile(motion[kind], q), "px", at_most=limit)
        for kind, where, limit in (
            ("ours", "the crops", 0.1),
            ("source", "the source", None),
            ("per_frame", "per-frame crops", None),
        )
        for which, q in (("median", 0.5), ("95th percentile", 0.95))
    )
    return Section(figures, {"patch": PATCH, "clips": rows})


def measure(path: Path) -> dict[str, Any]:
    """Measures the motion between consecutive frames in every background patch of a clip, pixels of the crop."""
    extractor, detector = Extractor(ExtractConfig()), MTCNNDetector(min_face=40)
    chunks = list(extractor(record(path)))
    pictures: list[Grey] = []
    boxes: list[torch.Tensor] = []
    for batch in extractor.reader.chunks(str(path), 32):
        pictures += [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in batch.frames.permute(0, 2, 3, 1).numpy()]
        found = detect_all(detector, batch.frames)
        boxes += [found.boxes[found.frame == i] for i in range(len(batch))]
    motion: dict[str, list[float]] = {"ours": [], "source": [], "per_frame": []}
    patches = 0
    for chunk in chunks:
        frames = chunk.frame_indices.tolist()
        source = [pictures[i] for i in frames]
        crops = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in chunk.frames()]
        peers = [
            shaky_crop(picture, boxes[i], box) for picture, i, box in zip(source, frames, in_frame(chunk), strict=True)
        ]
        for corner, still in background(chunk, crops[0], source):
            patches += 1
            motion["source"] += still
            motion["ours"] += shifts([cut(crop, corner, PATCH) for crop in crops])
            centre = np.add(corner, PATCH / 2)
            motion["per_frame"] += peer_shifts(peers, in_frame_point(chunk, centre))
    row: dict[str, Any] = {"clip": path.name, "chunks": len(chunks), "patches": patches}
    for kind, values in motion.items():
        row[kind] = np.array(values)
        row[f"{kind}_median"], row[f"{kind}_p95"] = quantile(row[kind], 0.5), quantile(row[kind], 0.95)
    about = ", ".join(f"{kind} {row[f'{kind}_median']:.3f} ({row[f'{kind}_p95']:.3f})" for kind in motion)
    print(f"{path.name:48} {patches} patches, motion in px, median (95 %): {about}", flush=True)
    return row


def background(chunk: FaceChunk, crop: Grey, source: Sequence[Grey]) -> Iterator[tuple[Corner, list[float]]]:
    """Yields the corners of the most textured static patches, and the motion of the source there."""
    scale = float(chunk.crop_from_frame[0, 0])
    side = round(PATCH / scale)
    candidates = []
    for y in range(0, chunk.crop_size - PATCH + 1, PATCH // 2):
        for x in range(0, chunk.crop_size - PATCH + 1, PATCH // 2):
            left, top = np.rint(in_frame_point(chunk, np.array((x, y), float))).astype(int)
            inside = 0 <= left <= source[0].shape[1] - side and 0 <= top <= source[0].shape[0] - side
            strength = texture(cut(crop, (x, y), PATCH))
            if inside and strength > TEXTURE:
                candidates.append((-strength, (x, y), (int(left), int(top))))
    found = 0
    for _, corner, place in sorted(candidates):
        still = [scale * shift for shift in shifts([cut(picture, place, side) for picture in source])]
        if still and np.quantile(still, 0.95) < STILL:
            yield corner, still
            found += 1
        if found == PATCHES:
            return


def shaky_crop(picture: Grey, found: torch.Tensor, expected: torch.Tensor) -> tuple[Grey, np.ndarray, float] | None:
    """Returns the crop around the detected box, its corner and its scale; None if the detector misses the face."""
    if len(found) == 0 or float(iou(found, expected[None]).max()) < 0.3:
        return None
    box = found[int(iou(found, expected[None]).argmax())].numpy()
    side = max(int(1.6 * max(box[2] - box[0], box[3] - box[1])), 1)
    return crop_square(picture, box), np.array([int((box[i] + box[i + 2] - side) / 2) for i in (0, 1)]), SIZE / side


def peer_shifts(crops: Sequence[tuple[Grey, np.ndarray, float] | None], point: np.ndarray) -> list[float]:
    """Measures the motion between consecutive crops in a patch around a point of the source."""
    motion = []
    for before, after in itertools.pairwise(crops):
        if before is None or after is None:
            continue
        picture, corner, scale = before
        x, y = np.rint((point - corner) * scale - PATCH / 2).astype(int)
        if 0 <= x <= SIZE - PATCH and 0 <= y <= SIZE - PATCH:
            motion += shifts([cut(picture, (x, y), PATCH), cut(after[0], (x, y), PATCH)])
    return motion


def shifts(patches: Sequence[Grey]) -> list[float]:
    """Returns the length of the shift between consecutive patches; pairs that cannot be aligned are omitted."""
    motion = []
    for before, after in itertools.pairwise(patches):
        start, everywhere = np.eye(2, 3, dtype=np.float32), np.full_like(before, 255)
        try:
            _, matrix = cv2.findTransformECC(before, after, start, cv2.MOTION_TRANSLATION, PRECISE, everywhere, 5)
        except cv2.error:
            continue
        motion.append(float(np.hypot(*np.asarray(matrix)[:, 2])))
    return motion


def texture(patch: Grey) -> float:
    """Returns the mean square gradient in the direction of least change: 0 on a plain wall and along an edge."""
    smooth = cv2.GaussianBlur(patch.astype(np.float32), (0, 0), 1.5)
    gradient = np.stack([cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8).ravel() for order in ((1, 0), (0, 1))])
    return float(np.linalg.eigvalsh(gradient @ gradient.T / gradient.shape[1])[0])


def in_frame(chunk: FaceChunk) -> torch.Tensor:
    """Returns the boxes of a chunk in pixels of the frame."""
    corners = apply_transform(invert_transform(chunk.crop_from_frame), chunk.boxes.double().reshape(-1, 2, 2))
    boxes: torch.Tensor = corners.reshape(-1, 4).float()
    return boxes


def in_frame_point(chunk: FaceChunk, point: np.ndarray) -> np.ndarray:
    """Converts a point of the crop to pixels of the frame."""
    placed: np.ndarray = apply_transform(invert_transform(chunk.crop_from_frame), torch.from_numpy(point)[None])[
        0
    ].numpy()
    return placed


def cut(picture: Grey, corner: Corner, side: int) -> Grey:
    """Cuts a square patch."""
    x, y = corner
    return picture[y : y + side, x : x + side]


def quantile(values: np.ndarray, q: float) -> float:
    """Returns a quantile; NaN without values."""
    return float(np.quantile(values, q)) if len(values) else float("nan")
