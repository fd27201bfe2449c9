"""Compares filters that smooth landmarks over time, on the tracks of the real clips.

    python benchmarks/choose_smoothing.py              # prints the table, writes results/smoothing.json
    python benchmarks/choose_smoothing.py --frames 60  # faster, with fewer frames

A filter should reduce noise and keep real motion. The columns of the table:
    jitter      second difference on frames with a still face, scaled to the noise of one frame, % of eye distance
    blink       remaining depth of blinks: median and 10th percentile
    mouth       remaining size of mouth openings: median and 10th percentile
    overshoot   eye opening beyond its extremes in the raw landmarks nearby, as a share of the opening
    lag         shift of the mouth opening at the peak of the correlation with the raw signal: mean of sizes, frames
    moving      distance to low-noise landmarks (8 views per frame) on frames with a moving face, % of eye distance
    still       distance to low-noise landmarks (8 views per frame) on frames with a still face, % of eye distance
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from _common import write_result
from extraction.clips import parse_with_clips
from torch import Tensor

from mgst_data.core.geometry import apply_transform, eye_distance, similarity_transform
from mgst_data.core.records import Detections
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.landmarks import DlibLandmarks, check_landmarks
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.smooth import smooth_landmarks
from mgst_data.faces.track import Tracker
from mgst_data.video.pyav import PyAVReader

SHORTEST = 20
STILL, MOVING = 0.01, 0.03  # Maximum speed of a still and minimum speed of a moving face, eye distances per frame.
# A blink: the eye opening is below this share of its median. A mouth opening: it is this much above its median.
BLINK, OPENING = 0.72, 0.05

Filter = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Motion:
    """Landmarks of one face over consecutive frames, and landmarks with less noise, in % of the eye distance."""

    points: Tensor
    quiet: Tensor
    outside: Tensor  # Landmarks outside the frame.
    jumps: Tensor  # Landmarks inside the frame that are not valid.


def motions_of(path: Path, models: dict[int, DlibLandmarks], frames: int) -> list[Motion]:
    """Returns the tracks of the first frames of a clip."""
    tracker = Tracker(MTCNNDetector(min_face=40), BoxRefiner(), scale=1.0, min_face=40.0)
    parts: dict[int, list[tuple[Tensor, ...]]] = defaultdict(list)
    for batch in PyAVReader().chunks(str(path), 16):
        if int(batch.index[0]) >= frames:
            break
        for track in tracker(batch):
            where = torch.searchsorted(batch.index, track.frame)
            found = Detections(where, track.boxes, track.scores, track.points)
            parts[track.id].append(tuple(models[views](batch.frames, found) for views in (2, 8)))
        height, width = batch.frames.shape[2:]
    motions = []
    for pieces in parts.values():
        points, quiet = (torch.cat(column) for column in zip(*pieces, strict=True))
        if len(points) >= SHORTEST:
            unit = eye_distance(points).median() / 100
            outside = ((points < -0.5) | (points > torch.tensor([width, height]) - 0.5)).any(dim=-1)
            jumps = ~check_landmarks(points, height, width) & ~outside
            motions.append(Motion(points / unit, quiet / unit, outside, jumps))
    return motions


def around(points: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Returns the window of frames around every frame, (t, w, k, 2), and a mask of the frames that exist."""
    index = torch.arange(len(points))[:, None] + torch.arange(-reach, reach + 1)
    inside = (index >= 0) & (index < len(points))
    return points[index.clamp(0, len(points) - 1)], inside


def local_fit(near: Tensor, weight: Tensor, order: int) -> Tensor:
    """Fits a polynomial to (t, w, k, 2) with weights (t, w, 1 or k), and returns its value in the middle."""
    reach = near.shape[1] // 2
    powers = torch.arange(-reach, reach + 1)[:, None].double() ** torch.arange(order + 1)
    weight = weight.expand(near.shape[:3]).double()
    left = torch.einsum("twk,wi,wj->tkij", weight, powers, powers) + 1e-9 * torch.eye(order + 1)
    right = torch.einsum("twk,wi,twkc->tkic", weight, powers, near.double())
    return torch.linalg.solve(left, right)[:, :, 0].float()


def gauss(reach: int, deviation: float) -> Tensor:
    """Returns Gaussian weights over time, (w, 1)."""
    return torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)[:, None]


def savitzky_golay(points: Tensor, reach: int, order: int) -> Tensor:
    """Fits polynomials with equal weights. In the middle of a window, order 3 gives the same value as order 2."""
    near, inside = around(points, reach)
    return local_fit(near, inside[..., None], order)


def gaussian(points: Tensor, deviation: float) -> Tensor:
    """Fits lines with Gaussian weights over time."""
    near, inside = around(points, 4)
    return local_fit(near, inside[..., None] * gauss(4, deviation), 1)


def rigid_and_rest(points: Tensor, deviation: float, order: int) -> Tensor:
    """Smooths the motion of the head with polynomials, and the remaining motion with a Gaussian."""
    near, inside = around(points, 3)
    centre = points[:, None].expand_as(near)
    laid = apply_transform(similarity_transform(near, centre), near)
    weight = inside[..., None] * gauss(3, deviation)
    shape = (laid * weight[..., None]).sum(dim=1) / weight.sum(dim=1)[..., None]
    posed = apply_transform(similarity_transform(centre, near), shape[:, None].expand_as(near))
    return local_fit(posed, inside[..., None], order)


def bilateral(points: Tensor, deviation: float, motion: float, order: int, reach: int = 3) -> Tensor:
    """Fits polynomials with weights that fall over time and with the motion of a landmark, in % of the eye distance.

    The library uses order 1.
    """
    near, inside = around(points, reach)
    apart = (near - points[:, None]).norm(dim=-1) / motion
    return local_fit(near, inside[..., None] * gauss(reach, deviation) * torch.exp(-0.5 * apart**2), order)


CANDIDATES: dict[str, Filter] = {
    "raw": lambda points: points,
    **{f"savgol {2 * r + 1}, order 2": partial(savitzky_golay, reach=r, order=2) for r in (2, 3, 4)},
    **{f"gaussian {s}": partial(gaussian, deviation=s) for s in (0.6, 0.8, 1.0, 1.5)},
    "head order 2 + gaussian 1": partial(rigid_and_rest, deviation=1.0, order=2),
    "bilateral mean 1.5, 2 %": partial(bilateral, deviation=1.5, motion=2.0, order=0),
    **{f"bilateral line 1.5, {m} %": partial(bilateral, deviation=1.5, motion=m, order=1) for m in (1.5, 2.0, 3.0)},
    "bilateral line 2.0, 2 %": partial(bilateral, deviation=2.0, motion=2.0, order=1),
    "bilateral parabola 1.5, 2 %": partial(bilateral, deviation=1.5, motion=2.0, order=2),
    "library": lambda points: smooth_landmarks(points, torch.ones(points.shape[:2], dtype=torch.bool)),
}  # fmt: skip


def eye_opening(points: Tensor) -> np.ndarray:
    """Returns the mean ratio of height to width of both eyes (Soukupova and Cech, 2016)."""

    def gap(a: int, b: int) -> Tensor:
        return (points[:, a] - points[:, b]).norm(dim=-1)

    left = (gap(37, 41) + gap(38, 40)) / gap(36, 39)
    right = (gap(43, 47) + gap(44, 46)) / gap(42, 45)
    return ((left + right) / 4).numpy()


def mouth_opening(points: Tensor) -> np.ndarray:
    """Returns the gap between the lips, relative to the height of the face below the eyes."""
    gaps = (points[:, [61, 62, 63]] - points[:, [67, 66, 65]]).norm(dim=-1).mean(dim=-1)
    return (gaps / (points[:, 27] - points[:, 8]).norm(dim=-1)).numpy()


def running(signal: np.ndarray, reach: int, how: Callable[..., np.ndarray]) -> np.ndarray:
    """Returns a statistic over a window around every frame."""
    padded = np.pad(signal, reach, mode="edge")
    return how(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)


def lag(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the shift at the peak of the correlation of two signals, frames, from a parabola through three shifts."""
    low, mid, high = (np.corrcoef(after[5 + d : len(after) - 5 + d], before[5:-5])[0, 1] for d in (-1, 0, 1))
    return float(0.5 * (low - high) / (low - 2 * mid + high))


def measure(motion: Motion, smooth: Tensor, into: dict[str, list[float]]) -> None:
    """Adds the figures of one track."""
    speed = (savitzky_golay(motion.points, 3, 2).diff(dim=0).norm(dim=-1).mean(dim=-1) / 100).numpy()
    speed = np.append(speed, speed[-1])
    change = (smooth[2:] - 2 * smooth[1:-1] + smooth[:-2]).norm(dim=-1).mean(dim=-1).numpy() / 6**0.5
    still = speed[1:-1] < STILL
    if still.sum() > 5:
        into["jitter"].append(float(np.sqrt(np.mean(change[still] ** 2))))
    apart = (smooth - motion.quiet).square().sum(dim=-1).mean(dim=-1).numpy()
    into["moving"] += apart[speed > MOVING].tolist()
    into["still"] += apart[speed <= MOVING].tolist()

    for name, sign, opening, usual in (("blink", -1, eye_opening, 20), ("mouth", 1, mouth_opening, 10)):
        before, after = opening(motion.points), opening(smooth)
        level = running(before, usual, np.median)
        peak = running(sign * before, 2, np.max) == sign * before
        event = peak & ((before < BLINK * level) if name == "blink" else (before > OPENING + level))
        event[:2] = event[-2:] = False
        reached = running(sign * after, 1, np.max)
        share = (reached - sign * level) / np.where(event, sign * (before - level), 1)
        into[name] += share[event].tolist()
        if name == "blink":
            beyond = np.maximum(after - running(before, 4, np.max), running(before, 4, np.min) - after).max()
            into["overshoot"].append(max(0.0, float(beyond / np.median(before))))
        elif before.std() > 0.01:
            into["lag"].append(abs(lag(before, after)))


def summary(rows: dict[str, list[float]]) -> dict[str, float]:
    """Returns one row of the table."""
    return {
        "jitter": float(np.median(rows["jitter"])),
        **{f"{k} median": float(np.median(rows[k])) for k in ("blink", "mouth")},
        **{f"{k} p10": float(np.percentile(rows[k], 10)) for k in ("blink", "mouth")},
        "overshoot p90": float(np.percentile(rows["overshoot"], 90)),
        "lag": float(np.mean(rows["lag"])),
        **{k: float(np.sqrt(np.mean(rows[k]))) for k in ("moving", "still")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100, help="number of frames of every clip")
    options = parse_with_clips(parser)
    folder = options.clips / "real"
    cv2.setNumThreads(1)
    models = {views: DlibLandmarks(views=views) for views in (2, 8)}
    motions = [motion for path in sorted(folder.iterdir()) for motion in motions_of(path, models, options.frames)]

    table = {}
    for name, smooth in CANDIDATES.items():
        rows: dict[str, list[float]] = defaultdict(list)
        for motion in motions:
            measure(motion, smooth(motion.points), rows)
        table[name] = summary(rows)
        print(f"{name:28}", "  ".join(f"{key} {value:.3f}" for key, value in table[name].items()))
    figures = {
        "tracks": len(motions),
        "frames": sum(len(motion.points) for motion in motions),
        "blinks": len(rows["blink"]),
        "openings of the mouth": len(rows["mouth"]),
        "landmarks": sum(motion.jumps.numel() for motion in motions),
        "landmarks outside the picture": sum(int(motion.outside.sum()) for motion in motions),
        "landmarks that jump": sum(int(motion.jumps.sum()) for motion in motions),
        "candidates": table,
    }
    print(write_result("smoothing", figures))


if __name__ == "__main__":
    main()
