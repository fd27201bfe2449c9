"""Draws ``docs/gallery/exported.webp``: scores of demo crops by PyTorch, by ONNX Runtime, and in 8-bit integers.

make demo
python docs/make_share.py demo/shards         # needs the extra export
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mgst_model.evaluate.crops import InputSpec
from mgst_model.export import load_onnx, quantise, shard_crops
from mgst_model.export.runtime import export_once
from mgst_model.networks.checkpoint import PACKAGED, LoadedNetwork, load_network

PICTURE = Path(__file__).with_name("gallery") / "exported.webp"
QUALITY, SEGMENTS, FRAMES = 85, 32, 4


def main() -> None:
    """Scores the crops with the weights of the package, three times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="shards of the demo data set")
    original = load_network(PACKAGED)
    shards = str(parser.parse_args().shards)
    crops = shard_crops(shards, InputSpec.of(original), count=SEGMENTS, frames=FRAMES).float() / 255
    with TemporaryDirectory() as folder:
        whole, small = export_once(PACKAGED), Path(folder, "small.onnx")
        quantise(whole, small, (crops * 255).byte())
        expected = _scores(original, crops)
        exported = {"32-bit floats": load_onnx(whole), "8-bit integers": load_onnx(small)}
        found = {name: _scores(network, crops) for name, network in exported.items()}
    figure = Figure(figsize=(5.6, 3.9), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--")
    for (name, scores), colour, marker in zip(found.items(), ("#0072B2", "#D55E00"), ("o", "x"), strict=True):
        axes.plot(expected, scores, marker, color=colour, markersize=5, alpha=0.7, label=name)
    axes.set(xlabel="score of a frame by PyTorch", ylabel="score by ONNX Runtime")
    axes.legend(frameon=False)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    Image.open(made).convert("RGB").save(PICTURE, quality=QUALITY)
    print(PICTURE)  # noqa: T201


@torch.inference_mode()
def _scores(loaded: LoadedNetwork, crops: torch.Tensor) -> list[float]:
    output = [loaded.network(one[None]) for one in crops]
    return torch.cat([one.frame_logits.flatten() for one in output]).sigmoid().tolist()


if __name__ == "__main__":
    main()
