"""Writes the figures of results/*.json into README.md and docs, between their markers.

python benchmarks/pages.py            # after a benchmark has run
python benchmarks/pages.py --check    # exit code 1 if a page is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fault_tables
import meaning_page
from _common import RESULTS
from cluster import page as cluster_page
from generalise import page

ROOT = Path(__file__).parents[1]
README, BENCHMARKS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
MACHINES = ROOT / "docs" / "many_machines.md"
SHARE = ROOT / "docs" / "share.md"
MEANING = ROOT / "docs" / "scores.md"
GENERALISE, CARD = ROOT / "docs" / "generalise.md", ROOT / "docs" / "model_card.md"


def load(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """Reads one result file."""
    return json.loads((results / f"{name}.json").read_text())  # type: ignore[no-any-return]


def loaded(name: str, results: Path = RESULTS) -> dict[str, Any] | None:
    """Reads one result file; None if it was not made yet.

    Args:
        name: Name of the result file.
        results: Folder of the result files.
    """
    return load(name, results) if (results / f"{name}.json").exists() else None


def headlines(results: Path = RESULTS) -> str:
    """Figures for the README: speed, and stability of the crops."""
    speed = {figure["name"]: figure["value"] for figure in load("extract_speed", results)["figures"]["targets"]}
    motion = {figure["name"]: figure["value"] for figure in load("extract_stability", results)["figures"]["targets"]}
    return "\n".join(
        [
            "| figure | value |",
            "|---|---|",
            f"| extraction of 1080p video on one core, against facenet-pytorch and dlib on every frame | "
            f"{speed['1080p: ours / peer, one core']:.0f} times as fast |",
            f"| background motion in the crops, median; in crops that follow each box | "
            f"{motion['background motion in the crops, median']:.2f} pixels; "
            f"{motion['background motion in per-frame crops, median']:.1f} pixels |",
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


def gpu_model_table(result: dict[str, Any]) -> str:
    """Counted work of self-blending, and the expected speed on each card, beside the target.

    Args:
        result: The result file.
    """
    figures = result["figures"]
    cards = [*figures["cards"]]
    lines = [
        "| mode, preset, data type | kernels of a batch | memory traffic of a pair "
        f"| {', '.join(cards)}: pairs/s, at most | target | reached |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for row in figures["rows"]:
        speeds = [row["pairs_per_s"][card] for card in cards]
        target = row["target"]
        reached = "" if target is None else "yes" if min(speeds) >= target else "**no**"
        wanted = "" if target is None else f"≥ {target:,}"
        lines.append(
            f"| {row['name']} | {row['kernels']:,.0f} | {row['megabytes']:,.0f} MB, "
            f"{row['megabytes'] / row['least_megabytes']:.1f} x the minimum | "
            f"{', '.join(f'{speed:,.0f}' for speed in speeds)} | {wanted} | {reached} |"
        )
    setting = figures["setting"]
    batch = f"{setting['segments']} segments of {setting['frames']} frames of {setting['size']} pixels"
    where = f"torch {result['versions']['torch']}, commit `{result['commit']}`"
    return "\n".join([*lines, "", f"Counted for batches of {batch}, {where}. A + marks uncommitted changes."])


def export_table(result: dict[str, Any] | None) -> str:
    """Speed, size and differences of the exported weights; says so if they were not measured yet.

    Args:
        result: The result file; None if there is none.
    """
    if result is None:
        return "Not measured yet."
    figures, device = result["figures"], result["device"]
    lines = ["| runtime | speed | size | largest difference of a score |", "|---|--:|--:|--:|"]
    for row in figures["rows"]:
        difference = f"{row['largest_difference']:.1g}" if "largest_difference" in row else ""
        if "mean_difference" in row:
            difference = f"{row['largest_difference']:.2f} (mean {row['mean_difference']:.3f})"
        speed = f"{row['times_as_fast']:.1f} times"
        lines.append(f"| {row['runtime']} | {speed} | {row['bytes'] / 1e6:.1f} MB | {difference} |")
    batch = f"{figures['batch']} segments of {figures['frames']} frames, {figures['size']} pixels"
    where = f"{device['cpu']}, torch {result['versions']['torch']}, commit `{result['commit']}`"
    return "\n".join(
        [*lines, "", f"The weights of the package on one core, {batch}, in the same run. Measured on: {where}."]
    )


def stream_table(result: dict[str, Any] | None) -> str:
    """Samples per second of every system that streams from an object store; says so if they were not measured yet.

    Args:
        result: The result file; None if there is none.
    """
    if result is None:
        return "Not measured yet."
    figures = result["figures"]
    rows = {(row["mode"], row["cache"], row["workers"], row["system"]): row for row in figures["rows"]}
    cases = sorted(dict.fromkeys(key[:3] for key in rows))
    systems = list(dict.fromkeys(key[3] for key in rows))
    lines = []
    for title, figure in (("samples per second", "samples_per_s"), ("processor time of a sample, ms", "processor_ms")):
        lines += [f"| {title} | {' | '.join(systems)} |", f"|---|{'--:|' * len(systems)}"]
        for mode, cache, workers in cases:
            cells = [rows[mode, cache, workers, system][figure] for system in systems]
            lines.append(
                f"| {mode}, {cache} cache, {workers} workers | {' | '.join(f'{cell:.1f}' for cell in cells)} |"
            )
        lines.append("")
    what = f"{figures['samples']:,} samples, {figures['bytes'] / 1e6:,.0f} MB in {figures['shards']} shards"
    rounds = f"medians of {len(figures['rows'][0]['rates'])} rounds"
    return "\n".join([*lines, f"{what}; {rounds}, one epoch each.", "", figures_table(("stream",))])


def generalise_parts(results: Path = RESULTS) -> dict[str, str]:
    """Writes the parts of the page about generalisation."""
    test, val = (loaded(f"generalise_{split}", results) for split in ("test", "val"))
    # The learning curve is published where it was run.
    of_curve = next((one for one in (test, val) if page.has_curve(one)), None)
    split = of_curve["figures"]["split"] if of_curve else "val"
    parts = {
        "weights": page.summary(loaded("weights", results)),
        "test": page.test_table(test),
        "val": page.val_table(val),
        "parity": page.val_table(loaded("parity_val", results)),
        "curve": page.curve(of_curve, results / f"generalise_curve_{split}.png", GENERALISE),
        "shortcuts": page.shortcuts(test or val),
    }
    for name, result in (("test", test), ("val", val)):
        if result:
            parts[name] += page.picture("AUC by kind of fake", results / f"generalise_{name}.png", GENERALISE)
    return parts


def pages() -> dict[Path, str]:
    """The pages with new text between their markers."""
    parts = {
        README: {"headlines": headlines(), "weights": page.summary(loaded("weights"))},
        BENCHMARKS: {
            "extraction": figures_table(
                (
                    "extract_speed",
                    "extract_scaling",
                    "extract_quality",
                    "extract_stability",
                    "extract_decode",
                    "extract_memory",
                )
            ),
            "detectors": figures_table(("extract_detectors",)) if loaded("extract_detectors") else "Not measured yet.",
            "peers": figures_table(("extract_peers",)),
            "collection": figures_table(("collection",)),
            "stills": figures_table(("stills",)),
            "loader": figures_table(("loader",)),
            "stream": stream_table(loaded("stream")),
            "augmentation": figures_table(("augment",)),
            "gpu_model": gpu_model_table(load("gpu_model")),
            "parity": figures_table(("parity",)),
            "training": figures_table(("train",)),
            "people": figures_table(("people",)),
            "plan": figures_table(("plan",)),
            **{name: fault_tables.table(name, loaded(f"faults_{name}")) for name in fault_tables.TABLES},
        },
        MACHINES: {"cluster": cluster_page.tables(loaded("cluster"))},
        GENERALISE: generalise_parts(),
        SHARE: {"export": export_table(loaded("export"))},
        MEANING: {"meaning": meaning_page.figures(loaded("calibration"), loaded("maps"))},
        CARD: page.card(loaded("weights"), RESULTS / "weights.png", CARD),
    }
    return {path: _replaced(path.read_text(), tables) for path, tables in parts.items()}


def _replaced(text: str, tables: Mapping[str, str]) -> str:
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def main() -> None:
    for path, text in pages().items():
        if "--check" not in sys.argv:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path.name} does not show the figures of benchmarks/results: run {Path(__file__).name}")


if __name__ == "__main__":
    main()
