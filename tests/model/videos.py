"""Predictions for tests: videos with scores, as from a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mgst_data.core import generator_for
from mgst_model.evaluate.predictions import Predictions, VideoScore


def video(key: str, label: int, score: float | None, **changes: Any) -> VideoScore:
    """Returns a video with one segment and two frames, all with its score."""
    parts = () if score is None else (score,)
    fields = {
        "dataset": "ffpp",
        "method": "Deepfakes" if label else "real",
        "split": "test",
        "compression": "c23",
        "segments": parts,
        "frames": parts * 2,
        "frame_indices": (0, 7) if parts else (),
    }
    return VideoScore(key=key, label=label, score=score, **{**fields, **changes})


def draw(real: int, fake: int, *, apart: float = 1.5, seed: int = 0) -> tuple[list[float], list[int]]:
    """Returns scores of a detector with an AUC above 0.5, and their labels."""
    labels = [0] * real + [1] * fake
    logits = torch.randn(real + fake, generator=generator_for(seed, "scores"), dtype=torch.float64)
    return (logits + apart * (torch.tensor(labels) - 0.5)).sigmoid().tolist(), labels


def predictions(
    methods: Sequence[str] = ("Deepfakes", "Face2Face"),
    *,
    count: int = 20,
    model: str = "net",
    seed: int = 0,
    **changes: Any,
) -> Predictions:
    """Returns ``count`` real videos and the same number of fakes of every method, each with a target identity."""
    videos = []
    for number, method in enumerate(("real", *methods)):
        label = int(number > 0)
        scores, _ = draw(count, 0, seed=seed * 100 + number)
        for i, score in enumerate(scores):
            fields = {"method": method, "target_key": f"ffpp/{i:03}", **changes}
            videos.append(video(f"{method}_{i:03}", label, min(1.0, score + 0.2 * label), **fields))
    return Predictions(model, tuple(videos), {"frames": 16})
