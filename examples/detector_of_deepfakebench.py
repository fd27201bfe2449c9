"""Evaluates a network in the form of DeepfakeBench in mgst-eval.

Run ``mgst-eval SHARDS --detector examples/detector_of_deepfakebench.py:make``. Detectors of DeepfakeBench take a
dictionary with pictures under "image" and labels under "label", and return one with the probability of fake under
"prob". Replace ``StandIn`` by your network: in a checkout of DeepfakeBench, for example,
``DETECTOR["xception"](yaml.safe_load(open("training/config/detector/xception.yaml")))`` with its weights.
"""

import torch
from torch import nn


class Wrapped(nn.Module):
    """Gives a detector of DeepfakeBench the form that mgst-eval needs.

    Args:
        detector: Its ``forward(data, inference=True)`` returns a dictionary with "prob", (b,).
        size: Side of the pictures, ``resolution`` in its configuration.
        mean: ``mean`` in its configuration.
        std: ``std`` in its configuration.
        frames: None for a detector of pictures; for one of clips, ``clip_size`` in its configuration.
    """

    returns = "probability"
    face_margin = 0.3  # about the crops that DeepfakeBench makes

    def __init__(
        self,
        detector: nn.Module,
        size: int = 256,
        *,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
        frames: int | None = None,
    ) -> None:
        super().__init__()
        self.detector, self.size, self.mean, self.std = detector, size, mean, std
        self.takes, self.frames = ("picture", 1) if frames is None else ("clip", frames)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Returns the probability of fake; the labels, which it ignores in inference, are 0."""
        labels = torch.zeros(len(frames), dtype=torch.long, device=frames.device)
        return self.detector({"image": frames, "label": labels}, inference=True)["prob"]


class StandIn(nn.Module):
    """A tiny network with the calls of DeepfakeBench: features, classifier, and a dictionary of results."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(8, 2)

    def forward(self, data: dict[str, torch.Tensor], inference: bool = False) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Returns logits of real and fake under "cls", and the probability of fake under "prob"."""
        logits = self.classifier(self.backbone(data["image"]))
        return {"cls": logits, "prob": logits.softmax(dim=1)[:, 1]}


def make() -> Wrapped:
    """Makes the detector."""
    return Wrapped(StandIn(), size=128)
