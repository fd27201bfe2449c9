"""Draws ``docs/presets.png``: every preset of SelfBlend on people of the demo data set.

python docs/make_gallery.py
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from mgst_data.augment import BlendMask, Donor, SelfBlend
from mgst_data.core import Segment, generator_for
from mgst_data.demo import render_demo
from mgst_data.preview.blend import BlendDraw, describe, gallery
from mgst_data.preview.clips import clip_from_video

OUT = Path(__file__).with_name("presets.png")
# Colours in steps that nobody sees take two thirds of the bytes.
STEP, WHITE = 3, 255
# Of each preset: the person it is shown on, a seed whose draw is typical of it, and what it is.
SHOWN = {
    "sbi": (3, 45, "whole faces, nothing varies over time"),
    "consistent": (1, 29, "all regions, one draw for all frames"),
    "frame_random": (0, 133, "some frames stay real, the rest drifts"),
    "strong_drift": (5, 26, "parts of the face jump"),
}
# The same of the face of another.
DONATED = (6, 3, "donor: another face of the batch, in any preset")


def main() -> None:
    """Renders, extracts, blends and writes."""
    draws = {}
    with TemporaryDirectory() as folder:
        videos = {path.stem: path for path in render_demo(Path(folder), people=8, frames=24)}
        segments = [clip_from_video(str(videos[name]), frames=24, size=256).segment for name in sorted(videos)[:8]]
        for preset, (person, seed, words) in SHOWN.items():
            segment = segments[person]
            blend = SelfBlend.preset(preset)
            params = blend.sample(segment, generator_for(seed, "gallery", preset))
            pair = blend.apply(segment, params)
            draws[f"{preset}: {words}"] = BlendDraw(pair, params, describe(blend, params, pair))
        person, seed, words = DONATED
        draws[words] = _donated(segments, person, seed)
    picture = gallery(draws)
    rounded = np.where(picture == WHITE, WHITE, picture // STEP * STEP + STEP // 2).astype(np.uint8)
    Image.fromarray(rounded).save(OUT, optimize=True)
    sys.stdout.write(f"{OUT}: {OUT.stat().st_size / 1000:.0f} kB\n")


def _donated(segments: list[Segment], person: int, seed: int) -> BlendDraw:
    """A blend of one segment in a batch of all."""
    fields = {name: torch.cat([getattr(one, name) for one in segments]) for name in ("frames", "landmarks")}
    mask = BlendMask(regions={"hull": 1.0}, ratios=(1.0,))
    blend = replace(SelfBlend.preset("consistent"), donor=Donor(p=1.0), mask=mask)
    params = blend.sample(Segment.of(**fields), generator_for(seed, "gallery", "donor"))
    pair = blend.apply(Segment.of(**fields), params)
    own = slice(person, person + 1)
    return BlendDraw(pair[own], params[own], describe(blend, params[own], pair[own]))


if __name__ == "__main__":
    main()
