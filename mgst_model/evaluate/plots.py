"""Plots of scores as PNG: ROC curves, histograms, robustness, p-values and abstention."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mgst_data.core.errors import printable
from mgst_model.evaluate.metrics import Scored, bootstrap, metrics, roc
from mgst_model.evaluate.reliability import Abstention
from mgst_model.evaluate.robustness import Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with colour blindness. Yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_INK, _FAINT = "#333333", "#BBBBBB"
_DPI = 150


def roc_png(curves: Mapping[str, Scored], *, title: str = "", resamples: int = 1000, seed: int = 0) -> bytes:
    """Plots ROC curves, with their AUCs and 95 % confidence intervals in the legend.

    Args:
        curves: Scores and labels by name, in the order of the legend. Each has both classes.
        title: Title above the axes.
        resamples: Number of bootstrap resamples; 0 for no intervals. The bootstrap assumes independent scores, so do
            not use it for scores of frames.
        seed: Seed of the bootstrap.

    Returns:
        The PNG file.

    Raises:
        ValueError: if there is no curve, or a curve has only one class.
        ImportError: if Matplotlib, scikit-learn or SciPy is not installed.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    for name, scored in curves.items():
        if not 0 < scored.labels.sum() < len(scored.labels):
            raise ValueError(f"{name}: a ROC curve needs real and fake scores")
    figure, axes = _figure(5.2, 5.4 + 0.26 * len(curves))
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (1, 2)))
    for number, (name, scored) in enumerate(curves.items()):
        (line,) = axes.plot(*roc(scored), linewidth=1.8, label=_label(name, scored, resamples, seed))
        line.set(color=COLOURS[number % len(COLOURS)], linestyle=_DASHES[number % len(_DASHES)])
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=printable(title))
    axes.set_xlabel("false-positive rate (real videos called fake)")
    axes.set_ylabel("true-positive rate (fake videos called fake)")
    axes.grid(color=_FAINT, linewidth=0.4)
    _legend_below(axes, columns=1)
    return _png(figure)


def histogram_png(scored: Scored, *, title: str = "", threshold: float = 0.5, bins: int = 40) -> bytes:
    """Plots histograms of the scores of real and of fake samples, each as a share of its class.

    Args:
        scored: Scores in [0, 1] and labels. One class may be missing.
        title: Title above the axes.
        threshold: Threshold, drawn as a line.
        bins: Number of bins between 0 and 1.

    Returns:
        The PNG file.

    Raises:
        ValueError: if there is no score, or a score is outside [0, 1].
        ImportError: if Matplotlib is not installed.
    """
    if not len(scored.scores) or scored.scores.min() < 0 or scored.scores.max() > 1:
        raise ValueError("a histogram needs at least one score, and all scores in [0, 1]")
    figure, axes = _figure(6.4, 4.0)
    edges = [number / bins for number in range(bins + 1)]
    for name, scores, colour, hatch in zip(("real", "fake"), scored.split(), COLOURS, ("", "///"), strict=False):
        if not len(scores):
            continue
        label = f"{name} (n = {len(scores):,})"
        weights = np.full(len(scores), 1 / len(scores))
        axes.hist(scores, edges, weights=weights, histtype="stepfilled", facecolor=colour, alpha=0.25)
        axes.hist(
            scores, edges, weights=weights, histtype="step", edgecolor=colour, linewidth=1.5, hatch=hatch, label=label
        )
    axes.axvline(threshold, color=_INK, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    axes.set(xlim=(0, 1), title=printable(title))
    axes.set_xlabel("score (higher: more likely fake)")
    axes.set_ylabel("share of the class")
    axes.grid(axis="y", color=_FAINT, linewidth=0.4)
    _legend_below(axes, columns=3)
    return _png(figure)


def robustness_png(found: Sequence[Robustness], *, title: str = "") -> bytes:
    """Plots the AUC by severity: one panel per kind of perturbation, one line per detector.

    All panels share their axes. Severity 0 is the unperturbed videos; the dotted line is chance (0.5).

    Args:
        found: Results of detectors, all measured with the same kinds of perturbation.
        title: Title above the panels.

    Returns:
        The PNG file.

    Raises:
        ValueError: if there is no detector, or the kinds differ.
        ImportError: if Matplotlib is not installed.
    """
    if not found:
        raise ValueError("there is no curve to draw")
    kinds = list(found[0].disturbed)
    if any(list(each.disturbed) != kinds for each in found):
        raise ValueError("the detectors were measured with different perturbations; use the same kinds for all")
    columns = min(4, len(kinds))
    rows = math.ceil(len(kinds) / columns)
    figure = _blank(2.5 * columns + 0.5, 2.3 * rows + 0.6)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel in panels[len(kinds) :]:
        panel.remove()
    areas = [area for each in found for kind in kinds for area in each.curve(kind).values()]
    for number, (axes, kind) in enumerate(zip(panels, kinds, strict=False)):
        for index, each in enumerate(found):
            style = {"linestyle": _DASHES[index % len(_DASHES)], "marker": _MARKERS[index % len(_MARKERS)]}
            colour = COLOURS[index % len(COLOURS)]
            label = printable(f"{each.model}: clean {each.clean:.3f}, mean {each.mean:.3f}")
            curve = each.curve(kind)
            axes.plot(
                list(curve), list(curve.values()), color=colour, linewidth=1.6, markersize=4, label=label, **style
            )
        axes.axhline(0.5, color=_FAINT, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_title(kind.replace("_", " "), fontsize=10)
        axes.set(ylim=(min(0.48, *areas) - 0.02, 1.02), xticks=[0, *found[0].severities])
        axes.grid(color=_FAINT, linewidth=0.4)
        below = number + columns >= len(kinds)
        axes.tick_params(labelbottom=below)
        axes.set(xlabel="severity" if below else "", ylabel="AUC" if number % columns == 0 else "")
        _bare(axes)
    figure.suptitle(printable(title))
    figure.tight_layout()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=9)
    return _png(figure)


def coverage_png(p_values: Mapping[str, Sequence[float]]) -> bytes:
    """Plots the share of real videos with a p-value up to each level. Valid p-values lie on or below the diagonal.

    Args:
        p_values: P-values of real videos, by name of the detector, in the order of the legend.

    Returns:
        The PNG file.

    Raises:
        ValueError: if there is no curve.
        ImportError: if Matplotlib is not installed.
    """
    if not p_values:
        raise ValueError("there is no curve to draw")
    figure, axes = _figure(4.8, 5.0 + 0.26 * len(p_values))
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (1, 2)), label="largest valid share")
    for number, (name, values) in enumerate(p_values.items()):
        levels = [0.0, *sorted(values), 1.0]
        shares = [0.0, *((place + 1) / len(values) for place in range(len(values))), 1.0]
        label = printable(f"{name} (n = {len(values):,})")
        (line,) = axes.step(levels, shares, where="post", linewidth=1.8, label=label)
        line.set(color=COLOURS[number % len(COLOURS)], linestyle=_DASHES[number % len(_DASHES)])
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("p-value")
    axes.set_ylabel("share of real videos with at most this p-value")
    axes.grid(color=_FAINT, linewidth=0.4)
    _legend_below(axes, columns=1)
    return _png(figure)


def abstention_png(curves: Mapping[str, Sequence[Abstention]]) -> bytes:
    """Plots AUC and true-positive rate by the share of the videos that get a verdict.

    Args:
        curves: Abstention curves, by name of the detector, in the order of the legend.

    Returns:
        The PNG file.

    Raises:
        ValueError: if there is no curve.
        ImportError: if Matplotlib is not installed.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    figure, axes = _figure(5.6, 4.0)
    for number, (name, curve) in enumerate(curves.items()):
        colour, shares = COLOURS[number % len(COLOURS)], [point.answered for point in curve]
        for figure_of, dash, what in (("auc", "-", "AUC"), ("tpr_at_5", "--", "TPR at 5 %")):
            values = [getattr(point, figure_of) for point in curve]
            label = printable(f"{name}: {what}")
            axes.plot(shares, [each.value for each in values], dash, color=colour, linewidth=1.8, label=label)
            if figure_of == "auc":
                low, high = [each.low for each in values], [each.high for each in values]
                axes.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
        limits = [point for point in curve if point.limits]
        marks = [point.auc.value for point in limits]
        axes.plot([point.answered for point in limits], marks, "o", color=colour, markersize=6)
    axes.set(ylim=(-0.02, 1.02))
    axes.invert_xaxis()
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel("share of the videos that get a verdict (dot: limits of the calibration)")
    axes.set_ylabel("AUC, true-positive rate")
    axes.grid(color=_FAINT, linewidth=0.4)
    _legend_below(axes, columns=2)
    return _png(figure)


def _label(name: str, scored: Scored, resamples: int, seed: int) -> str:
    auc = metrics(scored.scores, scored.labels).auc
    label = f"{printable(name)}: AUC {auc:.3f}"
    if not resamples:
        return label
    low, high = bootstrap(scored.scores, scored.labels, resamples=resamples, seed=seed).auc
    return label if np.isnan(low) else f"{label} [{low:.3f}, {high:.3f}]"


def _legend_below(axes: Axes, *, columns: int) -> None:
    """Puts the legend below the axes, where it never covers the curves."""
    place, style = (0.5, -0.12), {"frameon": False, "fontsize": 9, "handlelength": 3}
    axes.legend(loc="upper center", bbox_to_anchor=place, ncols=columns, **style)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of the given size in inches, with one pair of axes."""
    figure = _blank(width, height)
    axes = figure.add_subplot()
    _bare(axes)
    return figure, axes


def _blank(width: float, height: float) -> Figure:
    """Returns an empty figure of the given size in inches, outside Matplotlib's global state.

    Raises:
        ImportError: if Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need Matplotlib: pip install 'mgst[train]'") from error
    figure = Figure(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    from matplotlib.text import Text

    made = io.BytesIO()
    for words in figure.findobj(Text):
        words.set_parse_math(False)  # a dollar sign in a name must not start a formula
    # Without the version of Matplotlib, the same scores give a bit-identical file.
    figure.savefig(made, format="png", bbox_inches="tight", metadata={"Software": None})
    return made.getvalue()
