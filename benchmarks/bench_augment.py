"""Measures speed, memory and scaling of self-blending and photometric steps, against albumentations, OpenCV and kornia.

    python benchmarks/bench_augment.py                # all sections: results/augment.json and plots
    python benchmarks/bench_augment.py --only speed   # one section; writes the JSON to a temporary folder
    python benchmarks/bench_augment.py --quick        # smoke test with little data

Needs the extra "bench", and "train" for the sections on a GPU. The faces are from a folder of clips (--clips, or the
environment variable MGST_CLIPS), or from rendered videos if there is no such folder. README.md explains the sections.
"""

from __future__ import annotations

import argparse
import os

# Must be set before torch and OpenCV are imported. Every process uses one thread, so that it uses one core.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, write_result
from augmentation import accelerator, memory, scaling, speed
from augmentation.faces import find_faces
from extraction.clips import parse_with_clips
from extraction.report import Section, one_thread, show

SECTIONS: dict[str, Callable[..., Section]] = {"speed": speed.run, "memory": memory.run, "scaling": scaling.run}
# The compiled section is last: if the compiler fails, the other results are already written.
ON_CUDA: dict[str, Callable[..., Section]] = {
    "cuda_eager": accelerator.eager,
    "cuda_scaling": partial(scaling.sweep, device="cuda"),
    "cuda_compiled": accelerator.compiled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=[*SECTIONS, *ON_CUDA], action="append", help="run one section; can be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="smoke test with little data; figures are not valid")
    parser.add_argument(
        "--gpu-on-cpu", action="store_true", help="try the sections of a GPU on the CPU; only with --quick"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for JSON and plots; default: results/, or a temporary folder with --only or --quick",
    )
    options = parse_with_clips(parser, required=False)
    if options.gpu_on_cpu and not options.quick:
        parser.error("--gpu-on-cpu needs --quick: its figures are not valid")
    sections = SECTIONS | (ON_CUDA if torch.cuda.is_available() else {})
    if options.gpu_on_cpu:
        sections |= {name: partial(run, device="cpu") for name, run in ON_CUDA.items()}
    missing = [name for name in options.only or () if name not in sections]
    if missing:
        parser.error(f"{missing[0]}: no CUDA device")
    part = options.quick or options.only
    out = options.out or (Path(tempfile.gettempdir(), "bench_augment") if part else RESULTS)
    one_thread()
    faces = find_faces(options.clips, quick=options.quick)
    done: dict[str, Section] = {}
    figures: dict[str, Any] = {"quick": options.quick, "faces": faces.origin, "targets": []}
    for name in options.only or sections:
        print(f"-- {name}", flush=True)
        began = time.perf_counter()
        done[name] = sections[name](faces, quick=options.quick)
        found = done[name].as_dict()
        figures["targets"] += [{"section": name, **target} for target in found.pop("targets")]
        figures[name] = {"seconds": round(time.perf_counter() - began, 1), **found}
        print(write_result("augment", figures, folder=out), flush=True)
        if name.endswith("scaling"):
            device = name.removesuffix("scaling").removesuffix("_") or "cpu"
            path = out / f"augment_scaling_{device}.png"
            print(scaling.draw(found["rows"], scaling.title(device), path), flush=True)
    show("Augmentation", done)


if __name__ == "__main__":
    main()
