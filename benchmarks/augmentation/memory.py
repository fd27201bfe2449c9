"""Measures the peak memory of self-blending, relative to the bytes of its input frames.

python -m augmentation.memory PRESET DONORS SEGMENTS FRAMES SIZE    # prints the peak of this process as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from extraction.report import Figure, Section, one_thread, resident_bytes

from mgst_data.augment import Donor, SelfBlend
from mgst_data.core import Segment, generator_for

# Preset and probability of a donor by label.
BLENDS = {"`sbi`": ("sbi", 0.0), "`frame_random`": ("frame_random", 0.0), "`sbi`, all with donors": ("sbi", 1.0)}
TARGET = 6


def run(faces: object, *, quick: bool) -> Section:  # noqa: ARG001 (all sections have it; this one uses noise)
    """Measures each kind of blend in a new process."""
    shape = (2, 4, 128) if quick else (8, 16, 256)
    rows = {name: in_fresh_process(*blend, *shape) for name, blend in BLENDS.items()}
    print({name: f"{row['times_the_frames']:.2f} x" for name, row in rows.items()}, flush=True)
    figures = [
        Figure(f"peak memory of {name} / bytes of its frames", row["times_the_frames"], "x", at_most=TARGET)
        for name, row in rows.items()
    ]
    return Section(tuple(figures), {"shape": shape, "peaks": rows})


def in_fresh_process(*setting: object) -> dict[str, Any]:
    """Measures the peak memory in a new process, so that earlier work does not change it."""
    command = [sys.executable, "-m", "augmentation.memory", *map(str, setting)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peak(preset: str, donors: float, b: int, t: int, size: int) -> dict[str, float]:
    """Returns the peak resident memory above that of the libraries: the batch, the pairs, and intermediate results."""
    blend, generator = replace(SelfBlend.preset(preset), donor=Donor(p=donors)), generator_for(0, "memory")
    # The first call initialises caches, which must not count.
    blend(random_segment(2, 1, size), generator=generator)
    before = resident_bytes("VmRSS")
    segment = random_segment(b, t, size)
    frames = segment.frames.numel() * segment.frames.element_size()
    for _ in range(3):
        blend(segment, generator=generator)
    taken = resident_bytes("VmHWM") - before
    return {"frames_mb": frames / 1e6, "peak_mb": taken / 1e6, "times_the_frames": taken / frames}


def random_segment(b: int, t: int, size: int) -> Segment:
    """Returns a segment of noise, with landmarks over half of the frame."""
    generator = generator_for(0, "segment")
    landmarks = torch.rand(b, t, 68, 2, generator=generator) * (size / 2) + size / 4
    return Segment.of(torch.rand(b, t, 3, size, size, generator=generator), landmarks)


if __name__ == "__main__":
    one_thread()
    print(json.dumps(peak(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))))
