"""Writes the figures of results/*.json into README.md, between its markers, so that both always agree.

python benchmarks/readme.py            # after a benchmark has run
python benchmarks/readme.py --check    # exit code 1 if README.md is behind
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _common import RESULTS
from generalise.figures import beyond_ours

README = Path(__file__).parents[1] / "README.md"
FIGURES, GENERALISE = "figures", "generalise"
GRIDS = {
    "generalise_full": "the whole grid",
    "generalise": "the short version",
    "generalise_with_donors": "the same of that commit, with donors and six epochs of the baseline",
    "generalise_ablations": "every ablation, once, of an earlier recipe in which the temporal stream joins untrained",
}
_PLUS = "a + marks a commit with changes that were not committed."
SECTIONS = ("speed", "quality", "decode", "memory", "stability")


def figures_table(results: Path = RESULTS) -> str:
    """Every figure with its target, as a Markdown table, and what it was measured on."""
    lines = ["| what | figure | target | reached |", "|---|--:|--:|---|"]
    commits: dict[tuple[str, str, str], dict[str, None]] = {}  # of each machine and its libraries
    for section in SECTIONS:
        path = results / f"extract_{section}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        commits.setdefault(_machine(result), {})[result["commit"]] = None
        lines += [_row(section, figure) for figure in result["figures"]["targets"]]
    loader = results / "loader.json"
    if loader.exists():
        result = json.loads(loader.read_text())
        commits.setdefault(_machine(result), {})[result["commit"]] = None
        for row in result["figures"]["one_core"]:
            if row["size"] == result["figures"]["crop"]:
                share = row["share"]
                name = f"loader against bare JPEG decoding, one core, {row['frames']} frames per segment"
                reached = "yes" if share >= 0.8 else "**no**"
                lines.append(f"| {name} | {share:.0%} | ≥ 80% | {reached} |")
    augment = results / "augment.json"
    if augment.exists():
        result = json.loads(augment.read_text())
        commits.setdefault(_machine(result), {})[result["commit"]] = None
        lines += [_row("augmentation", figure) for figure in result["figures"]["targets"] if figure["target"]]
        lines += [_row("augmentation", figure) for figure in result["figures"]["targets"] if _telling(figure)]
    train = results / "train.json"
    if train.exists():
        result = json.loads(train.read_text())
        commits.setdefault(_machine(result), {})[result["commit"]] = None
        lines += [_row("training", figure) for figure in result["figures"]["targets"]]
    if commits:
        measured = "; ".join(
            f"{cpu}, Python {python}, torch {torch}, at {', '.join(f'`{commit}`' for commit in found)}"
            for (cpu, python, torch), found in commits.items()
        )
        lines += ["", f"Measured on one core and on all two of, in the order of the rows: {measured}; {_PLUS}"]
    return "\n".join(lines)


def _machine(result: dict[str, Any]) -> tuple[str, str, str]:
    versions = result["versions"]
    return result["device"]["cpu"], versions["python"], versions["torch"]


def _telling(figure: dict[str, Any]) -> bool:
    """Whether a figure without a target belongs on the page: the comparisons, not how time grows."""
    return not figure["target"] and figure["section"] == "speed"


def _row(section: str, figure: dict[str, Any]) -> str:
    value = "none" if figure["value"] is None else f"{figure['value']:,.3f}".rstrip("0").rstrip(".")
    reached = {True: "yes", False: "**no**", None: ""}[figure["reached"]]
    return f"| {section}: {figure['name']} | {value} {figure['unit']} | {figure['target']} | {reached} |"


def generalise_table(results: Path = RESULTS) -> str:
    """AUC of every variant by kind of fake, with intervals, and what was run."""
    lines: list[str] = []
    for name, what in GRIDS.items():
        path = results / f"{name}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        variants, plan = result["figures"]["variants"], result["figures"]["plan"]
        kinds = list(next(iter(variants.values()))["mean"])
        columns = [*kinds, "swaps, beyond ours", "fake above its real twin", "minutes"]
        compared = any("beyond_ours" in found for found in variants.values())
        columns = [column for column in columns if compared or "ours" not in column]
        lines += [f"| variant | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
        for variant, found in variants.items():
            cells = [_auc(found["mean"][kind]) for kind in kinds]
            cells += [beyond_ours(found)] if compared else []
            pairs, minutes = found["mean"][kinds[-1]]["pairs"], found.get("minutes")
            cells += [f"{pairs:.0%}", "" if minutes is None else f"{minutes:.0f}"]
            lines.append(f"| {variant} | {' | '.join(cells)} |")
        device = result["device"]["gpu"] or result["device"]["cpu"]
        numbers = ", ".join(map(str, plan["seeds"]))
        seeds = f"mean of seeds {numbers}" if len(plan["seeds"]) > 1 else f"seed {numbers}"
        flag = _flags(plan, name)
        lines += [
            "",
            f"AUC over videos, {seeds}, with 95 % bootstrap intervals; {what}: "
            f"`python benchmarks/experiment_generalise.py --out runs/generalise{flag}`, {plan['frames']} frames of "
            f"{plan['size']} pixels, {device}, commit `{result['commit']}`.",
            "",
            f"![AUC of every variant by kind of fake, with intervals](benchmarks/results/{name}.png)",
            "",
        ]
    return "\n".join(lines).rstrip()


def _flags(plan: dict[str, Any], name: str) -> str:
    """What follows the experiment's command, for this grid."""
    if name == "generalise_full":
        return " --full"
    if name in ("generalise", "generalise_with_donors"):
        return ""
    names = " ".join(f"'{variant}'" if " " in variant else variant for variant in plan["variants"])
    return f" --variants {names} --seeds {' '.join(map(str, plan['seeds']))} --name {name}"


def _auc(mean: dict[str, Any]) -> str:
    low, high = mean["interval"]
    return f"{mean['auc']:.3f} [{low:.2f}, {high:.2f}]"


def updated(text: str) -> str:
    """The page with the tables between their markers exchanged."""
    for name, table in ((FIGURES, figures_table()), (GENERALISE, generalise_table())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def main() -> None:
    text = README.read_text()
    new = updated(text)
    if "--check" in sys.argv:
        sys.exit(0 if new == text else f"{README.name} is behind benchmarks/results: run {Path(__file__).name}")
    README.write_text(new)


if __name__ == "__main__":
    main()
