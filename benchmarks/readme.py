"""Writes the figures of results/*.json into README.md and docs, between their markers, so that all always agree.

python benchmarks/readme.py            # after a benchmark has run
python benchmarks/readme.py --check    # exit code 1 if a page is behind
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _common import RESULTS
from generalise.figures import beyond_ours

ROOT = Path(__file__).parents[1]
README, TRIED = ROOT / "README.md", ROOT / "docs" / "generalise.md"
FIGURES, GENERALISE = "figures", "generalise"
# What present code makes, and what earlier code has made.
GRIDS = {
    "generalise_full": "the whole grid",
    "generalise": "the short version",
    "generalise_ablations": "parts left out, one at a time",
}
ARCHIVED = {"generalise_with_donors": "others as sources of half of all blends, and six epochs of the baseline"}
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


def generalise_table(grids: Mapping[str, str], page: Path, results: Path = RESULTS) -> str:
    """AUC of every variant by kind of fake, with intervals, and what was run.

    Args:
        grids: Names of the results, and what each is.
        page: That the table is for.
        results: Folder of the results.
    """
    lines: list[str] = []
    for name, what in grids.items():
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
        seeds = ", ".join(map(str, plan["seeds"]))
        picture = os.path.relpath(results / f"{name}.png", page.parent)
        lines += [
            "",
            f"AUC over videos, mean of seeds {seeds}, with 95 % bootstrap intervals; {what}: "
            f"{_made(name, plan)}, {plan['frames']} frames of {plan['size']} pixels, {device}, commit "
            f"`{result['commit']}`.",
            "",
            f"![AUC of every variant by kind of fake, with intervals]({picture})",
            "",
        ]
    return "\n".join(lines).rstrip()


def _made(name: str, plan: dict[str, Any]) -> str:
    """How a grid was made."""
    if name in ARCHIVED:
        return "of an earlier recipe, which present code does not repeat"
    flags = {"generalise": "", "generalise_full": " --full"}
    names = " ".join(f"'{variant}'" if " " in variant else variant for variant in plan["variants"])
    flag = flags.get(name, f" --variants {names} --name {name}")
    return f"`python benchmarks/experiment_generalise.py --out runs/generalise{flag}`"


def _auc(mean: dict[str, Any]) -> str:
    low, high = mean["interval"]
    return f"{mean['auc']:.3f} [{low:.2f}, {high:.2f}]"


def pages() -> dict[Path, str]:
    """The pages with what lies between their markers exchanged."""
    parts = {
        README: {FIGURES: figures_table(), GENERALISE: generalise_table(GRIDS, README)},
        TRIED: {GENERALISE: generalise_table(ARCHIVED, TRIED)},
    }
    return {page: _exchanged(page.read_text(), tables) for page, tables in parts.items()}


def _exchanged(text: str, tables: Mapping[str, str]) -> str:
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def main() -> None:
    for page, text in pages().items():
        if "--check" not in sys.argv:
            page.write_text(text)
        elif page.read_text() != text:
            sys.exit(f"{page.name} is behind benchmarks/results: run {Path(__file__).name}")


if __name__ == "__main__":
    main()
