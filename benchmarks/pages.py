"""Writes the figures of results/*.json into README.md and docs, between their markers.

python benchmarks/pages.py            # after a benchmark has run
python benchmarks/pages.py --check    # exit code 1 if a page is out of date
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
README, BENCHMARKS, GENERALISE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "generalise.md"
# Grids that present code can repeat, and one that earlier code made.
GRIDS = {
    "generalise_full": "The whole grid.",
    "generalise": "The short version.",
    "generalise_ablations": "Parts left out, one at a time.",
}
ARCHIVED = {"generalise_with_donors": "Half of all blends have a donor; the baseline is trained for six epochs."}
# Headings of the columns, by the names in the files.
COLUMNS = {
    "fake above its real twin": "fake scores above paired real video",
    "swaps, beyond ours": "swaps, minus `ours`",
}


def load(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """Reads one result file."""
    return json.loads((results / f"{name}.json").read_text())  # type: ignore[no-any-return]


def headlines(results: Path = RESULTS) -> str:
    """Three figures for the README: speed, stability of the crops, and what the detector reaches."""
    speed = {figure["name"]: figure["value"] for figure in load("extract_speed", results)["figures"]["targets"]}
    motion = {figure["name"]: figure["value"] for figure in load("extract_stability", results)["figures"]["targets"]}
    swaps = load("generalise", results)["figures"]["variants"]["ours"]["mean"]["all swaps"]
    low, high = swaps["interval"]
    return "\n".join(
        [
            "| figure | value |",
            "|---|---|",
            f"| extraction of 1080p video on one core, against facenet-pytorch and dlib on every frame | "
            f"{speed['1080p: ours / peer, one core']:.0f} times as fast |",
            f"| background motion in the crops, median; in crops that follow each box | "
            f"{motion['background motion in the crops, median']:.2f} pixels; "
            f"{motion['background motion in per-frame crops, median']:.1f} pixels |",
            f"| detector on face swaps of unknown kinds, trained on 57 real clips: AUC, 95 % interval | "
            f"{swaps['auc']:.2f}, {low:.2f} to {high:.2f} |",
        ]
    )


def figures_table(names: tuple[str, ...], results: Path = RESULTS) -> str:
    """The figures of some result files as a table, and what they were measured on.

    Args:
        names: Names of the result files.
        results: Folder of the result files.
    """
    lines = ["| figure | value | target | reached |", "|---|--:|--:|---|"]
    machines: dict[str, None] = {}
    for name in names:
        result = load(name, results)
        versions, device = result["versions"], result["device"]
        machines[
            f"{device['cpu']}, Python {versions['python']}, torch {versions['torch']}, commit `{result['commit']}`"
        ] = None
        lines += [_row(figure) for figure in _figures(name, result)]
    return "\n".join([*lines, "", f"Measured on: {'; '.join(machines)}. A + marks uncommitted changes."])


def _figures(name: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Figures of one file; the loader's are made from its table."""
    if name != "loader":
        return [figure for figure in result["figures"]["targets"] if figure.get("section") != "scaling"]
    return [
        {
            "name": f"loader / bare JPEG decoding, one core, {row['frames']} frames per segment",
            "value": 100 * row["share"],
            "unit": "%",
            "target": "≥ 80",
            "reached": row["share"] >= 0.8,
        }
        for row in result["figures"]["one_core"]
        if row["size"] == result["figures"]["crop"]
    ]


def _row(figure: dict[str, Any]) -> str:
    value = "none" if figure["value"] is None else f"{figure['value']:,.3f}".rstrip("0").rstrip(".")
    reached = {True: "yes", False: "**no**", None: ""}[figure["reached"]]
    return f"| {figure['name']} | {value} {figure['unit']} | {figure['target']} | {reached} |"


def generalise_table(grids: Mapping[str, str], page: Path, results: Path = RESULTS) -> str:
    """AUC of every variant by kind of fake, with intervals, and what was run.

    Args:
        grids: Names of the result files, each with a sentence about it. A file that does not exist is left out.
        page: The page that shows the table; paths of pictures are relative to it.
        results: Folder of the result files.
    """
    lines: list[str] = []
    for name, sentence in grids.items():
        if not (results / f"{name}.json").exists():
            continue
        result = load(name, results)
        variants, plan = result["figures"]["variants"], result["figures"]["plan"]
        kinds = list(next(iter(variants.values()))["mean"])
        columns = [*kinds, "swaps, beyond ours", "fake above its real twin", "minutes"]
        compared = any("beyond_ours" in found for found in variants.values())
        columns = [column for column in columns if compared or "ours" not in column]
        titles = [COLUMNS.get(column, column) for column in columns]
        lines += [f"| variant | {' | '.join(titles)} |", f"|---|{'--:|' * len(columns)}"]
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
            f"{sentence} AUC over videos, mean of seeds {seeds}, with 95 % bootstrap intervals. {_made(name, plan)} "
            f"{plan['frames']} frames of {plan['size']} pixels; {device}; commit `{result['commit']}`.",
            "",
            f"![AUC of every variant by kind of fake, with intervals]({picture})",
            "",
        ]
    return "\n".join(lines).rstrip()


def _made(name: str, plan: dict[str, Any]) -> str:
    """The command that makes a grid."""
    if name in ARCHIVED:
        return "Made by an earlier recipe that present code does not repeat."
    flags = {"generalise": "", "generalise_full": " --full"}
    names = " ".join(f"'{variant}'" if " " in variant else variant for variant in plan["variants"])
    flag = flags.get(name, f" --variants {names} --name {name}")
    return f"Command: `python benchmarks/experiment_generalise.py --out runs/generalise{flag}`."


def _auc(mean: dict[str, Any]) -> str:
    low, high = mean["interval"]
    return f"{mean['auc']:.3f} [{low:.2f}, {high:.2f}]"


def pages() -> dict[Path, str]:
    """The pages with new text between their markers."""
    parts = {
        README: {"headlines": headlines()},
        BENCHMARKS: {
            "extraction": figures_table(
                ("extract_speed", "extract_quality", "extract_stability", "extract_decode", "extract_memory")
            ),
            "collection": figures_table(("collection",)),
            "stills": figures_table(("stills",)),
            "loader": figures_table(("loader",)),
            "augmentation": figures_table(("augment",)),
            "parity": figures_table(("parity",)),
            "training": figures_table(("train",)),
            "people": figures_table(("people",)),
        },
        GENERALISE: {
            "generalise": generalise_table(GRIDS, GENERALISE),
            "archived": generalise_table(ARCHIVED, GENERALISE),
        },
    }
    return {page: _replaced(page.read_text(), tables) for page, tables in parts.items()}


def _replaced(text: str, tables: Mapping[str, str]) -> str:
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
            sys.exit(f"{page.name} does not show the figures of benchmarks/results: run {Path(__file__).name}")


if __name__ == "__main__":
    main()
