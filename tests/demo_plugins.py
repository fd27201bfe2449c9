"""A third-party package with one plug-in of every kind. ``test_plugins.py`` installs it with its entry points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from mgst_data.augment import Augmentation, HorizontalFlip, Params, SegmentSequential
from mgst_data.core import Detections, FrameBatch, VideoRecord
from mgst_data.datasets import Scan
from mgst_data.testing import example_segment
from mgst_model.networks import StagedBackbone

# Number of uses of each plug-in.
USED: Counter[str] = Counter()
FRAMES, SIDE = 8, 96
# Face box that the detector returns for every frame.
BOX = (16.0, 16.0, 80.0, 80.0)


@dataclass(frozen=True, slots=True)
class DemoLayout:
    """A layout with a text file: one line per video, with its split and its name."""

    looks_for: ClassVar[str] = "demo.txt"

    def recognises(self, root: Path) -> bool:
        return (root / "demo.txt").is_file()

    def scan(self, root: Path) -> Scan:
        USED["layout"] += 1
        lines = [line.split() for line in (root / "demo.txt").read_text().splitlines()]
        return Scan.of(
            VideoRecord(name, str(root / f"{name}.demo"), f"{name}.demo", "demo_set", split, 0, "real")
            for split, name in lines
        )


class DemoReader:
    """Generates frames of one colour with some noise."""

    def __init__(self, *, threads: int = 1) -> None:
        pass

    def chunks(self, path: str, size: int) -> Iterator[FrameBatch]:
        USED["reader"] += 1
        noise = torch.Generator().manual_seed(len(Path(path).stem))
        frames = torch.randint(100, 160, (FRAMES, 3, SIDE, SIDE), dtype=torch.uint8, generator=noise)
        order = torch.arange(FRAMES)
        frames = frames.contiguous(memory_format=torch.channels_last)
        yield FrameBatch(frames, order, order / 25, 25.0)


class DemoDetector:
    """Returns the same face in every frame."""

    def __init__(self, *, min_face: float = 20.0, device: torch.device | str = "cpu") -> None:
        pass

    def __call__(self, frames: torch.Tensor) -> Detections:
        USED["detector"] += 1
        n, scale = len(frames), frames.shape[-1] / SIDE
        boxes = torch.tensor(BOX).expand(n, 4) * scale
        points = torch.tensor(((36.0, 40.0), (60.0, 40.0), (48.0, 52.0), (38.0, 64.0), (58.0, 64.0)))
        return Detections(torch.arange(n), boxes, torch.full((n,), 0.99), points.expand(n, 5, 2) * scale)


class DemoLandmarks:
    """Returns the same 68 landmarks in every face."""

    name = "demo 1.0, 68 points"

    def __init__(self, path: str | None = None) -> None:
        pass

    def __call__(self, frames: torch.Tensor, found: Detections) -> torch.Tensor:
        USED["landmarks"] += 1
        return example_segment(b=1, t=1, size=SIDE).landmarks[0].expand(len(found), 68, 2).clone()


class DemoExecutor:
    """Runs one task after another."""

    def __init__(self, *, workers: int | None = None) -> None:
        pass

    def map(self, work, tasks):
        USED["executor"] += 1
        for task in tasks:
            yield from work(task, {})


class DemoNegative(Augmentation[Params]):
    """Inverts the brightness."""

    def sample(self, segment, generator):
        return Params()

    def apply(self, segment, params):
        USED["augmentation"] += 1
        return segment.replace(frames=1 - segment.frames)


def demo_recipe() -> SegmentSequential:
    """A recipe with only a flip."""
    USED["recipe"] += 1
    return SegmentSequential(HorizontalFlip(p=1.0))


class DemoBackbone(StagedBackbone):
    """A backbone with one convolution per stage."""

    def __init__(self, *, pretrained: str, adapters: int) -> None:
        model = nn.ModuleList([nn.Conv2d(3, 8, 8, 8), nn.Conv2d(8, 8, 2, 2), nn.Conv2d(8, 8, 2, 2)])
        super().__init__(model, (8, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, frozen=adapters > 0)

    def stage(self, index, features, prefix):
        USED["backbone"] += 1
        return self.model[index](features), prefix


class DemoScorer:
    """Scores a picture by its brightness."""

    takes, returns, size = "picture", "probability", 32

    def __call__(self, frames):
        USED["scorer"] += 1
        return frames.mean(dim=(1, 2, 3))
