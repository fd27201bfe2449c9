"""Measures recipes, detection, extraction and prediction on a GPU. ``gpu.sh`` calls it with the other parts.

    python benchmarks/bench_gpu.py --out results               # all sections, on CUDA: gpu.json and gpu.png
    python benchmarks/bench_gpu.py --device cpu --quick        # try of the script; figures are not valid

The videos are those of the demo data set, so no other data is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _common import Timing, compare, measure, write_result
from extraction.report import Figure, Section, show
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import build_experiment

from mgst_data.augment import RECIPES
from mgst_data.core import Segment, generator_for
from mgst_data.demo import render_demo
from mgst_data.extract import extract_video
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.video import PyAVReader
from mgst_model.networks import build_network
from mgst_model.networks.checkpoint import save_network
from mgst_model.predict import load_detector

DRAWS = 4
SIZES = {False: (32, 16, 256), True: (2, 8, 64)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu is for trying the script")
    parser.add_argument("--quick", action="store_true", help="little data; figures are not valid")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir(), "bench_gpu"), help="folder for results")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device")
    sections: dict[str, Section] = {}
    with tempfile.TemporaryDirectory() as scratch:
        frames, size = (32, (384, 288)) if options.quick else (64, (640, 480))
        video = next(path for path in render_demo(Path(scratch), people=6, frames=frames, size=size) if is_real(path))
        parts: dict[str, Callable[[], Section]] = {
            "recipes": partial(recipes, options.device, quick=options.quick),
            "detection": partial(detection, video, options.device, quick=options.quick),
            "extraction": partial(extraction, video, options.device, frames),
            "prediction": partial(prediction, video, options.device, frames, quick=options.quick),
        }
        for name, run in parts.items():
            print(f"-- {name}", flush=True)
            sections[name] = run()
            done = {key: section.as_dict() for key, section in sections.items()}
            print(write_result("gpu", {"quick": options.quick, "device": options.device, **done}, folder=options.out))
    print(draw(sections, options.out / "gpu.png"))
    show("GPU", sections)


def is_real(path: Path) -> bool:
    """Returns whether a video of the demo data set is real."""
    return "original_sequences" in path.parts


def recipes(device: str, *, quick: bool) -> Section:
    """Measures all recipes in eager mode, with parameters that were drawn in advance."""
    b, t, side = SIZES[quick]
    generator = generator_for(0, "recipes")
    points = torch.rand(b, t, 68, 2, generator=generator) * side
    segment = Segment.of(torch.rand(b, t, 3, side, side, generator=generator), points)
    there = segment.to(device)
    works: list[Callable[[], object]] = []
    for name in RECIPES:
        step = RECIPES.get(name)()
        drawn = [step.sample(segment, generator_for(i, name)) for i in range(DRAWS)]
        works.append(partial(apply_all, step.apply_any, there, drawn))
    timings = compare(works, 2 if quick else 9, warmup=1 if quick else 3)
    frames = DRAWS * b * t
    found = [Figure(f"recipe `{n}`", one.rate(frames), "frames/s") for n, one in zip(RECIPES, timings, strict=True)]
    return Section(tuple(found), {"setting": {"segments": b, "frames": t, "size": side}})


def apply_all(apply: Callable[[Segment, Any], object], segment: Segment, drawn: list[Any]) -> None:
    """Applies a step with all drawn parameters and drops the results."""
    for params in drawn:
        apply(segment, params)


def detection(video: Path, device: str, *, quick: bool) -> Section:
    """Measures MTCNN on the device and on the CPU, on the same frames."""
    frames = next(iter(PyAVReader().chunks(str(video), 4 if quick else 32))).frames
    works = [partial(MTCNNDetector(min_face=40.0, device=one), frames) for one in (device, "cpu")]
    there, here = (measure(work, 1 if quick else 5, warmup=1) for work in works)
    return Section(
        (
            Figure("detection on every frame", there.rate(len(frames)), "frames/s"),
            Figure("detection: device / CPU", here.median / there.median, "x"),
        ),
        {"frames": list(frames.shape), "device": there, "cpu": here},
    )


def extraction(video: Path, device: str, frames: int) -> Section:
    """Measures the extraction of one video, relative to its length at 25 frames per second."""
    there, here = (measure(partial(extract_video, video, device=one), 1) for one in (device, "cpu"))
    return Section(
        (
            Figure("extraction of one video", frames / 25 / there.median, "x real time"),
            Figure("extraction: device / CPU", here.median / there.median, "x"),
        ),
        {"device": there, "cpu": here},
    )


def prediction(video: Path, device: str, frames: int, *, quick: bool) -> Section:
    """Measures the prediction of one video with loaded models, relative to its length."""
    preset = "small" if quick else "base"
    config = build_experiment(preset_file(preset), {}, ["network.pretrained=random"])
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config.network)
        shape = {"frames": config.data.scored_frames, "size": config.data.size}
        weights = save_network(Path(scratch, "network"), network, config.network, **shape)
        detector = load_detector(weights, device=device)
        timing: Timing = measure(lambda: detector.predict(video), 1 if quick else 3)
    name = f"prediction of one video, `{preset}`, {'bf16' if detector.half else 'fp32'}"
    return Section((Figure(name, frames / 25 / timing.median, "x real time"),), {"device": timing})


def draw(sections: dict[str, Section], path: Path) -> Path:
    """Draws the figures as bars, one panel for each unit."""
    from matplotlib import pyplot

    figures = [figure for section in sections.values() for figure in section.figures]
    units = list(dict.fromkeys(figure.unit for figure in figures))
    picture, panels = pyplot.subplots(len(units), 1, figsize=(8, 1.5 + 0.45 * len(figures)), squeeze=False)
    for unit, panel in zip(units, panels[:, 0], strict=True):
        mine = [figure for figure in figures if figure.unit == unit]
        bars = panel.barh([figure.name for figure in mine], [figure.value for figure in mine])
        panel.bar_label(bars, fmt="{:,.3g}", padding=3)
        panel.set_xlabel(unit)
        panel.invert_yaxis()
        panel.margins(x=0.15)
    picture.tight_layout()
    picture.savefig(path, dpi=120)
    pyplot.close(picture)
    return path


if __name__ == "__main__":
    main()
