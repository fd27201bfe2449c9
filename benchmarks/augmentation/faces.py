"""Segments to augment: faces of real clips, or of the demo videos if there are no clips."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from extraction.clips import GROUPS, Clips, record
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from mgst_data.core import Segment
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, Extractor

SIZE, LONGEST = 256, 32
# Eight clips of different persons, with one face each.
CLIPS = (*GROUPS["512"], *GROUPS["256"])


@dataclass(frozen=True, slots=True)
class Faces:
    """Crops in the form that a loader returns, one segment per person.

    Attributes:
        origin: "clips" or "demo".
        pictures: RGB crops, 8 bits.
        landmarks: Landmarks in pixels of the crops.
    """

    origin: str
    pictures: UInt8[Tensor, "n t 3 h w"]
    landmarks: Float[Tensor, "n t 68 2"]

    def segments(self, b: int, t: int, size: int = SIZE) -> Faces:
        """Returns ``b`` segments of ``t`` frames; persons are repeated if there are too few."""
        rows = torch.arange(b) % len(self.pictures)
        pictures, landmarks = self.pictures[rows, :t], self.landmarks[rows, :t]
        if size != SIZE:
            flat = functional.interpolate(pictures.flatten(0, 1), size=(size, size), mode="bilinear", antialias=True)
            pictures, landmarks = flat.reshape(b, t, 3, size, size), (landmarks + 0.5) * (size / SIZE) - 0.5
        return Faces(self.origin, pictures.contiguous(), landmarks.contiguous())

    def segment(self) -> Segment:
        """Returns all faces as one segment batch of floats."""
        return Segment.of(self.pictures, self.landmarks)


def find_faces(folder: Path | None, *, quick: bool) -> Faces:
    """Extracts faces from the folder of clips, or from rendered videos without a folder."""
    if folder is None:
        with tempfile.TemporaryDirectory() as rendered:
            videos = render_demo(Path(rendered), people=6 if quick else 8, frames=LONGEST)
            return _extract("demo", [path for path in videos if "original_sequences" in path.parts], quick)
    with tempfile.TemporaryDirectory() as scratch:
        clips = Clips(folder, Path(scratch))
        # Some more frames than are used, because the tracker checks a track again at its ends.
        return _extract("clips", [clips.trimmed(clips.real(name), LONGEST + 16) for name in CLIPS], quick)


def _extract(origin: str, videos: list[Path], quick: bool) -> Faces:
    extractor = Extractor(ExtractConfig(size=SIZE, upsample=True, frames=LONGEST))
    pictures, landmarks = [], []
    for path in videos[: 2 if quick else None]:
        chunk = next(chunk for chunk in extractor(record(path)) if len(chunk) == LONGEST)
        pictures.append(torch.stack([torch.from_numpy(crop) for crop in chunk.frames()]).permute(0, 3, 1, 2))
        landmarks.append(chunk.landmarks)
    return Faces(origin, torch.stack(pictures).contiguous(), torch.stack(landmarks))
