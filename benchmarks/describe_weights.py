"""Describes trained weights: figures by kind of fake, false positives on real people, and the training data.

    python benchmarks/describe_weights.py --weights mgst_model/pretrained/detector --out runs/weights

It writes ``results/weights.json`` and ``weights.png``; ``benchmarks/pages.py`` makes the model card of them. The folder
of clips (``--clips`` or MGST_CLIPS) has a table ``labels.csv``. The list of training videos must be beside the weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _common import RESULTS, write_result
from extraction.clips import parse_with_clips
from generalise.kit import Kit
from generalise.plots import calibration_png
from generalise.weights import describe

from mgst_data.core import MgstError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="path of the weights, or folder of their training")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores; those of the same weights are kept")
    parser.add_argument("--shards", type=Path, help="finished shards; default: made in OUT/shards")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="device of the network")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parse_with_clips(parser)
    out = arguments.out.resolve()
    try:
        shards = arguments.shards
        kit = Kit.open(arguments.clips, shards.resolve()) if shards else Kit.make(arguments.clips, out / "shards")
        found = describe(kit, arguments.weights, out, device=arguments.device)
    except MgstError as error:
        sys.exit(str(error))
    print(write_result("weights", found, folder=arguments.results))
    (arguments.results / "weights.png").write_bytes(calibration_png(found))


if __name__ == "__main__":
    main()
