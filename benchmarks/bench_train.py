"""Measures training (segments per second, time per phase, GPU utilisation) and prediction (speed against real time).

    python benchmarks/bench_train.py                   # all sections that this machine supports: results/train.json
    python benchmarks/bench_train.py --only predict    # one section
    python benchmarks/bench_train.py --quick           # smoke test with few steps

`small` is trained on the CPU, and `base` on a GPU if there is one, both from shards of the rendered demo data set.
Their initial weights are random; this does not change the speed. Prediction runs on real clips at 720p (--clips), with
the weights that come with the toolkit.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, write_result
from extraction.clips import Clips, parse_with_clips
from training.predict import measure_help, measure_prediction
from training.steps import measure_steps

from mgst_data.datasets import scan_dataset
from mgst_data.demo import render_demo
from mgst_data.extract import ExtractConfig, extract

SECTIONS = ("small", "base", "predict")
# Clips of 9 and 20 seconds, both 1280 x 720.
CLIPS = ("lp_s18.mp4", "fsgan_shinzo_abe.mp4")
RUNTIMES = {"torch": "", "onnx": ", ONNX Runtime"}
COMMANDS = {"mgst-data": "mgst_cli.data", "mgst-train": "mgst_cli.train", "mgst-predict": "mgst_cli.predict"}


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
    clips, repeats = Clips(options.clips, scratch), 1 if options.quick else 3
    predictions = []
    for name in CLIPS:
        clip = clips.trimmed(clips.real(name), 60) if options.quick else clips.real(name)
        for runtime in RUNTIMES:
            if runtime == "onnx":  # the network is exported once, which is not measured
                measure_prediction(clips.trimmed(clip, 30), runtime=runtime, annotated=False, repeats=1)
            for annotated in (True, False):
                one = measure_prediction(clip, runtime=runtime, annotated=annotated, repeats=repeats)
                print(one, flush=True)
                predictions.append(one)
    start = measure_prediction(
        clips.trimmed(clips.real(CLIPS[0]), 1), runtime="torch", annotated=False, repeats=repeats
    )
    help_seconds = {name: measure_help(module, 2 * repeats + 1) for name, module in COMMANDS.items()}
    return {"predictions": predictions, "start": start, "help_seconds": help_seconds}


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
        for found in sections["predict"]["predictions"]:
            what, least = ("all outputs", 1.5) if found["annotated"] else ("scores only", 3.0)
            about = f"`mgst-predict` of {found['video_seconds']:.0f} s at 720p, 2 cores, with start-up"
            about += f"{RUNTIMES[found['runtime']]}: {what}"
            add("predict", about, found["real_time"], "x real time", f"≥ {least:g}", found["real_time"] >= least)
        start = sections["predict"]["start"]["seconds"]
        add("predict", "`mgst-predict` of 16 frames at 720p, scores only", start, "s", "≤ 2", start <= 2)
        for name, seconds in sections["predict"]["help_seconds"].items():
            used = round(seconds, 3)
            add("predict", f"`{name} --help`: processor time", used, "s", "≤ 0.3", used <= 0.3)
    return rows


if __name__ == "__main__":
    main()
