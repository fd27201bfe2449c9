"""Measures training (segments per second, time per phase, GPU utilisation) and prediction (speed against real time).

    python benchmarks/bench_train.py                   # all sections that this machine supports: results/train.json
    python benchmarks/bench_train.py --only predict    # one section
    python benchmarks/bench_train.py --quick           # smoke test with few steps

`small` is trained on the CPU, and `base` on a GPU if there is one, both from shards of the rendered demo data set.
Their initial weights are random; this does not change the speed. Prediction runs on real clips at 720p (--clips).
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
# Clips of 9 and 20 seconds, both 1280 x 720. The start-up takes 4 seconds of each prediction.
CLIPS = ("lp_s18.mp4", "fsgan_shinzo_abe.mp4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="run one section; can be repeated")
    parser.add_argument("--quick", action="store_true", help="smoke test with little data; figures are not valid")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON; default: results/, or a temporary folder with --quick"
    )
    options = parse_with_clips(parser, required=False)
    out = options.out or (Path(tempfile.gettempdir(), "bench_train") if options.quick else RESULTS)
    sections: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only or SECTIONS:
            found = run(name, Path(scratch), options)
            print(f"{name}: {found or 'skipped (needs a CUDA device or --clips)'}", flush=True)
            if found:
                sections[name] = found
    print(write_result("train", {"quick": options.quick, **sections, "targets": targets(sections)}, folder=out))


def run(name: str, scratch: Path, options: argparse.Namespace) -> dict[str, Any] | None:
    """Runs one section; returns None if it needs a CUDA device or clips that do not exist."""
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
    """Makes shards of the demo data set once, and returns their folder."""
    shards = scratch / "shards"
    if not shards.exists():
        render_demo(scratch / "videos")
        extract(scan_dataset(scratch / "videos"), ExtractConfig(), shards)
    return str(shards)


def targets(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the figures with their targets, and whether the targets are reached."""
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
        add("base", "`base`: operations per second / in one large product", round(use, 1), "%", "≥ 40", use >= 40)
    if "predict" in sections:
        for found in sections["predict"].values():
            for name, what in (("annotated", "all outputs"), ("scores_only", "scores only")):
                speed, seconds = found[name]["real_time"], found[name]["video_seconds"]
                about = f"`mgst-predict` of {seconds:.0f} s at 720p, 2 cores, with start-up: {what}"
                add("predict", about, speed, "x real time", "≥ 1", speed >= 1)
    return rows


if __name__ == "__main__":
    main()
