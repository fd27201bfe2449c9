"""Writes the figures of the simulated cluster for the page about several machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
# What a reader is shown of the ways to run.
WAYS = {
    "queue": "Ray, machines are kept",
    "queue, losses, folder": "Ray, machines are lost, one folder",
    "queue, losses, URL": "Ray, machines are lost, URL",
    "parts": "parts, machines are kept",
    "parts, losses, URL": "parts, machines are lost, URL",
}
USUAL = 16


def tables(result: Mapping[str, Any] | None) -> str:
    """Wall time, efficiency and cost by number of workers, the best shard sizes, and the check against real runs.

    Args:
        result: The result file; None if there is none.
    """
    if result is None:
        return "Not simulated yet."
    figures = result["figures"]
    rows: Sequence[Row] = figures["rows"]
    parts = [_by_workers(rows, figures["assumed"]["price"]), _sizes(figures["best"]), _checks(figures["checks"])]
    return "\n\n".join(part for part in parts if part)


def _by_workers(rows: Sequence[Row], price: float) -> str:
    lines = [
        f"With {USUAL} videos per shard (the default):",
        "",
        "| data set | workers | way | hours | efficiency | worker hours | cost |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        if row["per_shard"] == USUAL and row["way"] in ("queue", "queue, losses, URL", "parts"):
            ends = "" if row["ends_on_ray"] else " (the run ends with an error)"
            lines.append(
                f"| {row['dataset']} | {row['workers']:,} | {WAYS[row['way']]}{ends} | {_hours(row['wall_hours'])} | "
                f"{row['efficiency']:.0%} | {row['worker_hours']:,.0f} | {row['cost']:,.0f} |"
            )
    return "\n".join([*lines, "", f"The cost is {price:g} for an hour of a worker (`--price`)."])


def _sizes(best: Sequence[Row]) -> str:
    workers = sorted({row["workers"] for row in best})
    lines = [
        "The largest number of videos per shard whose wall time is at most 5 % longer than that of the best one, by "
        "number of workers:",
        "",
        f"| data set | way | {' | '.join(f'{number:,}' for number in workers)} |",
        f"|---|---|{'--:|' * len(workers)}",
    ]
    sizes = {(row["dataset"], row["way"], row["workers"]): row["per_shard"] for row in best}
    for name, way in dict.fromkeys((row["dataset"], row["way"]) for row in best):
        cells = (str(sizes.get((name, way, number), "")) for number in workers)
        lines.append(f"| {name} | {WAYS[way]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _checks(checks: Sequence[Row]) -> str:
    if not checks:
        return ""
    lines = [
        "The simulation against real runs on the demo data set, with the durations of the same run. The time to start "
        "a worker is that of the run with one process, so this run agrees by definition:",
        "",
        "| processes | videos | measured, s | simulated, s | difference |",
        "|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['workers']} | {row['videos']} | {row['measured']:.1f} | {row['simulated']:.1f} | "
        f"{row['difference']:+.1%} |"
        for row in checks
    ]
    return "\n".join(lines)


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"
