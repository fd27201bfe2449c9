"""Measures exported networks against PyTorch: speed, size, and how far the scores differ.

    python benchmarks/bench_export.py                       # the weights of the package: results/export.json
    python benchmarks/bench_export.py --crops SHARDS        # also 8-bit integers, on crops of faces from shards
    python benchmarks/bench_export.py --weights runs/base   # other weights

All runtimes compute on one core, in turn. The time is processor time, so other processes count little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, compare, write_result
from jaxtyping import UInt8
from torch import Tensor, nn

from mgst_model.evaluate.crops import InputSpec
from mgst_model.export import export_network, load_onnx, portraits, quantise, shard_crops
from mgst_model.export.formats import SUFFIXES, Runner
from mgst_model.export.graph import as_input
from mgst_model.networks import fold_batch_norms, load_network
from mgst_model.networks.checkpoint import PACKAGED

# Windows per call of mgst-predict on a CPU.
BATCH = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="weights to export")
    parser.add_argument("--crops", help="folder of shards; without it, faces are rendered and int8 is not measured")
    parser.add_argument("--segments", type=int, default=64, help="segments of crops")
    parser.add_argument("--repeats", type=int, default=9, help="timed runs of each runtime")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load_network(options.weights)
    fold_batch_norms(loaded.network)
    if options.crops:
        crops = shard_crops(options.crops, InputSpec.of(loaded), count=options.segments, frames=loaded.frames)
    else:
        crops = portraits(4, frames=loaded.frames, size=loaded.size)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(loaded, crops, Path(folder), options)
    about = {"weights": "package" if options.weights == PACKAGED else options.weights.name, "size": loaded.size}
    about |= {"frames": loaded.frames, "batch": BATCH, "crops": "shards" if options.crops else "rendered"}
    print(write_result("export", {**about, "rows": rows}, folder=options.out))


def measure(
    loaded: Any, crops: UInt8[Tensor, "b t 3 h w"], folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Exports to every format that is installed, and times all of them in turn."""
    frames = as_input(crops[:BATCH])
    rows: list[dict[str, Any]] = [{"runtime": "PyTorch", "bytes": _parameters(loaded.network)}]
    works: list[Callable[[], object]] = [partial(_forward, loaded.network, frames)]
    checked = crops[:16]
    for to in ("onnx", "torch-export", *(["openvino"] if find_spec("openvino") else [])):
        begin = time.process_time()
        made = export_network(loaded, folder / f"net{SUFFIXES[to]}", to, checked)
        seconds = time.process_time() - begin
        size = made.path.stat().st_size
        size += made.path.with_suffix(".bin").stat().st_size if to == "openvino" else 0
        rows.append({"runtime": to, "bytes": size, "largest_difference": made.difference, "export_seconds": seconds})
        works.append(_work(made.path, to, frames, made.outputs))
    if options.crops:
        change = quantise(folder / "net.onnx", folder / "int8.onnx", crops)
        size = (folder / "int8.onnx").stat().st_size
        rows.append({"runtime": "onnx, int8", "bytes": size, "largest_difference": change.largest})
        rows[-1] |= {"mean_difference": change.mean, "changed_verdicts": change.verdicts, "segments": change.segments}
        works.append(_work(folder / "int8.onnx", "onnx", frames, ()))
    timings = compare(works, options.repeats, clock=time.process_time)
    for row, timing in zip(rows, timings, strict=True):
        row |= {"seconds": timing, "times_as_fast": timings[0].median / timing.median}
        print(row, flush=True)
    return rows


def _work(path: Path, to: str, frames: Tensor, names: tuple[str, ...]) -> Callable[[], object]:
    if to == "onnx":
        return partial(_forward, load_onnx(path, threads=1).network, frames)
    return partial(_run(path, to, names), frames)


def _run(path: Path, to: str, names: tuple[str, ...]) -> Runner:
    if to == "torch-export":
        module = torch.export.load(path).module()
        return lambda frames: _outputs(names, _forward(module, frames))
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    return lambda frames: compiled(frames.numpy())


def _outputs(names: tuple[str, ...], values: Any) -> dict[str, Tensor]:
    return dict(zip(names, values, strict=True))


def _forward(network: nn.Module, frames: Tensor) -> object:
    with torch.inference_mode():
        return network(frames)


def _parameters(network: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


if __name__ == "__main__":
    main()
