"""Calls with invalid input, by name. The script prints the result of each call as JSON.

It runs in its own process, without the annotation checks of the tests, so that the checks of the library are tested.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from mgst_data.augment import HorizontalFlip, SegmentSequential, SelfBlend
from mgst_data.core import CentreWindow, Detections, EvenlySpaced, RandomWindow, Segment, generator_for
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.faces.landmarks import DlibLandmarks
from mgst_data.faces.refine import BoxRefiner
from mgst_model.evaluate.perturbations import perturb
from mgst_model.networks import NetworkConfig
from mgst_model.networks.image import ImageNetwork
from mgst_model.networks.parallel import ParallelNetwork
from mgst_model.train import AugmentConfig, DataConfig, LossConfig
from mgst_model.train.task import DetectionTask

g = generator_for(0)
levels = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8, generator=g)
frames, points = levels / 255, torch.rand(2, 3, 68, 2, generator=g) * 30
pictures, valid = levels[0], torch.ones(2, 3, dtype=torch.bool)
normalised = (frames - torch.tensor((0.485, 0.456, 0.406))[:, None, None]) / 0.225
one_face = torch.cat((points[:, :1], points[:, 1:] * torch.nan), dim=1)
segment = Segment.of(frames, points)
task = DetectionTask(DataConfig(frames=3), AugmentConfig(), LossConfig(), NetworkConfig())

# Checks come first in a call: of a detector or a network, no more than its class is needed.
SEGMENTS = {
    "NumPy": lambda: Segment.of(levels.numpy(), points),
    "a list": lambda: Segment.of(list(levels), points),
    "None": lambda: Segment.of(None),
    "int64": lambda: Segment.of(levels.long(), points),
    "bool": lambda: Segment.of(levels > 127, points),
    "complex": lambda: Segment.of(frames.to(torch.complex64), points),
    "floats to 255": lambda: Segment.of(levels.float(), points),
    "half floats to 255": lambda: Segment.of(levels.half(), points),
    "normalised": lambda: Segment.of(normalised, points),
    "-1 to 1": lambda: Segment.of(frames * 2 - 1, points),
    "one picture": lambda: Segment.of(pictures[0]),
    "one colour": lambda: Segment.of(levels[:, :, :1]),
    "colours last": lambda: Segment.of(levels.movedim(2, -1)[..., :30, :]),
    "no frame": lambda: Segment.of(levels[:, :0], points[:, :0]),
    "no pixel": lambda: Segment.of(levels[..., :0], points),
    "landmarks: NumPy": lambda: Segment.of(levels, points.numpy()),
    "landmarks: a list": lambda: Segment.of(pictures, points[0].tolist()),
    "landmarks: bool": lambda: Segment.of(levels, points > 3),
    "landmarks: shares": lambda: Segment.of(levels, points / 32),
    "landmarks: -1 to 1": lambda: Segment.of(levels, points / 16 - 1),
    "landmarks: shares of one face": lambda: Segment.of(levels, one_face / 32),
    "landmarks: 0": lambda: Segment.of(levels, points * 0),
    "landmarks: fewer frames": lambda: Segment.of(levels, points[:, :2]),
    "landmarks: no batch": lambda: Segment.of(levels, points[0]),
    "landmarks: x, then y": lambda: Segment.of(levels, points.mT),
    "valid: NumPy": lambda: Segment.of(levels, points, valid=valid.numpy()),
    "valid: float": lambda: Segment.of(levels, points, valid=valid.float()),
    "valid: no batch": lambda: Segment.of(levels, points, valid=valid[0]),
    "label: a list": lambda: Segment.of(levels, points, label=[0, 1]),
    "label: of frames": lambda: Segment.of(levels, points, label=torch.zeros(2, 3)),
    "directly: uint8": lambda: segment.replace(frames=levels),
    "directly: landmarks": lambda: segment.replace(landmarks=points.double()),
    "directly: valid": lambda: segment.replace(valid=valid.float()),
    "directly: label": lambda: segment.replace(label=torch.ones(2, dtype=torch.long)),
    "directly: mask": lambda: segment.replace(mask=segment.mask[:, :, 0]),
    "directly: patch_label": lambda: segment.replace(patch_label=torch.zeros(2, 3, 7, 5)),
    "directly: no tensor": lambda: segment.replace(patch_label=[0]),
    "directly: no frame": lambda: segment.replace(frames=frames[:, :0]),
    "directly: a row": lambda: segment[0],
}
OTHERS = {
    "blend: frames": lambda: SelfBlend()(frames, generator=g),
    "detector: NumPy": lambda: MTCNNDetector.__call__(None, pictures.numpy()),
    "detector: float": lambda: MTCNNDetector.__call__(None, frames[0]),
    "detector: a batch": lambda: MTCNNDetector.__call__(None, levels),
    "refiner: int32": lambda: BoxRefiner.__call__(None, pictures.int(), None, None),
    "landmark model: float": lambda: DlibLandmarks.__call__(None, frames[0], Detections.empty()),
    "perturb: float": lambda: perturb(frames[0], "contrast", 1, g),
    "perturb: NumPy": lambda: perturb(pictures.numpy(), "contrast", 1, g),
    "perturb: no frame": lambda: perturb(pictures[:0], "block_wise", 1, g),
    "network: uint8": lambda: ParallelNetwork.forward(None, levels),
    "network: NumPy": lambda: ParallelNetwork.forward(None, frames.numpy()),
    "network: no batch": lambda: ParallelNetwork.forward(None, frames[0]),
    "network: size": lambda: ParallelNetwork.forward(None, frames[..., :30]),
    "image network: uint8": lambda: ImageNetwork.forward(None, levels),
    "image network: floats to 255": lambda: ImageNetwork.forward(None, levels.float()),
    "generator of a blend": lambda: SelfBlend()(segment, generator=None),
    "generator of a draw": lambda: HorizontalFlip().sample(segment, None),
    "generator of a sequence": lambda: SegmentSequential(HorizontalFlip())(segment, generator=0),
    "generator of NumPy": lambda: SelfBlend()(segment, generator=np.random.default_rng(0)),
    "generator of a perturbation": lambda: perturb(pictures, "contrast", 1, None),
    "generator of a window": lambda: RandomWindow(2)(4, None),
    "generator of the middle": lambda: CentreWindow(2)(4, 3),
    "generator of even steps": lambda: EvenlySpaced(2)(4, None),
    "generator of examples": lambda: task.examples(segment, None),
    "generator of test examples": lambda: task.test_examples(segment, 7),
    "examples of an empty batch": lambda: len(task.examples(segment[:0], g)),
    "test examples of an empty batch": lambda: len(task.test_examples(segment[:0], g)),
    "seed: 1.5": lambda: generator_for(1.5, "a"),
    "seed: None": lambda: generator_for(None),
    "seed: text": lambda: generator_for("7"),
}
# Unusual, but valid.
TAKEN = {
    "overshoot": lambda: Segment.of(frames * 1.4 - 0.2, points),
    "float64": lambda: Segment.of(frames.double(), points.double()),
    "whole pixels": lambda: Segment.of(levels, points.long()),
    "no face": lambda: Segment.of(levels, points * torch.nan),
    "one face": lambda: Segment.of(levels, one_face),
    "no valid face": lambda: Segment.of(levels, points * 0, valid=~valid),
    "a single landmark": lambda: Segment.of(levels, points[:, :, :1] / 32),
    "an empty batch": lambda: Segment.of(levels[:0], points[:0]),
    "an empty batch of floats": lambda: Segment.of(frames[:0], points[:0] / 32),
    "strides": lambda: Segment.of(levels.movedim(2, -1).contiguous().movedim(-1, 2), points),
}


def main() -> None:
    answers = {}
    for name, call in {**SEGMENTS, **OTHERS, **TAKEN}.items():
        try:
            answers[name] = repr(call())
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            answers[name] = f"{type(error).__name__}: {error}"
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
