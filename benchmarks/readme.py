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

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
SECTIONS = ("speed", "quality", "decode", "memory", "stability")


def figures_table(results: Path = RESULTS) -> str:
    """Every figure with its target, as a Markdown table, and what it was measured on."""
    lines = ["| what | figure | target | reached |", "|---|--:|--:|---|"]
    about: dict[str, Any] = {}
    commits: dict[str, None] = {}
    for section in SECTIONS:
        path = results / f"extract_{section}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        about = result
        commits[result["commit"]] = None
        lines += [_row(section, figure) for figure in result["figures"]["targets"]]
    loader = results / "loader.json"
    if loader.exists():
        result = json.loads(loader.read_text())
        commits[result["commit"]] = None
        for row in result["figures"]["one_core"]:
            if row["size"] == result["figures"]["crop"]:
                share = row["share"]
                name = f"loader against bare JPEG decoding, one core, {row['frames']} frames per segment"
                reached = "yes" if share >= 0.8 else "**no**"
                lines.append(f"| {name} | {share:.0%} | ≥ 80% | {reached} |")
    augment = results / "augment.json"
    if augment.exists():
        result = json.loads(augment.read_text())
        commits[result["commit"]] = None
        lines += [_row("augmentation", figure) for figure in result["figures"]["targets"] if figure["target"]]
        lines += [_row("augmentation", figure) for figure in result["figures"]["targets"] if _telling(figure)]
    if about:
        device, versions = about["device"], about["versions"]
        measured = ", ".join(f"`{commit}`" for commit in commits)
        lines += [
            "",
            f"Measured on one core and on all two of an {device['cpu']}, Python {versions['python']}, "
            f"torch {versions['torch']}, at commits {measured} in the order of the rows; "
            "a + marks one with changes that were not committed.",
        ]
    return "\n".join(lines)


def _telling(figure: dict[str, Any]) -> bool:
    """Whether a figure without a target belongs on the page: the comparisons, not how time grows."""
    return not figure["target"] and figure["section"] == "speed"


def _row(section: str, figure: dict[str, Any]) -> str:
    value = "none" if figure["value"] is None else f"{figure['value']:,.3f}".rstrip("0").rstrip(".")
    reached = {True: "yes", False: "**no**", None: ""}[figure["reached"]]
    return f"| {section}: {figure['name']} | {value} {figure['unit']} | {figure['target']} | {reached} |"


def updated(text: str) -> str:
    """The page with the table between its markers exchanged."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{figures_table()}\n{END}{after}"


def main() -> None:
    text = README.read_text()
    new = updated(text)
    if "--check" in sys.argv:
        sys.exit(0 if new == text else f"{README.name} is behind benchmarks/results: run {Path(__file__).name}")
    README.write_text(new)


if __name__ == "__main__":
    main()
