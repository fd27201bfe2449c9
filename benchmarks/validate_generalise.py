"""Scores networks on face swaps between the persons of the validation split, to choose the options of a training.

    python benchmarks/experiment_generalise.py --out runs/generalise ...        # makes the shards
    python benchmarks/validate_generalise.py --out runs/generalise runs/generalise/*/network/last

The test split is not used. A contact sheet of the swaps is written to the folder of the experiment, and the figures to
``results/validate_generalise.json``. Every video, real or fake, has its own random quality. "same person" is the share
of pairs of a fake and a real video of the same person in which the fake has the higher score. If only this share is
high and the AUC is low, the scores depend mainly on the person.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
from _common import RESULTS, write_result
from generalise.swaps import COARSE, GRAPHIC, make_swaps
from rich.console import Console
from rich.table import Table

from mgst_data.core import FAKE, REAL
from mgst_data.preview.sheet import contact_sheet
from mgst_data.shards import ShardReader
from mgst_model.evaluate.metrics import metrics, pair_accuracy
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.score import score_shards
from mgst_model.networks.checkpoint import load_network


def main() -> None:
    """Prints a table with the AUC, and the share of fakes that score above real videos of the same person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--crop", type=int, default=256, help="side of the crops in the shards, pixels")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    parser.add_argument("weights", nargs="+", type=Path, help="checkpoints to score")
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
    table = Table("weights", f"{COARSE}: AUC", "same person", f"{GRAPHIC}: AUC", "same person", "mean AUC")
    found: dict[str, Any] = {}
    for name, network in networks.items():
        scored = score_shards(network, str(swaps))
        figures = {kind: _figures(scored.select(method=("real", kind))) for kind in (COARSE, GRAPHIC)}
        mean = sum(each["auc"] for each in figures.values()) / len(figures)
        found[_short(name, arguments.out)] = {**figures, "mean_auc": round(mean, 4)}
        cells = [text for each in figures.values() for text in (f"{each['auc']:.3f}", f"{each['alike']:.0%}")]
        table.add_row(name, *cells, f"{mean:.3f}")
        console.print(f"{name}: mean AUC {mean:.3f}")
    console.print(table)
    console.print(str(write_result("validate_generalise", {"networks": found}, folder=arguments.results)))


def _figures(scored: Predictions) -> dict[str, float]:
    auc, alike = metrics(*scored.scores()).auc, pair_accuracy(*_of_one_person(scored))
    return {"auc": round(auc, 4), "alike": round(alike, 4)}


def _short(path: str, out: Path) -> str:
    """Returns the name of a network: its path relative to the folder of the experiment."""
    inside = Path(path).resolve()
    return str(inside.relative_to(out.resolve())) if inside.is_relative_to(out.resolve()) else inside.name


def _of_one_person(scored: Predictions) -> tuple[list[float], list[float]]:
    """Returns the scores of real and of fake videos for all pairs of a fake and a real video of the same person."""
    known = [(video, video.score) for video in scored.videos if video.score is not None]
    reals, fakes = ([pair for pair in known if pair[0].label == label] for label in (REAL, FAKE))
    pairs = [(above, below) for fake, above in fakes for real, below in reals if real.target_key == fake.target_key]
    return [below for _, below in pairs], [above for above, _ in pairs]


if __name__ == "__main__":
    main()
