"""Converts evaluations to table rows, and rows to Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from mgst_model.evaluate.metrics import FIGURES, Intervals, Metrics
from mgst_model.evaluate.protocols import Evaluation
from mgst_model.evaluate.resampling import Estimate

Cell = str | int | float | Estimate | None
Row = dict[str, Cell]


def group_rows(evaluation: Evaluation) -> list[Row]:
    """Returns a row per group with all metrics of one detector, then their average. Missing groups have None.

    If the network knows videos of a group, the column "seen" counts them.

    Args:
        evaluation: Evaluation of one detector.
    """
    rows = [
        _row(group.name, group.metrics, group.intervals) | {"no face": group.faceless} for group in evaluation.groups
    ]
    if len(rows) > 1:
        faceless: Row = {"no face": sum(group.faceless for group in evaluation.groups)}
        rows.append(_row(evaluation.average_name, evaluation.average, None) | faceless)
    if any(group.seen for group in evaluation.groups):
        seen = [*(group.seen for group in evaluation.groups), ""]
        rows = [row | {"seen": text} for row, text in zip(rows, seen, strict=False)]
    return rows


def comparison(evaluations: Sequence[Evaluation], *, figure: str = "auc") -> list[Row]:
    """Returns a row per detector: a column per group, then the average.

    Args:
        evaluations: Evaluations by the same protocol, in the order of the rows.
        figure: Metric: "auc", "ap", "eer" or "accuracy".

    Raises:
        ValueError: if the protocols differ, some evaluations count videos and others frames, or the metric is unknown.
    """
    if figure not in FIGURES:
        raise ValueError(f"figure must be one of {', '.join(FIGURES)}, got {figure!r}")
    if len({(each.protocol, each.level, each.missing) for each in evaluations}) > 1:
        raise ValueError("evaluations by different protocols cannot be compared; use one protocol for all")
    rows: list[Row] = []
    for each in evaluations:
        cells = {group.name: _cell(group.metrics, group.intervals, figure) for group in each.groups}
        # The column has the same name for all detectors, although some averages may lack groups.
        average: Row = {"average": _cell(each.average, None, figure)} if len(cells) > 1 else {}
        note: Row = {"without": ", ".join(each.lacking)} if any(other.lacking for other in evaluations) else {}
        known = "; ".join(f"{group.name}: {group.seen}" for group in each.groups if group.seen)
        seen: Row = {"seen": known} if any(group.seen for other in evaluations for group in other.groups) else {}
        rows.append({"model": each.model, **cells, **average, **note, **seen})
    return rows


def text(cell: Cell, *, digits: int = 3) -> str:
    """Formats a cell for people. Intervals are in brackets; a missing value is a dash.

    Args:
        cell: Value of the cell.
        digits: Number of decimal places.
    """
    if isinstance(cell, Estimate):
        if math.isnan(cell.low):
            return text(cell.value, digits=digits)
        return f"{cell.value:.{digits}f} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)


def markdown(rows: Sequence[Row], *, digits: int = 3) -> str:
    """Formats rows as a Markdown table with numbers aligned right.

    Args:
        rows: Rows with the same columns.
        digits: Number of decimal places.
    """
    if not rows:
        return ""
    names = list(rows[0])
    left = [all(isinstance(row[name], str) for row in rows) for name in names]
    lines = [names, [":--" if is_left else "--:" for is_left in left]]
    lines += [[text(row[name], digits=digits).replace("|", "\\|").replace("\n", " ") for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_text(rows: Sequence[Row]) -> str:
    """Formats rows as CSV with all digits. An interval takes two more columns, ``NAME_low`` and ``NAME_high``.

    Args:
        rows: Rows with the same columns.
    """
    if not rows:
        return ""
    columns: list[tuple[str, str]] = []
    for name in rows[0]:
        columns.append((name, "value"))
        if any(isinstance(row[name], Estimate) for row in rows):
            columns += [(name, "low"), (name, "high")]
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow([name if part == "value" else f"{name}_{part}" for name, part in columns])
    writer.writerows([_part(row[name], part) for name, part in columns] for row in rows)
    return made.getvalue()


def _part(cell: Cell, part: str) -> str | int | float | None:
    found = getattr(cell, part) if isinstance(cell, Estimate) else cell if part == "value" else None
    return None if isinstance(found, float) and math.isnan(found) else found


def _row(name: str, found: Metrics | None, intervals: Intervals | None) -> Row:
    figures: Row = {figure: _cell(found, intervals, figure) for figure in FIGURES}
    counts: Row = {"real": found.real, "fake": found.fake} if found else {"real": None, "fake": None}
    return {"group": name, **figures, **counts}


def _cell(found: Metrics | None, intervals: Intervals | None, figure: str) -> float | Estimate | None:
    if found is None:
        return None
    value = float(getattr(found, figure))
    return value if intervals is None else Estimate(value, *getattr(intervals, figure))
