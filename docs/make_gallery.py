"""Draws ``docs/gallery/``: every preset and augmentation on people of the demo data set; writes ``docs/gallery.md``.

python docs/make_gallery.py            # needs about a minute
python docs/make_gallery.py --check    # exit code 1 if an augmentation has no picture or no entry
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from mgst_data.augment import AUGMENTATIONS, PRESETS, RECIPES, BlendMask, Donor, SelfBlend, Step
from mgst_data.core import RealFakePair, Segment, generator_for
from mgst_data.demo import render_demo
from mgst_data.preview.blend import GAIN, BlendDraw, describe, gallery
from mgst_data.preview.clips import clip_from_video
from mgst_data.video.h264 import encode_h264

PAGE = Path(__file__).with_name("gallery.md")
PICTURES = Path(__file__).with_name("gallery")
QUALITY, FRAMES, SIDE, LEFT = 80, 8, 104, 74
# Of each preset: the person it is shown on, a seed whose draw is typical of it, and a title.
PRESET_DRAWS = {
    "sbi": (3, 45, "whole faces, constant over time"),
    "varied": (2, 8, "sides of different quality, parts, other faces"),
    "consistent": (1, 29, "all regions, one draw for all frames"),
    "frame_random": (0, 133, "some frames stay real, the rest drifts"),
    "strong_drift": (5, 26, "parts of the face jump"),
}
DONOR_DRAW = (6, 3, "donor: another face of the batch, in any preset")
# Options without a default, and options whose default effect is too weak to see.
OPTIONS: dict[str, dict[str, Any]] = {
    "h264": {"codec": encode_h264, "crf_range": (36, 40)},
    "drop_frames": {"count": 4},
    "stride": {"length": 4, "stride_range": (2, 2)},
    "gaussian_blur": {"sigma_range": (1.5, 2.0)},
    "gaussian_noise": {"sigma_range": (0.04, 0.05)},
    "rescale": {"factor_range": (2.5, 3.5)},
    "unsharp_mask": {"sigma_range": (1.5, 2.5), "amount_range": (0.9, 1.0)},
    "smooth_skin": {"sigma_range": (0.05, 0.06)},
    "jpeg": {"quality_range": (40, 50)},
    "block_codec": {"qp_range": (36, 40)},
    "freeze": {"length_range": (4, 5)},
    "tube_freeze": {"count_range": (16, 20), "share_range": (0.8, 1.0)},
    "time_mask": {"share_range": (0.3, 0.48)},
}
FAMILIES = {
    "photometric": "Colour",
    "quality": "Sharpness, resolution and noise",
    "compression": "Compression",
    "geometric": "Geometry",
    "temporal": "Frames",
    "patch": "Patches",
}


def main() -> None:
    """Renders, extracts, augments and writes; or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Only check that pictures and page are complete.")
    if parser.parse_args().check:
        names = missing()
        sys.exit(f"not in the gallery: {', '.join(names)}; run {Path(__file__).name}" if names else 0)
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        videos = {path.stem: path for path in render_demo(Path(folder), people=8, frames=24)}
        segments = [clip_from_video(str(videos[name]), frames=24, size=256).segment for name in sorted(videos)[:8]]
    save("presets", presets(segments, list(PRESETS), donor=True))
    save("overview", presets(segments, ["sbi", "frame_random"], donor=False))
    for name in AUGMENTATIONS:
        if name != "self_blend":
            step = AUGMENTATIONS.get(name)(**{**certain(name), **OPTIONS.get(name, {})})
            save(name, before_and_after(step, segments[hash_of(name) % len(segments)], name))
    for name in RECIPES:
        save(name, before_and_after(RECIPES.get(name)(), segments[hash_of(name) % len(segments)], name))
    PAGE.write_text(page())


def missing() -> list[str]:
    """Names of pictures that do not exist, or that the page does not show."""
    text = PAGE.read_text()
    shown = [name for name in pictures() if name == "overview" or f"gallery/{name}.webp" in text]
    return [name for name in pictures() if name not in shown or not picture(name).exists()]


def pictures() -> list[str]:
    """Names of the pictures that the gallery has to have."""
    return ["presets", "overview", *(name for name in AUGMENTATIONS if name != "self_blend"), *RECIPES]


def picture(name: str) -> Path:
    """File of a picture."""
    return PICTURES / f"{name}.webp"


def save(name: str, pixels: np.ndarray) -> None:
    """Writes a picture."""
    Image.fromarray(pixels).save(picture(name), quality=QUALITY, method=6)


def hash_of(name: str) -> int:
    """A number that depends on the name only."""
    return sum(name.encode())


def certain(name: str) -> dict[str, Any]:
    """Options that make the augmentation certain."""
    return {"p": 1.0} if "p" in inspect.signature(AUGMENTATIONS.get(name)).parameters else {}


def presets(segments: list[Segment], names: list[str], *, donor: bool) -> np.ndarray:
    """One block for each named preset, and one for donors."""
    draws = {}
    for preset in names:
        person, seed, title = PRESET_DRAWS[preset]
        blend = SelfBlend.preset(preset)
        params = blend.sample(segments[person], generator_for(seed, "gallery", preset))
        pair = blend.apply(segments[person], params)
        draws[f"{preset}: {title}"] = BlendDraw(pair, params, describe(blend, params, pair))
    if donor:
        person, seed, title = DONOR_DRAW
        draws[title] = donated(segments, person, seed)
    return gallery(draws)


def donated(segments: list[Segment], person: int, seed: int) -> BlendDraw:
    """A blend of one segment whose source is another segment of the batch."""
    fields = {name: torch.cat([getattr(one, name) for one in segments]) for name in ("frames", "landmarks")}
    mask = BlendMask(regions={"hull": 1.0}, ratios=(1.0,))
    blend = replace(SelfBlend.preset("consistent"), donor=Donor(p=1.0), mask=mask)
    params = blend.sample(Segment.of(**fields), generator_for(seed, "gallery", "donor"))
    pair = blend.apply(Segment.of(**fields), params)
    own = slice(person, person + 1)
    return BlendDraw(pair[own], params[own], describe(blend, params[own], pair[own]))


def before_and_after(step: Step[Any], segment: Segment, name: str) -> np.ndarray:
    """Rows of consecutive frames: before, after, and their difference where the number of frames is the same."""
    before = Segment.of(segment.frames[:, :FRAMES], segment.landmarks[:, :FRAMES])
    if name == "patch_paste":
        pair = SelfBlend.preset("consistent")(before, generator=generator_for(0, "gallery", name))
        before, after = pair.fake, changed(step, pair, name)
    else:
        after = changed(step, before, name)
    rows = {"before": before.frames[0], "after": after.frames[0]}
    if after.frames.shape == before.frames.shape:
        rows[f"x{GAIN}"] = (GAIN * (after.frames[0] - before.frames[0]).abs()).clamp(0, 1)
    canvas = Image.new("RGB", (LEFT + FRAMES * SIDE, len(rows) * SIDE), "white")
    pen = ImageDraw.Draw(canvas)
    for row, (title, frames) in enumerate(rows.items()):
        pen.text((4, row * SIDE + SIDE // 2 - 8), title, fill=(40, 40, 40), font_size=16)
        for column, frame in enumerate(frames):
            pixels = (frame.clamp(0, 1) * 255).round().byte().movedim(0, 2).numpy()
            small = Image.fromarray(pixels).resize((SIDE - 2, SIDE - 2), Image.Resampling.LANCZOS)
            canvas.paste(small, (LEFT + column * SIDE, row * SIDE))
    return np.asarray(canvas)


def changed(step: Step[Any], sample: Segment | RealFakePair, name: str) -> Segment:
    """The segment (of a pair: the pseudo-fake) after the first draw that changes it; some draws change nothing."""
    before = sample.fake if isinstance(sample, RealFakePair) else sample
    for seed in range(100):
        after = step(sample, generator=generator_for(seed, "gallery", name))
        after = after.fake if isinstance(after, RealFakePair) else after
        if after.frames.shape != before.frames.shape or (after.frames - before.frames).abs().mean() > 3e-4:
            return after
    raise RuntimeError(f"{name} changed nothing in 100 draws")


def page() -> str:
    """The text of the gallery page."""
    parts = [
        "# Gallery\n",
        "<!-- Written by docs/make_gallery.py. -->\n",
        "Every preset and every augmentation on rendered people of the demo data set (`mgst-data demo`). "
        f"The last row of each picture is the difference, {GAIN} times as strong. "
        "Weak augmentations are shown with stronger options than their defaults.\n",
        "## Presets of `SelfBlend`\n",
        "For each preset: the real segment, the pseudo-fake, the mask and the difference.\n",
        "![Five presets and donors](gallery/presets.webp)\n",
    ]
    for module, title in FAMILIES.items():
        parts.append(f"## {title}\n")
        for name in AUGMENTATIONS:
            kind = AUGMENTATIONS.get(name)
            if kind.__module__.endswith(f".{module}"):
                parts += entry(name, kind, kind.__name__)
    parts += ["## Recipes\n", "One draw of each.\n"]
    for name in RECIPES:
        parts += entry(name, RECIPES.get(name), name)
    return "\n".join(parts)


def entry(name: str, item: Callable[..., Any], title: str) -> list[str]:
    """Heading, first sentence of the docstring, and picture of one augmentation."""
    role = "class" if inspect.isclass(item) else "func"
    words = " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split()).replace("``", "`")
    path = f"mgst_data.augment.{item.__name__}"
    return [
        f"### `{title}`\n",
        f"{words} {{py:{role}}}`Options <{path}>`\n",
        f"![{item.__name__}: before, after and difference](gallery/{name}.webp)\n",
    ]


if __name__ == "__main__":
    main()
