"""Plots of the experiment: AUC by kind of fake, and the learning curve."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .names import ALL_OTHERS, ALL_SWAPS, GROUPS

_COLOURS = {ALL_SWAPS: "#0072B2", ALL_OTHERS: "#D55E00"}


def kinds_png(found: Mapping[str, Any]) -> bytes:
    """Plots one panel per kind of fake, with a 95 % interval per row and a dot per seed; returns a PNG.

    Args:
        found: Figures of the experiment.
    """
    rows = found["rows"]
    kinds = [kind for kind in GROUPS if any(kind in row["kinds"] for row in rows.values())]
    columns = -(-len(kinds) // 2)
    figure = Figure(figsize=(2.2 * columns + 1, 0.5 * len(rows) + 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, columns, sharey=True, squeeze=False).ravel()
    for panel in panels[len(kinds) :]:
        panel.set_axis_off()
    for panel, kind in zip(panels, kinds, strict=False):
        for place, row in enumerate(rows.values()):
            value, low, high = row["kinds"][kind]["auc"]
            if low is not None:
                panel.plot([low, high], [place, place], color="#0072B2", linewidth=2, alpha=0.5)
            seeds = row["kinds"][kind]["seeds"]
            panel.plot(seeds, [place] * len(seeds), "o", color="#0072B2", markersize=3)
            panel.plot([value], [place], "D", color="#0072B2", markersize=6)
        fakes = next(iter(rows.values()))["kinds"][kind]["fakes"]
        panel.axvline(0.5, color="#999999", linewidth=1, linestyle=":")
        panel.set(xlim=(0, 1.02), xlabel="AUC")
        panel.set_title(f"{kind} ({fakes})", fontsize=9)
        panel.set_yticks(range(len(rows)), rows)
    panels[0].invert_yaxis()
    return _png(figure)


def curve_png(found: Mapping[str, Any]) -> bytes:
    """Plots the AUC over the number of people that a network was trained on; returns a PNG.

    Args:
        found: Figures of the experiment, with rows of the learning curve.
    """
    points = sorted((row for row in found["rows"].values() if row["curve"]), key=lambda row: row["people"])
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for shift, (kind, colour) in zip((0.97, 1.03), _COLOURS.items(), strict=True):
        there = [row for row in points if kind in row["kinds"]]
        people = [row["people"] * shift for row in there]
        estimates = [row["kinds"][kind]["auc"] for row in there]
        axes.plot(people, [value for value, _, _ in estimates], "o-", color=colour, label=kind)
        for place, (_, low, high) in zip(people, estimates, strict=True):
            if low is not None:
                axes.plot([place, place], [low, high], color=colour, alpha=0.4, linewidth=2)
    axes.axhline(0.5, color="#999999", linewidth=1, linestyle=":")
    axes.set(xscale="log", ylim=(0, 1), xlabel="people in training", ylabel=f"AUC on {found['split']}")
    counts = [row["people"] for row in points]
    axes.set_xticks(counts, [f"{count:,.0f}" for count in counts])
    axes.minorticks_off()
    axes.legend(title="95 % intervals over people", fontsize=8, title_fontsize=8)
    return _png(figure)


def calibration_png(found: Mapping[str, Any]) -> bytes:
    """Plots which share of real videos scores above each score; returns a PNG.

    Args:
        found: Figures of the weights.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, above), style in zip(found["shares_above"].items(), ("-", "--", ":"), strict=False):
        axes.plot(found["scores"], above, style, color="#0072B2", label=name)
    axes.axvline(found["threshold"]["score"], color="#D55E00", linewidth=1, label="threshold")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of real videos that score higher")
    axes.legend(fontsize=8)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
