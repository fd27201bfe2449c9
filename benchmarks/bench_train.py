"""Training and prediction: segments a second, where the time goes, use of the card; video seconds a second.

    python benchmarks/bench_train.py                   # what this machine can: results/train.json
    python benchmarks/bench_train.py --only predict
    python benchmarks/bench_train.py --quick           # a smoke run

`small` is trained on the CPU, `base` on a GPU where there is one, both from shards of the rendered demo data set; the
weights that they begin with do not matter here. Prediction is of a real clip at 720p (--clips).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, write_result
from extraction.clips import Clips, parse_with_clips
from training.predict import measure_prediction
from training.steps import measure_steps

from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract

SECTIONS = ("small", "base", "predict")
# Of 9 and of 20 seconds, both 1280 x 720: starting takes 4 seconds of each.
CLIPS = ("lp_s18.mp4", "fsgan_shinzo_abe.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; can be given again")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean little")
    parser.add_argument("--out", type=Path, help="folder of the JSON; results/, or a temporary one with --quick")
    options = parse_with_clips(parser, required=False)
    out = options.out or (Path(tempfile.gettempdir(), "bench_train") if options.quick else RESULTS)
    sections: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only or SECTIONS:
            found = run(name, Path(scratch), options)
            print(f"{name}: {found or 'not here'}", flush=True)
            if found:
                sections[name] = found
    print(write_result("train", {"quick": options.quick, **sections, "targets": targets(sections)}, folder=out))


def run(name: str, scratch: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """One section; None where this machine has not what it needs."""
    steps = {"steps": 3, "warmup": 1} if options.quick else {"steps": 30, "warmup": 5}
    if name == "small":
        few = ["data.val_draws_per_video=1", "network.pretrained=random"]
        return measure_steps(demo_shards(scratch), "small", few, device="cpu", **steps)
    if name == "base":
        if not torch.cuda.is_available():
            return None
        more = ["network.pretrained=random", "data.draws_per_video=64", "data.val_draws_per_video=1"]
        return measure_steps(demo_shards(scratch), "base", more, device="cuda", **steps)
    if options.clips is None:
        return None
    clips = Clips(options.clips, scratch)
    found = {}
    for name in CLIPS:
        clip = clips.trimmed(clips.real(name), 60) if options.quick else clips.real(name)
        found[name] = {
            "annotated": measure_prediction(clip, "small", annotated=True),
            "scores_only": measure_prediction(clip, "small", annotated=False),
        }
    return found


def demo_shards(scratch: Path) -> str:
    """Shards of the demo data set; made once."""
    shards = scratch / "shards"
    if not shards.exists():
        render_demo(scratch / "videos")
        extract(scan_dataset(scratch / "videos"), ExtractConfig(), shards)
    return str(shards)


def targets(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """What was to be reached, and whether it was."""
    rows: list[dict[str, Any]] = []

    def add(section: str, name: str, value: float, unit: str, target: str, reached: bool) -> None:
        rows.append(
            {"section": section, "name": name, "value": value, "unit": unit, "target": target, "reached": reached}
        )

    for name in ("small", "base"):
        if name in sections:
            share = sections[name]["data_and_augmentation"] * 100
            add(name, f"`{name}`: data and augmentation", round(share, 1), "% of a step", "≤ 15", share <= 15)
    if "base" in sections:
        use = sections["base"]["share_of_plain_product"] * 100
        add("base", "`base`: matrix products against a plain one", round(use, 1), "%", "≥ 40", use >= 40)
    if "predict" in sections:
        for found in sections["predict"].values():
            for name, what in (("annotated", "all outputs"), ("scores_only", "scores only")):
                speed, seconds = found[name]["real_time"], found[name]["video_seconds"]
                about = f"`mgst-predict` of {seconds:.0f} s at 720p, 2 cores, with start-up: {what}"
                add("predict", about, speed, "x real time", "≥ 1", speed >= 1)
    return rows


if __name__ == "__main__":
    main()
