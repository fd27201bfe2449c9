"""How well networks tell swaps between the validation people from these people: what to choose a training's numbers by.

    python benchmarks/experiment_generalise.py --out runs/generalise ...        # makes the shards
    python benchmarks/validate_generalise.py --out runs/generalise runs/generalise/*/network/last

The test split has no part in it. A sheet of the swaps is written beside them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from generalise.swaps import COARSE, GRAPHIC, make_swaps
from rich.console import Console
from rich.table import Table

from mgst_data.preview.sheet import contact_sheet
from mgst_data.shards import ShardReader
from mgst_model.evaluate.metrics import metrics, pair_accuracy
from mgst_model.evaluate.score import score_shards
from mgst_model.networks.checkpoint import load_network


def main() -> None:
    """Prints a table: AUC, and how often a fake is above the real video it was made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--crop", type=int, default=256, help="side of the crops in its shards")
    parser.add_argument("weights", nargs="+", type=Path)
    arguments = parser.parse_args()
    networks = {str(path): load_network(path) for path in arguments.weights}
    swaps = make_swaps(arguments.out / f"shards-{arguments.crop}", arguments.out)
    sheet = arguments.out / "swaps.png"
    if not sheet.exists():
        reader = ShardReader.open(swaps)
        firsts = [int((reader.video == video).nonzero()[0, 0]) for video in range(len(reader.videos))]
        picture = contact_sheet([reader[row] for row in firsts], columns=5)
        cv2.imwrite(str(sheet), picture[..., ::-1])
    console = Console()
    table = Table("weights", COARSE, "pairs", GRAPHIC, "pairs", "mean AUC")
    for name, network in networks.items():
        scored = score_shards(network, str(swaps))
        cells, areas = [], []
        for kind in (COARSE, GRAPHIC):
            chosen = scored.select(method=("real", kind))
            areas.append(metrics(*chosen.scores()).auc)
            cells += [f"{areas[-1]:.3f}", f"{pair_accuracy(*chosen.pairs().split()):.0%}"]
        mean = f"{sum(areas) / 2:.3f}"
        table.add_row(name, *cells, mean)
        console.print(f"{name}: mean AUC {mean}")
    console.print(table)


if __name__ == "__main__":
    main()
