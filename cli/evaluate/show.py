"""Writes and prints the results of an evaluation: tables, plots and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from mgst_data.core.errors import printable
from mgst_data.shards.storage import write_atomic
from mgst_model.evaluate.cache import file_name
from mgst_model.evaluate.metrics import FIGURES
from mgst_model.evaluate.plots import histogram_png, robustness_png, roc_png
from mgst_model.evaluate.protocols import GroupResult
from mgst_model.evaluate.reliable import as_json as reliable_json
from mgst_model.evaluate.reliable import markdown_lines, pictures, tables
from mgst_model.evaluate.report import REPORT, write_report
from mgst_model.evaluate.resampling import Estimate
from mgst_model.evaluate.results import Results, of_all_groups
from mgst_model.evaluate.robustness import robustness_rows
from mgst_model.evaluate.tables import Row, comparison, csv_text, group_rows, markdown, text

from ..common.show import line, table

_ROBUSTNESS = "AUC by kind and severity of perturbation"


def write_results(results: Results, out: Path, *, report: bool = True, videos: Sequence[str | Path] = ()) -> list[Path]:
    """Writes tables, plots and the page, and returns the paths of the files.

    Args:
        results: The results.
        out: Output folder; must exist.
        report: Whether to write the page.
        videos: Folders of the data sets, by path or URL, for links of the page to the videos.

    Raises:
        OutputError: if a file cannot be written.
    """
    contents: dict[str, bytes] = {
        "table.md": _markdown(results).encode(),
        "table.csv": csv_text(_all_rows(results)).encode(),
        "roc.png": _roc(results),
    }
    for one in results.predictions:
        scored = results.scores(of_all_groups(one, results.protocols[0]))
        if len(scored.scores):
            name = f"histogram-{file_name(one.model)}.png"
            contents[name] = histogram_png(scored, title=one.model, threshold=results.threshold)
    contents |= pictures(results.reliable)
    if results.robustness:
        rows = robustness_rows(results.robustness)
        title = f"{results.protocols[0].name}: robustness"
        contents |= {
            "robustness.md": f"# {_ROBUSTNESS}\n\n{_robustness_note(results)}\n\n{markdown(rows)}".encode(),
            "robustness.csv": csv_text(rows).encode(),
            "robustness.png": robustness_png(results.robustness, title=title),
        }
    for name, content in contents.items():
        write_atomic(out / name, content)
    files = [out / name for name in contents]
    if report:
        write_report(out / REPORT, results, videos=videos)
        files.append(out / REPORT)
    return files


def show_results(results: Results, files: Sequence[str], *, as_json: bool) -> None:
    """Prints tables and names of files, or one JSON object.

    Args:
        results: The results.
        files: Paths or URLs of the files that were written.
        as_json: Whether to print one JSON object.
    """
    for protocol in results.protocols:
        for one in results.evaluations[protocol.name, results.ways[0]]:
            for group in one.groups:
                if group.lacking:
                    line(f"note: {printable(one.model)}, {group.name}: not measured, no {group.lacking}", err=True)
    if as_json:
        line(json.dumps(_json(results, files), indent=1, allow_nan=False))
        return
    for protocol in results.protocols:
        for way in results.ways:
            evaluations = results.evaluations[protocol.name, way]
            line(f"{results.caption(protocol, way)}" + (": AUC" if len(evaluations) > 1 else ""))
            rows = comparison(evaluations) if len(evaluations) > 1 else group_rows(evaluations[0])
            _print(_plain(rows) if len(evaluations) > 1 else _brief(rows))
            line()
            if differences := results.differences(protocol, way):
                line(f"{results.differences_are}; with 95 % confidence intervals")
                _print(differences)
                line()
    for caption, _, rows in tables(results.reliable):
        line(caption)
        _print(_plain(rows))
        line()
    if results.robustness:
        line(_ROBUSTNESS)
        _print([{name.removeprefix("severity "): cell for name, cell in row.items()}
                for row in robustness_rows(results.robustness)])  # fmt: skip
        line()
    for path in files:
        line(printable(path))


def _print(rows: Sequence[Row]) -> None:
    """Prints a table. In a terminal long cells wrap; elsewhere the table is as wide as its content."""
    names = list(rows[0])
    made = table(names[0], *names[1:])
    for column in made.columns:
        column.no_wrap, column.overflow = False, "fold"
    for row in rows:
        last = row is rows[-1] and str(row[names[0]]).startswith("average")
        made.add_row(*(printable(text(row[name])) for name in names), style="bold" if last else None)
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(made)
    else:
        Console(highlight=False, markup=False, width=1000).print(made)


def _brief(rows: Sequence[Row]) -> list[Row]:
    """Keeps the intervals of the AUC only, and drops an empty column "no face", so that the table fits a terminal."""
    faceless = any(row["no face"] for row in rows)
    kept = [name for name in rows[0] if faceless or name != "no face"]
    return [{name: row[name] if name == "auc" else _value(row[name]) for name in kept} for row in rows]


def _plain(rows: Sequence[Row]) -> list[Row]:
    return [{name: _value(cell) for name, cell in row.items()} for row in rows]


def _value(cell: Any) -> Any:
    return cell.value if isinstance(cell, Estimate) else cell


def _markdown(results: Results) -> str:
    lines = ["# Evaluation", ""]
    intervals = "; brackets hold 95 % confidence intervals of a bootstrap over videos"
    lines += [f"Fakes are the positive class; the threshold is {results.threshold:g}"
              f"{intervals if results.resamples and results.level == 'video' else ''}.", ""]  # fmt: skip
    for protocol in results.protocols:
        lines += [f"## {protocol.name}", "", printable(protocol.description), ""]
        for way in results.ways:
            evaluations = results.evaluations[protocol.name, way]
            if len(evaluations) > 1:
                lines += [f"AUC: {results.caption(protocol, way)}", "", markdown(comparison(evaluations))]
            if differences := results.differences(protocol, way):
                lines += [f"{results.differences_are}, with 95 % confidence intervals of a paired bootstrap; a "
                          "difference is significant if its interval does not contain 0", "",
                          markdown(differences)]  # fmt: skip
            for one in evaluations:
                lines += [f"{printable(one.model)}: {results.caption(protocol, way)}", "", markdown(group_rows(one))]
    lines += markdown_lines(results.reliable)
    if results.robustness:
        lines += [f"## {_ROBUSTNESS}", "", _robustness_note(results), "", markdown(robustness_rows(results.robustness))]
    return "\n".join(lines)


def _robustness_note(results: Results) -> str:
    groups = len(results.protocols[0].groups)
    of = f"Mean over the {groups} groups" if groups > 1 else "Videos"
    return f"{of} of {results.protocols[0].name}. Drop: clean AUC minus the mean AUC over severities."


def _all_rows(results: Results) -> list[Row]:
    return [
        {"model": one.model, "protocol": protocol.name, "missing": way, **row}
        for protocol in results.protocols
        for way in results.ways
        for one in results.evaluations[protocol.name, way]
        for row in group_rows(one)
    ]


def _roc(results: Results) -> bytes:
    title, curves = results.curves()
    resamples = results.resamples if results.level == "video" else 0
    return roc_png(curves, title=title, resamples=resamples, seed=results.seed)


def _json(results: Results, files: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "level": results.level,
        "threshold": results.threshold,
        "evaluations": [
            {
                "model": printable(one.model),
                "protocol": one.protocol,
                "missing": one.missing,
                "groups": [_group(group) for group in one.groups],
                "average": _numbers(asdict(one.average)),
            }
            for several in results.evaluations.values()
            for one in several
        ],
    }
    if differences := [
        {"protocol": protocol.name, "missing": way, "model": printable(row["model"]), "auc": _estimates(row)}
        for protocol in results.protocols
        for way in results.ways
        for row in results.differences(protocol, way)
    ]:
        made["differences"] = {"than": printable(results.predictions[0].model), "rows": differences}
    if results.reliable:
        made["reliability"] = reliable_json(results.reliable)
    if results.robustness:
        made["robustness"] = [
            {
                "model": printable(each.model),
                "clean": _number(each.clean),
                "mean": _number(each.mean),
                "drop": _number(each.drop),
                "auc": {
                    kind: {str(at): _number(auc) for at, auc in some.items()} for kind, some in each.disturbed.items()
                },
            }
            for each in results.robustness
        ]
    return made | {"files": [printable(path) for path in files]}


def _group(group: GroupResult) -> dict[str, Any]:
    made: dict[str, Any] = {"group": group.name, "no_face": group.faceless}
    if group.seen:
        made["seen"] = group.seen
    if group.metrics is None:
        return made | {"lacking": group.lacking}
    made |= _numbers(asdict(group.metrics))
    if group.intervals is not None:
        ends = {figure: [_number(end) for end in getattr(group.intervals, figure)] for figure in FIGURES}
        made["intervals"] = ends
    return made


def _estimates(row: Row) -> dict[str, list[float | None]]:
    """Returns value, lower end and upper end of every group."""
    return {name: [_number(value) for value in cell] for name, cell in row.items() if isinstance(cell, Estimate)}


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    """Replaces NaN by None, because JSON has no NaN."""
    return None if math.isnan(value) else value
