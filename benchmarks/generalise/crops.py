"""What a network may take for a trace of a fake: sharpness, face size, skin brightness, and compression of a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mgst_data.core.locations import PICTURE_SUFFIXES
from mgst_data.core.polygons import hull_mask
from mgst_data.core.records import main_track
from mgst_data.core.sampling import evenly_spaced
from mgst_data.shards import FaceChunk, ShardReader
from mgst_data.shards.images import grey_face, sharpness
from mgst_model.evaluate.resampling import Estimate, group_interval

from .figures import Scores, rounded
from .kit import Kit, Video
from .names import BITS, BRIGHTNESS, FACE_SIZE, PROPERTIES, SHARPNESS

FRAMES = 8
# Convex hull below the eyes and above the mouth: upper jaw line on both sides, and the base of the nose.
_CHEEKS = (1, 2, 3, 13, 14, 15, 33)
Floats = NDArray[np.float64]


def properties(kit: Kit, folder: str, split: str) -> dict[Video, dict[str, float]]:
    """Measures the real videos of a split: the median over eight frames of the main face.

    Args:
        kit: Clips and stills.
        folder: "clips" or "stills".
        split: Split of the videos.

    Returns:
        The properties of each video. Brightness is NaN where the cheeks are not in the crop.
    """
    wanted = kit.of(folder, split, label=0)
    reader = ShardReader.open(kit.shards / folder, split=split, label=0)
    rows_of: dict[str, list[int]] = {}
    for row, video in enumerate(reader.video.tolist()):
        rows_of.setdefault(reader.videos[video], []).append(row)
    found = {}
    for video, line in wanted.items():
        chunks = [reader[row] for row in rows_of[video[1]]]
        areas: dict[int, float] = {}
        for chunk in chunks:
            areas[chunk.track] = areas.get(chunk.track, 0.0) + chunk.face_area
        main = main_track(areas)
        frames = [(chunk, i) for chunk in chunks if chunk.track == main for i in range(len(chunk))]
        some = [frames[i] for i in evenly_spaced(len(frames), min(FRAMES, len(frames)))]
        measured = [_of_frame(chunk, i) for chunk, i in some]
        medians = {name: float(np.median([one[name] for one in measured])) for name in measured[0]}
        found[video] = medians | {BITS: _bits_per_pixel(kit.folder / line.path)}
    return found


def correlations(scores: Scores, measured: Mapping[Video, Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Computes Spearman's rank correlation of the scores of real videos with each property.

    Args:
        scores: Scores; the mean over the seeds is used.
        measured: Properties of the real videos.

    Returns:
        By property: the correlation and its interval over people.
    """
    from scipy.stats import spearmanr

    real = scores.reals
    score = real.scores.mean(axis=0)

    def estimate(values: Floats) -> Estimate:
        def correlation(places: NDArray[np.int64]) -> float:
            if min(len(set(score[places])), len(set(values[places]))) < 2:
                return float("nan")
            return float(spearmanr(score[places], values[places]).statistic)

        return group_interval(correlation, real.groups)

    return {name: rounded(estimate(np.array([measured[video][name] for video in real.videos]))) for name in PROPERTIES}


def _of_frame(chunk: FaceChunk, place: int) -> dict[str, Any]:
    (crop,) = chunk.frames([place])
    points = chunk.landmarks[place].numpy()
    grey = grey_face(crop, [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()])
    lightness = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[..., 0] / 2.55
    cheeks = hull_mask(torch.from_numpy(points[list(_CHEEKS)]), crop.shape[:2]).numpy() > 0.5
    box = (chunk.boxes[place, 2:] - chunk.boxes[place, :2]).double() / float(chunk.crop_from_frame[0, 0])
    return {
        SHARPNESS: float("nan") if grey is None else sharpness(grey),
        FACE_SIZE: float(box.prod().clamp_min(0).sqrt()),
        BRIGHTNESS: float(np.median(lightness[cheeks])) if cheeks.any() else float("nan"),
    }


def _bits_per_pixel(path: Path) -> float:
    """Returns the bits of a file per pixel of its frames; a rough measure of how strongly it was compressed."""
    if path.name.lower().endswith(PICTURE_SUFFIXES):
        with Image.open(path) as picture:
            return 8 * path.stat().st_size / (picture.width * picture.height)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet.size for packet in container.demux(stream) if packet.size]
        return 8 * sum(packets) / (len(packets) * stream.width * stream.height)
