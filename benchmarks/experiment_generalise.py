"""Does it generalise? Trains on real people alone, tests on deepfakes of others; ours, its ablations, and the baseline.

    python benchmarks/experiment_generalise.py --out runs/generalise                 # 2 cores, about two hours
    python benchmarks/experiment_generalise.py --out runs/generalise --full          # a GPU

Every training is finished or goes on where it was stopped, and what is scored already is not scored again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from _common import RESULTS, write_result
from extraction.clips import parse_with_clips
from generalise.data import make_shards
from generalise.figures import figures, plot, table
from generalise.runs import FULL, QUICK, Plan, run
from rich.console import Console


def main() -> None:
    """Runs what is asked for and writes ``results/generalise.json`` (or ``generalise_full``) and its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for shards, trainings and predictions")
    parser.add_argument("--full", action="store_true", help="the whole grid, at full resolution")
    parser.add_argument("--variants", nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", help="only these")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    parser.add_argument("--name", help="of the figures' files; generalise, or generalise_full")
    arguments = parse_with_clips(parser)
    plan: Plan = FULL if arguments.full else QUICK
    plan = plan.only(variants=arguments.variants, seeds=arguments.seeds)

    console = Console(stderr=True)
    out = arguments.out.resolve()  # a training is of shards at one place, however that is written
    shards = make_shards(arguments.clips, out, size=plan.crop)
    predictions, seconds = {}, {}
    for seed in plan.seeds:  # seed by seed, so that a run that is cut short compares all variants
        for variant in plan.variants:
            console.print(f"[bold]{variant}[/], seed {seed}")
            done = run(plan, variant, seed, shards, out, device=arguments.device)
            predictions[variant, seed], seconds[variant, seed] = done
    found = figures(predictions, seconds)
    name = arguments.name or ("generalise_full" if arguments.full else "generalise")
    write_result(name, {"plan": plan.as_dict(), **found}, folder=arguments.results)
    (arguments.results / f"{name}.png").write_bytes(plot(found))
    console.print(table(found))
    console.print_json(json.dumps({"results": str(arguments.results / f"{name}.json")}))


if __name__ == "__main__":
    main()
