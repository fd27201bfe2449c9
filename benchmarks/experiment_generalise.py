"""Measures generalisation: trains on real faces only, and scores real deepfakes of people and tools never seen.

    python benchmarks/experiment_generalise.py --out runs/generalise --rows sbi donors     # choose settings: split val
    python benchmarks/experiment_generalise.py --out runs/generalise --rows sbi --test     # publish: split test
    python benchmarks/experiment_generalise.py --out runs/generalise --rows parity-ours parity-published --name parity

``generalise/rows.toml`` has the rows. The folder of clips (``--clips`` or MGST_CLIPS) has a table ``labels.csv``. The
same command resumes stopped trainings; finished trainings and scores are not repeated. It writes
``results/generalise_val.json`` or ``generalise_test.json``, and plots.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from _common import RESULTS, write_result
from extraction.clips import parse_with_clips
from generalise.crops import correlations, properties
from generalise.figures import Scores, row_figures
from generalise.kit import Kit
from generalise.names import CLIPS
from generalise.plots import curve_png, kinds_png
from generalise.rows import ROWS, chosen_rows, read_rows
from generalise.runs import Trained, score_split, train_row
from rich.console import Console

from mgst_data.core import MgstError

FEWEST_SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for trainings and scores")
    parser.add_argument(
        "--shards", type=Path, help="finished shards of the clips and stills; default: made in OUT/shards"
    )
    parser.add_argument("--table", type=Path, default=ROWS, help="TOML file with the rows")
    parser.add_argument("--rows", nargs="+", help="names of rows; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of every row")
    parser.add_argument("--test", action="store_true", help="score the split test, to publish; default: val, to choose")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="device of the networks")
    parser.add_argument("--workers", type=int, help="processes of the extraction; default: one per core")
    parser.add_argument("--name", default="generalise", help="begin of the names of the result files")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    arguments = parse_with_clips(parser)
    if arguments.test and len(set(arguments.seeds)) < FEWEST_SEEDS:
        parser.error(f"--test is for published rows, which need at least {FEWEST_SEEDS} seeds")
    try:
        found = run(arguments)
    except MgstError as error:
        sys.exit(str(error))
    split = found["split"]
    path = write_result(f"{arguments.name}_{split}", found, folder=arguments.results)
    (arguments.results / f"{arguments.name}_{split}.png").write_bytes(kinds_png(found))
    if sum(row["curve"] for row in found["rows"].values()) > 1:
        (arguments.results / f"{arguments.name}_curve_{split}.png").write_bytes(curve_png(found))
    print(json.dumps({"results": str(path)}))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and scores the chosen rows seed by seed, so that an interrupted run has compared all rows."""
    console = Console(stderr=True)
    rows = read_rows(arguments.table)
    chosen = chosen_rows(rows, arguments.rows, arguments.table)
    out = arguments.out.resolve()  # absolute: a training is resumed only with the same path of the shards
    if arguments.shards:
        kit = Kit.open(arguments.clips, arguments.shards.resolve())
    else:
        kit = Kit.make(arguments.clips, out / "shards", workers=arguments.workers)
    splits = ("val", "test") if arguments.test else ("val",)
    predictions = defaultdict(list)
    trained: dict[str, list[Trained]] = defaultdict(list)
    for seed in arguments.seeds:
        for row in chosen:
            console.print(f"[bold]{row.name}[/], seed {seed}")
            done = train_row(kit, rows, row, seed, out, device=arguments.device)
            trained[row.name].append(done)
            for split in splits:
                predictions[split, row.name].append(score_split(kit, done, row, split, device=arguments.device))
    scores = {
        split: {row.name: Scores.of(kit, CLIPS, split, predictions[split, row.name]) for row in chosen}
        for split in splits
    }
    found = row_figures(scores["val"], scores.get("test"), {row.name: row.compare for row in chosen})
    measured = properties(kit, CLIPS, splits[-1])
    for row in chosen:
        facts = [dict(one.facts) for one in trained[row.name]]
        means = {name: sum(one[name] for one in facts) / len(facts) for name in facts[0]}
        settings = ("note", "base", "preset", "sources", "options", "curve", "begin")
        found["rows"][row.name] |= {
            **{name: getattr(row, name) for name in settings},
            **{name: round(value, 1) for name, value in means.items()},
            "shortcuts": correlations(scores[splits[-1]][row.name], measured),
        }
    return found | {"seeds": arguments.seeds}


if __name__ == "__main__":
    main()
