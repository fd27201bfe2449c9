"""Writes the figures of the fault campaigns for the benchmarks page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


def table(name: str, result: Mapping[str, Any] | None) -> str:
    """Returns the table of a campaign, and where it ran; says so if it did not run yet.

    Args:
        name: Name of the campaign, in :data:`TABLES`.
        result: The result file; None if there is none.
    """
    if result is None:
        return "Not measured yet."
    versions, cpu = result["versions"], result["device"]["cpu"]
    where = f"{cpu}, Python {versions['python']}, torch {versions['torch']}, commit `{result['commit']}`"
    lines = [*TABLES[name](result["figures"]), "", f"Measured on: {where}. A + marks uncommitted changes."]
    return "\n".join(lines)


def _kills(figures: Figures) -> list[str]:
    """Kills and losses by command."""
    lines = ["| command | kills | kills of one worker | complete folders | different from an undisturbed run |"]
    lines.append("|---|--:|--:|--:|--:|")
    for row in [*figures["rows"], {"command": "all", **figures["total"]}]:
        losses = row["losses"] if isinstance(row["losses"], int) else len(row["losses"])
        lines.append(f"| {row['command']} | {row['kills']} | {row['worker_kills']} | {row['rounds']} | {losses} |")
    return lines


def _systems(figures: Figures) -> list[str]:
    """Tries and losses by fault of the system."""
    tries, losses = Counter[str](), Counter[str]()
    for row in figures["rows"]:
        tries[row["fault"]] += row["tries"]
        losses[row["fault"]] += len(row["losses"])
    lines = ["| fault | tries | not as documented |", "|---|--:|--:|"]
    return [*lines, *(f"| {fault} | {count} | {losses[fault]} |" for fault, count in tries.items())]


def _same_bytes(figures: Figures) -> list[str]:
    """The hash of each way to extract."""
    lines = ["| way | hash of all files |", "|---|---|"]
    return [*lines, *(f"| {way} | `{digest[:16]}` |" for way, digest in figures["hashes"].items())]


def _broken(figures: Figures) -> list[str]:
    """What became of broken files, by kind of file."""
    lines = ["| kind of file | files | read without harm | refused in one line | skipped with a reason | faults |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    reasons: Counter[str] = Counter()
    for kind, row in figures["kinds"].items():
        counts = " | ".join(f"{row[name]:,}" for name in ("files", "accepted", "refused", "skipped", "fault"))
        lines.append(f"| {kind} | {counts} |")
        reasons.update(row["reasons"])
    limits = figures["limits"]
    named = ", ".join(f"`{reason}` {count:,}" for reason, count in reasons.most_common())
    return [
        *lines,
        "",
        f"{figures['files']:,} files (seed {figures['seed']}); sound neighbours that were not complete, and files"
        f" written outside: {len(figures['lost'])}. Limits: {limits['video_timeout']:g} seconds for each video,"
        f" {limits['worker_memory'] / 1e9:g} GB for each worker; {limits['seconds']} seconds and"
        f" {limits['memory'] / 1e9:g} GB beside the libraries for each other file. Reasons: {named or 'none'}.",
    ]


TABLES: Mapping[str, Callable[[Figures], list[str]]] = {
    "kills": _kills,
    "systems": _systems,
    "same_bytes": _same_bytes,
    "broken": _broken,
}
