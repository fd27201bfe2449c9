"""Fits the probability of a face to the heat map of CenterFace.

    python benchmarks/fit_centerface.py            # prints SLOPE and BIAS, writes results/centerface_score.json
    python benchmarks/fit_centerface.py --every 3  # faster, with a third of the clips

The detector sees frames of the real clips as the tracker gives them: reduced until a face of 40 pixels has 20. A
detection counts as a face if MTCNN finds it at full resolution with a score above 0.9, or if O-Net confirms it with
0.9. There are no annotations, so a face that only CenterFace finds counts as an error. The fit is a logistic regression
of these labels on the logit of the heat map (Platt scaling). It is cross-validated by clip.
"""

from __future__ import annotations

import argparse
import itertools
import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from pathlib import Path

import torch
from _common import write_result
from extraction.clips import parse_with_clips
from torch import Tensor
from torch.nn import functional

from mgst_data.core.geometry import box_size, iou, paired_iou
from mgst_data.faces import BoxRefiner, MTCNNDetector
from mgst_data.faces.centerface import CenterFaceDetector, heat_of, probability
from mgst_data.faces.track import reduce_frames
from mgst_data.video.pyav import PyAVReader

FOLDS, FRAMES, STEP = 5, 4, 32
MIN_FACE, SCALE, MIN_SCORE = 40, 0.5, 0.9
# Smallest value of the heat map, and the edges of the table.
LOWEST = 0.1
EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)


def detections(
    path: Path, models: tuple[CenterFaceDetector, MTCNNDetector, BoxRefiner]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the heat of the detections in some frames, and whether they are faces."""
    detector, reference, refiner = models
    for number, batch in enumerate(PyAVReader().chunks(str(path), STEP)):
        if number == FRAMES:
            return
        frame = batch.frames[:1]
        found = detector(reduce_frames(frame, [0], SCALE))
        boxes = found.boxes / SCALE
        large = box_size(boxes).prod(dim=1).sqrt() >= MIN_FACE
        boxes, heat = boxes[large], heat_of(found.scores[large])
        faces = reference(frame)
        faces = faces[faces.scores > MIN_SCORE]
        refined = refiner(frame, torch.zeros(len(boxes), dtype=torch.long), boxes)
        confirmed = (refined.scores >= MIN_SCORE) & (paired_iou(refined.boxes, boxes) > 0.3)
        yield heat, confirmed | (iou(boxes, faces.boxes) > 0.4).any(dim=1)


def fit(heat: Tensor, face: Tensor) -> tuple[float, float]:
    """Returns slope and bias of the logistic regression."""
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(weights[0] * heat.logit() + weights[1], face.double())
        value.backward()
        return value

    optimizer.step(loss)
    slope, bias = weights.tolist()
    return slope, bias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use one clip in N")
    options = parse_with_clips(parser)
    torch.set_num_threads(1)
    threshold = float(probability(torch.tensor(LOWEST)))
    models = (
        CenterFaceDetector(min_face=MIN_FACE * SCALE, threshold=threshold),
        MTCNNDetector(min_face=MIN_FACE),
        BoxRefiner(),
    )
    paths = sorted(path for kind in ("real", "fake") for path in (options.clips / kind).iterdir())[:: options.every]
    by_clip = [list(detections(path, models)) for path in paths]
    clips = [(torch.cat([h for h, _ in some]).double(), torch.cat([f for _, f in some])) for some in by_clip]
    heat, face = (torch.cat(column) for column in zip(*clips, strict=True))
    slope, bias = fit(heat, face)
    left_out = []
    for fold in range(FOLDS):
        others = [clip for i, clip in enumerate(clips) if i % FOLDS != fold]
        a, b = fit(*(torch.cat(column) for column in zip(*others, strict=True)))
        left_out += [(torch.sigmoid(a * h.logit() + b), f) for i, (h, f) in enumerate(clips) if i % FOLDS == fold]
    guess, truth = (torch.cat(column) for column in zip(*left_out, strict=True))
    table = []
    for low, high in itertools.pairwise(EDGES):
        here = (heat >= low) & (heat < high)
        table.append({"heat": [low, high], "detections": int(here.sum()), "faces": int((here & face).sum())})
        print(table[-1])
    print(f"SLOPE, BIAS = {slope:.3f}, {bias:.3f}; {len(heat)} detections, {int(face.sum())} faces")
    result = {"slope": slope, "bias": bias, "detections": len(heat), "faces": int(face.sum()), "clips": len(paths)}
    result |= {"brier_left_out": float((guess - truth.double()).square().mean()), "table": table}
    print(write_result("centerface_score", result))


if __name__ == "__main__":
    main()
