"""Evaluates an image classifier of timm in mgst-eval.

Run ``mgst-eval SHARDS --detector examples/detector_of_timm.py:make``.
``MODEL`` is any model of timm, ``WEIGHTS`` a safetensors file of one that ``examples/image_classifier.py`` or your own
script has trained, with a single logit. Both are environment variables.
"""

import os

import timm
import torch
from safetensors.torch import load_file
from torch import nn


class Classifier(nn.Module):
    """Takes pictures (b, 3, 224, 224), and returns a logit of each, above 0 for fake."""

    takes, returns, size = "picture", "logit", 224
    frames = 4  # pictures that are averaged for the score of a segment
    face_margin = 0.3
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = timm.create_model(model, num_classes=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Computes the logits; mgst-eval has normalised the pictures and handles device and evaluation mode."""
        return self.model(frames)


def make() -> Classifier:
    """Makes the detector; without WEIGHTS its weights are random, which is of no use but for a trial."""
    detector = Classifier(os.environ.get("MODEL", "resnet10t"))
    if "WEIGHTS" in os.environ:
        detector.model.load_state_dict(load_file(os.environ["WEIGHTS"]))
    return detector
