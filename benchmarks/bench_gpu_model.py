"""Computes what self-blending is expected to reach on a GPU, from counted kernels and bytes. It needs no GPU.

    python benchmarks/bench_gpu_model.py             # results/gpu_model.json
    python benchmarks/bench_gpu_model.py --quick     # smoke test: one set of parameters

The figures are bounds, not measurements: they assume that a GPU reaches its published bandwidth. README.md explains the
model.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, write_result
from augmentation import traffic
from extraction.report import Figure, Section, show

from mgst_data.augment import SelfBlend
from mgst_data.core import Segment, generator_for

SEGMENTS, FRAMES, SIDE, DRAWS = 32, 16, 256, 4
# Published bandwidth (bytes per second) and float32 operations per second: data sheets of NVIDIA for H100 SXM and H200.
CARDS = {"H100": (3.35e12, 67e12), "H200": (4.8e12, 67e12)}
# Seconds that the CPU needs to start a kernel from PyTorch in eager mode: our own assumption.
LAUNCH = 5e-6
# Pairs per second that bench_augment.py has as targets on a GPU.
TARGETS = {torch.float32: 25_000, torch.bfloat16: 50_000}
PRESETS = ("sbi", "frame_random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one set of parameters; figures are not valid")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON; default: results/, or a temporary folder with --quick"
    )
    options = parser.parse_args()
    out = options.out or (Path(tempfile.gettempdir(), "bench_gpu_model") if options.quick else RESULTS)
    rows: list[dict[str, Any]] = []
    for preset in PRESETS:
        for dtype in TARGETS:
            rows += rows_of(preset, dtype, draws=1 if options.quick else DRAWS)
            for row in rows[-2:]:
                print(f"{row['name']}: {row['megabytes']:.0f} MB, {row['kernels']:.0f} kernels", flush=True)
    section = Section(tuple(figure for row in rows for figure in figures(row)), {"rows": rows})
    setting = {"segments": SEGMENTS, "frames": FRAMES, "size": SIDE, "launch_s": LAUNCH}
    cards = {name: {"bytes_per_s": speed, "flops": flops} for name, (speed, flops) in CARDS.items()}
    found = {"quick": options.quick, "setting": setting, "cards": cards, **section.as_dict()}
    print(write_result("gpu_model", found, folder=out))
    show("Expected on a GPU", {"gpu_model": section})


def rows_of(preset: str, dtype: torch.dtype, *, draws: int) -> list[dict[str, Any]]:
    """Counts one preset in one data type: in eager mode, and as one graph with fused operators.

    Args:
        preset: Name of a preset of SelfBlend.
        dtype: Data type of the frames.
        draws: Sets of parameters that eager mode is counted with.
    """
    segment, blend = shapes(dtype), SelfBlend.preset(preset)
    drawn = [blend.sample(segment, generator_for(i, "draws")) for i in range(draws)]
    found = {"eager": traffic.eager(blend, segment, drawn), "compiled": traffic.compiled(blend, segment, drawn[0])}
    kind = str(dtype).removeprefix("torch.")
    # The frames are read; the real frames, the fakes and the one-channel mask are written.
    least = segment.frames.element_size() * FRAMES * SIDE**2 * 10
    return [
        {
            "name": f"{way}, `{preset}`, {kind}",
            "way": way,
            "target": TARGETS[dtype] if preset == PRESETS[0] else None,
            "kernels": one.kernels,
            "megabytes": one.bytes / SEGMENTS / 1e6,
            "least_megabytes": least / 1e6,
            "gigaflops": one.operations / SEGMENTS / 1e9,
            "megabytes_by_name": {name: size / SEGMENTS / 1e6 for name, size in one.by_name.most_common()},
            "pairs_per_s": {
                card: SEGMENTS / one.seconds(speed, LAUNCH if way == "eager" else 0.0, flops)
                for card, (speed, flops) in CARDS.items()
            },
        }
        for way, one in found.items()
    ]


def figures(row: dict[str, Any]) -> list[Figure]:
    """Returns the figures of one row."""
    name = row["name"]
    return [
        Figure(f"{name}: memory traffic of a pair / minimum", row["megabytes"] / row["least_megabytes"], "x"),
        Figure(f"{name}: kernels of a batch of {SEGMENTS} pairs", row["kernels"]),
        *(
            Figure(f"{name}: expected at most, {card}", round(speed), "pairs/s", at_least=row["target"])
            for card, speed in row["pairs_per_s"].items()
        ),
    ]


def shapes(dtype: torch.dtype) -> Segment:
    """Returns a batch without values: only shapes and types are counted."""
    b, t = SEGMENTS, FRAMES
    return Segment(
        frames=torch.empty(b, t, 3, SIDE, SIDE, dtype=dtype, device="meta"),
        landmarks=torch.empty(b, t, 68, 2, device="meta"),
        valid=torch.empty(b, t, dtype=torch.bool, device="meta"),
        mask=torch.empty(b, t, 1, SIDE, SIDE, dtype=dtype, device="meta"),
        label=torch.empty(b, dtype=dtype, device="meta"),
        frame_label=torch.empty(b, t, dtype=dtype, device="meta"),
        patch_label=torch.empty(b, t, 14, 14, dtype=dtype, device="meta"),
    )


if __name__ == "__main__":
    main()
