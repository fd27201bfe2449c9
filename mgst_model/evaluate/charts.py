"""The charts of the page of an evaluation, as figures of Plotly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mgst_data.core.errors import printable
from mgst_data.html import Chart
from mgst_model.evaluate.metrics import Scored, metrics
from mgst_model.evaluate.plots import COLOURS
from mgst_model.evaluate.protocols import Evaluation
from mgst_model.evaluate.resampling import Estimate, library
from mgst_model.evaluate.robustness import Robustness
from mgst_model.evaluate.tables import Row

_DASHES = ("solid", "dash", "dashdot", "dot")
# The black of the other plots cannot be seen on a dark page.
_COLOURS = COLOURS[:-1]
_GREY = "#808080"
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
_BINS = 40


def roc_chart(title: str, curves: Mapping[str, Scored]) -> Chart:
    """Returns ROC curves; each point shows its threshold.

    Args:
        title: What the curves are about.
        curves: Scores and labels by name, each with both classes.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    traces = [_chance()]
    for number, (name, scored) in enumerate(curves.items()):
        alarms, hits, thresholds = library("sklearn.metrics").roc_curve(scored.labels, scored.scores)
        auc = metrics(scored.scores, scored.labels).auc
        said = ["above all scores" if math.isinf(one) else f"from score {one:.3f}" for one in thresholds.tolist()]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{printable(name)}: AUC {auc:.3f}",
                "x": alarms.round(5).tolist(),
                "y": hits.round(5).tolist(),
                "text": said,
                "line": {"color": _colour(number), "dash": _DASHES[number % len(_DASHES)], "width": 2},
                "hovertemplate": f"{printable(name)}, %{{text}}:<br>%{{x:.1%}} of the real called fake,"
                "<br>%{y:.1%} of the fake called fake<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "false-positive rate"}, "range": [-0.01, 1.01], "zeroline": False},
        "yaxis": {"title": {"text": "true-positive rate"}, "range": [-0.01, 1.01], "zeroline": False},
        "legend": _LEGEND,
    }
    text = (
        "Share of the fake videos called fake, for each share of the real videos called fake. The diagonal is chance."
    )
    return Chart("roc", f"ROC: {printable(title)}", {"data": traces, "layout": layout}, text, 420)


def histogram_chart(name: str, title: str, scored: Scored, threshold: float) -> Chart:
    """Returns the histograms of the scores of real and of fake samples, each as a share of its class.

    Args:
        name: Id of the chart.
        title: Name of the detector.
        scored: Scores in [0, 1] and labels.
        threshold: Threshold, drawn as a line.
    """
    edges = np.linspace(0, 1, _BINS + 1)
    traces = []
    for kind, scores, colour in zip(("real", "fake"), scored.split(), _COLOURS, strict=False):
        if not len(scores):
            continue
        counts = np.histogram(scores, edges)[0]
        traces.append(
            {
                "type": "bar",
                "name": f"{kind} ({len(scores):,})",
                "x": (edges[:-1] + 0.5 / _BINS).round(4).tolist(),
                "y": (counts / len(scores)).round(5).tolist(),
                "width": 1 / _BINS,
                "opacity": 0.65,
                "marker": {"color": colour, "pattern": {"shape": "/" if kind == "fake" else ""}},
                "text": [
                    f"{kind}, score {low:.3f} to {high:.3f}: {count:,} of {len(scores):,}"
                    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
                ],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "barmode": "overlay",
        "shapes": [_line(x0=threshold, x1=threshold, yref="paper", y0=0, y1=1)],
        "xaxis": {"title": {"text": "score (higher: more likely fake)"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "share of the class"}, "tickformat": ".0%"},
        "legend": _LEGEND,
    }
    text = f"Each class by itself. The dashed line is the threshold {threshold:g}."
    return Chart(name, f"Scores: {printable(title)}", {"data": traces, "layout": layout}, text, 300)


def auc_chart(name: str, title: str, evaluations: Sequence[Evaluation]) -> Chart | None:
    """Returns the AUC of every group as bars, one colour for each detector; None if no group was measured.

    Args:
        name: Id of the chart.
        title: What is compared.
        evaluations: Results of the detectors by one protocol.
    """
    traces = []
    for number, one in enumerate(evaluations):
        groups = [group for group in one.groups if group.metrics is not None and not math.isnan(group.metrics.auc)]
        ends = [None if group.intervals is None else group.intervals.auc for group in groups]
        found = [
            Estimate(group.metrics.auc if group.metrics else math.nan, *(end or (math.nan, math.nan)))
            for group, end in zip(groups, ends, strict=True)
        ]
        if groups:
            names = [printable(group.name) for group in groups]
            traces.append(_bars(printable(one.model), names, found, number))
    bars = sum(len(trace["x"]) for trace in traces)
    layout = {
        "barmode": "group",
        # A single bar does not fill the chart.
        "bargap": 0.25 if bars > 3 else 0.6,
        "shapes": [_line(xref="paper", x0=0, x1=1, y0=0.5, y1=0.5)],
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": "AUC"}, "range": [0, 1.02]},
        "showlegend": len(traces) > 1,
        "legend": _LEGEND,
    }
    text = "Higher is better; the dashed line is chance. Thin lines are 95 % confidence intervals."
    return Chart(name, printable(title), {"data": traces, "layout": layout}, text, 320) if traces else None


def difference_chart(name: str, title: str, rows: Sequence[Row]) -> Chart | None:
    """Returns the differences of detectors from the first one, with their intervals; None if there are none.

    Args:
        name: Id of the chart.
        title: What is compared.
        rows: A row for each detector, with an estimate for each group.
    """
    traces = []
    for number, row in enumerate(rows, start=1):
        cells = {
            group: cell for group, cell in row.items() if isinstance(cell, Estimate) and not math.isnan(cell.value)
        }
        if cells:
            style = {"type": "scatter", "mode": "markers"}
            made = _bars(printable(row["model"]), [printable(group) for group in cells], list(cells.values()), number)
            traces.append({**made, **style, "marker": {"color": _colour(number), "size": 9}})
    layout = {
        "shapes": [_line(xref="paper", x0=0, x1=1, y0=0, y1=0)],
        "xaxis": {"type": "category"},
        "yaxis": {"title": {"text": "difference in AUC"}, "zeroline": False},
        "showlegend": len(traces) > 1,
        "legend": _LEGEND,
    }
    text = "Above 0 is better. A difference is significant if its 95 % confidence interval does not contain 0."
    return Chart(name, printable(title), {"data": traces, "layout": layout}, text, 300) if traces else None


def robustness_charts(found: Sequence[Robustness]) -> list[Chart]:
    """Returns a chart for each kind of perturbation: the AUC by severity, one colour for each detector.

    Args:
        found: Results of detectors, all measured with the same kinds.
    """
    made: list[Chart] = []
    for kind in found[0].disturbed if found else ():
        traces = []
        for number, each in enumerate(found):
            curve = each.curve(kind)
            names = ["clean" if severity == 0 else str(severity) for severity in curve]
            estimates = [Estimate(auc, math.nan, math.nan) for auc in curve.values()]
            traces.append(_bars(printable(each.model), names, estimates, number))
        layout = {
            "barmode": "group",
            "shapes": [_line(xref="paper", x0=0, x1=1, y0=0.5, y1=0.5)],
            "xaxis": {"title": {"text": "severity"}, "type": "category"},
            "yaxis": {"title": {"text": "AUC"}, "range": [0, 1.02]},
            "showlegend": len(found) > 1,
            "legend": _LEGEND,
        }
        words = kind.replace("_", " ")
        made.append(Chart(f"robustness-{len(made)}", words, {"data": traces, "layout": layout}, "", 240))
    return made


def _bars(name: str, groups: list[str], found: Sequence[Estimate], number: int) -> dict[str, Any]:
    """Returns a bar for each group, with its interval where it is known."""
    made: dict[str, Any] = {
        "type": "bar",
        "name": name,
        "x": groups,
        "y": [round(one.value, 5) for one in found],
        "marker": {"color": _colour(number)},
        "text": [
            f"{one.value:.3f}" if math.isnan(one.low) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
            for one in found
        ],
        "textposition": "none",
        "hovertemplate": f"{name}, %{{x}}: %{{text}}<extra></extra>",
    }
    if not all(math.isnan(one.low) for one in found):
        above = [None if math.isnan(one.high) else round(one.high - one.value, 5) for one in found]
        below = [None if math.isnan(one.low) else round(one.value - one.low, 5) for one in found]
        made["error_y"] = {"type": "data", "symmetric": False, "array": above, "arrayminus": below,
                           "color": _GREY, "thickness": 1.5}  # fmt: skip
    return made


def _chance() -> dict[str, Any]:
    line = {"color": _GREY, "dash": "dot", "width": 1}
    about = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
    return {**about, "x": [0, 1], "y": [0, 1], "line": line}


def _line(**place: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"dash": "dash", "width": 1, "color": _GREY}, **place}


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]
