"""Computes the results: AUC by kind of fake with confidence intervals, over seeds, as a table and a plot."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from mgst_data.core import FAKE, REAL
from mgst_model.evaluate.differences import group_difference
from mgst_model.evaluate.metrics import bootstrap, metrics, pair_accuracy
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.protocols import Group

from .data import DATASET

OURS = "ours"
KINDS = ("autoencoder swap", "graphics swap", "generator")
SWAPS = "all swaps"


def figures(
    predictions: Mapping[tuple[str, int], Predictions], seconds: Mapping[tuple[str, int], float]
) -> dict[str, Any]:
    """Computes the AUC of each kind of fake against all real test videos.

    Args:
        predictions: Predictions by variant and seed.
        seconds: Training time by variant and seed, seconds.

    Returns:
        For each variant: the figures of every seed, their mean and standard deviation, the mean bounds of their 95 %
        bootstrap intervals over videos, and the mean training time in minutes. For variants other than ours,
        "beyond_ours": the mean AUC over the seeds minus that of ours, with a paired 95 % interval over videos.
    """
    variants: dict[str, Any] = {}
    for variant in dict.fromkeys(name for name, _ in predictions):
        mine = {seed: one for (name, seed), one in predictions.items() if name == variant}
        by_seed = {str(seed): {kind: _auc(one, kind) for kind in (*KINDS, SWAPS)} for seed, one in mine.items()}
        together = {}
        for kind in (*KINDS, SWAPS):
            values = [row[kind]["auc"] for row in by_seed.values()]
            pairs = [row[kind]["pairs"] for row in by_seed.values() if row[kind]["pairs"] is not None]
            together[kind] = {
                "auc": round(statistics.fmean(values), 4),
                "deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
                "interval": [
                    round(statistics.fmean(row[kind]["interval"][end] for row in by_seed.values()), 4) for end in (0, 1)
                ],
                "pairs": round(statistics.fmean(pairs), 4) if pairs else None,
            }
        minutes = statistics.fmean(taken for (name, _), taken in seconds.items() if name == variant) / 60
        variants[variant] = {"mean": together, "seeds": by_seed, "minutes": round(minutes, 1)}
        ours = [predictions[OURS, seed] for seed in mine if (OURS, seed) in predictions]
        if variant != OURS and len(ours) == len(mine):
            variants[variant]["beyond_ours"] = {
                kind: [round(number, 4) for number in group_difference([*mine.values()], ours, _group(kind))]
                for kind in (*KINDS, SWAPS)
            }
    return {"variants": variants}


def _group(kind: str) -> Group:
    return Group(name=kind, dataset=(DATASET,), method=KINDS[:2] if kind == SWAPS else (kind,))


def _auc(predictions: Predictions, kind: str) -> dict[str, Any]:
    chosen = _group(kind).select(predictions)
    scores, labels = chosen.scores()
    interval = bootstrap(scores, labels).auc
    pairs = chosen.pairs()
    return {
        "auc": round(metrics(scores, labels).auc, 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "pairs": round(pair_accuracy(*pairs.split()), 4) if len(pairs.scores) else None,
        "fakes": len(chosen.select(label=FAKE)),
        "reals": len(chosen.select(label=REAL)),
    }


def table(found: Mapping[str, Any]) -> Table:
    """Returns the table for the terminal."""
    shown = Table("variant", *(*KINDS, SWAPS), "swaps, minus ours", "fake scores above paired real video", "minutes")
    for variant, result in found["variants"].items():
        cells = [
            f"{mean['auc']:.3f} [{mean['interval'][0]:.2f}, {mean['interval'][1]:.2f}]"
            for mean in result["mean"].values()
        ]
        pairs = result["mean"][SWAPS]["pairs"]
        cells.append(beyond_ours(result))
        shown.add_row(variant, *cells, "" if pairs is None else f"{pairs:.0%}", f"{result['minutes']:.0f}")
    return shown


def beyond_ours(result: Mapping[str, Any]) -> str:
    """Returns the cell with the difference to ours on all swaps; empty for ours."""
    if "beyond_ours" not in result:
        return ""
    value, low, high = result["beyond_ours"][SWAPS]
    return f"{value:+.3f} [{low:+.2f}, {high:+.2f}]"


def plot(found: Mapping[str, Any]) -> bytes:
    """Plots one panel per kind of fake, with a 95 % interval per variant and a dot per seed; returns a PNG."""
    kinds, variants = (*KINDS, SWAPS), list(found["variants"])
    figure = Figure(figsize=(3.2 * len(kinds), 0.5 * len(variants) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(kinds), sharey=True)
    for panel, kind in zip(panels, kinds, strict=True):
        for row, variant in enumerate(variants):
            result = found["variants"][variant]
            mean = result["mean"][kind]
            colour = "#0072B2" if variant == "ours" else "#888888"
            panel.plot(mean["interval"], [row, row], color=colour, linewidth=2, alpha=0.6)
            seeds = [one[kind]["auc"] for one in result["seeds"].values()]
            panel.plot(seeds, [row] * len(seeds), "o", color=colour, markersize=3)
            panel.plot([mean["auc"]], [row], "D", color=colour, markersize=7)
        panel.axvline(0.5, color="#bbbbbb", linewidth=1, linestyle=":")
        panel.set(xlim=(0, 1.02), xlabel="AUC", title=kind)
        panel.set_yticks(range(len(variants)), variants)
    panels[0].invert_yaxis()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
