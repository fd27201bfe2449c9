"""The figures of the page "What a score means": whether p-values hold, and what maps of the face hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MISSING = "Not measured yet: run `benchmarks/bench_calibration.py` and `benchmarks/bench_maps.py`."


def figures(calibration: Mapping[str, Any] | None, maps: Mapping[str, Any] | None) -> str:
    """Returns the tables of both benchmarks; a note for those that have not run.

    Args:
        calibration: Result of ``bench_calibration.py``.
        maps: Result of ``bench_maps.py``.
    """
    parts = [_coverage(calibration["figures"]) if calibration else "", _maps(maps["figures"]) if maps else ""]
    return "\n\n".join(part for part in parts if part) or _MISSING


def _coverage(found: Mapping[str, Any]) -> str:
    lines = [
        "Real people who are not in the calibration, with the weights of the package. Valid p-values are at most 5 % "
        "in at most 5 % of them, and so on.",
        "",
        "| calibrated and measured with | people | p ≤ 0.05 | p ≤ 0.1 | p ≤ 0.2 | with a verdict |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, each in found.items():
        people = each["people"] if "people" in each else each["measured"]["people"]
        shares = [*each["p_value_at_most"].values(), each["answered"]]
        lines.append(f"| {name} | {people} | {' | '.join(map(_share, shares))} |")
    known = next(iter(found.values()))["calibration"]
    lines += ["", f"The clips of val are {known['videos']} of {known['people']} people: the smallest p-value is "
              f"{1 / (known['people'] + 1):.3f}. Brackets are 95 % intervals over people. Halves: people divided at "
              "random many times, one half calibrates, a video of each person of the other is measured."]  # fmt: skip
    return "\n".join(lines)


def _maps(found: Mapping[str, Any]) -> str:
    lines = [
        "Maps of `--explain` on blends of real clips of val, whose mask is known. A map hits if its highest point is "
        "inside the mask.",
        "",
        "| blends | hits | a random point | the middle of the crop | map of another blend | share of the map inside |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    names = ("hit", "area", "hit_of_the_middle", "hit_of_another_map", "inside")
    for preset, rows in found.items():
        if isinstance(rows, Mapping):
            lines += [
                f"| {preset}, {what} ({rows[row]['blends']}) | {' | '.join(_share(rows[row][n]) for n in names)} |"
                for row, what in (("all", "all"), ("above_threshold", "called fake"))
            ]
    hits = [rows["all"] for rows in found.values() if isinstance(rows, Mapping)]
    better = all(row["hit"][1] > row["hit_of_another_map"][0] for row in hits)
    where = (
        "They hit more often than the map of another blend: they show where this blend is."
        if better
        else "They hit more often than a random point, but not more often than the middle of the crop or the map of "
        "another blend: they show that the network looks at the face, not where this blend is."
    )
    ranks = ", ".join(f"{row['correlation_with_randomised'][0]:+.2f}" for row in hits)
    return "\n".join([*lines, "", f"{where} With shuffled weights the maps change (rank correlation {ranks})."])


def _share(value: float | Sequence[float | None]) -> str:
    if isinstance(value, int | float):
        return f"{100 * value:.0f} %"
    share, low, high = value
    ends = "" if low is None or high is None else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * (share or 0):.0f} %{ends}"
