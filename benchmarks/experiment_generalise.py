"""Measures generalisation: trains on real videos only, and tests on deepfakes of other persons.

    python benchmarks/experiment_generalise.py --out runs/generalise                 # 2 cores, about two hours
    python benchmarks/experiment_generalise.py --out runs/generalise --full          # on a GPU

It trains our network, its ablations and the baseline. The same command resumes stopped trainings, and does not repeat
finished trainings and scores.
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
    """Runs the chosen variants and seeds; writes ``results/generalise.json`` (or ``generalise_full``) and its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for shards, trainings and predictions")
    parser.add_argument("--full", action="store_true", help="all variants, at full resolution")
    parser.add_argument("--variants", nargs="+", help="run only these variants")
    parser.add_argument("--seeds", type=int, nargs="+", help="run only these seeds")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="device of the networks")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    parser.add_argument("--name", help="name of the result files; default: generalise, or generalise_full with --full")
    arguments = parse_with_clips(parser)
    plan: Plan = FULL if arguments.full else QUICK
    plan = plan.only(variants=arguments.variants, seeds=arguments.seeds)

    console = Console(stderr=True)
    out = arguments.out.resolve()  # absolute: a training is resumed only with the same path of the shards
    shards = make_shards(arguments.clips, out, size=plan.crop)
    predictions, seconds = {}, {}
    for seed in plan.seeds:  # seed by seed, so that an interrupted run has compared all variants
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
