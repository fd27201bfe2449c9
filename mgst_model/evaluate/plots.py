"""Pictures of scores: ROC curves, histograms and robustness, as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mgst_data.core.errors import printable
from mgst_model.evaluate.metrics import Scored, bootstrap, metrics, roc
from mgst_model.evaluate.robustness import Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008): told apart by colour-blind people too. Yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_INK, _FAINT = "#333333", "#BBBBBB"
_DPI = 150


def roc_png(curves: Mapping[str, Scored], *, title: str = "", resamples: int = 1000, seed: int = 0) -> bytes:
    """ROC curves with their areas and 95 % intervals in the legend.

    Args:
        curves: Scores and labels by name, in the order of the legend; each with both classes.
        title: Above the axes.
        resamples: Of the bootstrap; 0 for no intervals. They take scores as independent, so not those of frames.
        seed: Of the bootstrap.

    Raises:
        ValueError: if there is no curve, or one has only one class.
        ImportError: if Matplotlib, scikit-learn or SciPy is not installed.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    for name, scored in curves.items():
        if not 0 < scored.labels.sum() < len(scored.labels):
            raise ValueError(f"{name}: a ROC curve takes real and fake scores")
    figure, axes = _figure(5.2, 5.4 + 0.26 * len(curves))
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (1, 2)))
    for number, (name, scored) in enumerate(curves.items()):
        (line,) = axes.plot(*roc(scored), linewidth=1.8, label=_label(name, scored, resamples, seed))
        line.set(color=COLOURS[number % len(COLOURS)], linestyle=_DASHES[number % len(_DASHES)])
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=printable(title))
    axes.set_xlabel("real taken for fake")
    axes.set_ylabel("fake found")
    axes.grid(color=_FAINT, linewidth=0.4)
    _legend_below(axes, columns=1)
    return _png(figure)


def histogram_png(scored: Scored, *, title: str = "", threshold: float = 0.5, bins: int = 40) -> bytes:
    """Histograms of the scores of reals and of fakes, each as a share of its class.

    Args:
        scored: Scores in [0, 1] and labels; one class may be missing.
        title: Above the axes.
        threshold: Marked by a line.
        bins: Between 0 and 1.

    Raises:
        ValueError: if there is no score, or one lies outside of [0, 1].
        ImportError: if Matplotlib is not installed.
    """
    if not len(scored.scores) or scored.scores.min() < 0 or scored.scores.max() > 1:
        raise ValueError("a histogram takes scores in [0, 1], at least one")
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
    """A panel for each kind of perturbation: area under the ROC curve by severity, a line for each detector.

    All panels share their axes; 0 are the videos as they are, the dotted line is chance.

    Args:
        found: Detectors that were measured with the same kinds.
        title: Above the panels.

    Raises:
        ValueError: if there is no detector, or the kinds differ.
        ImportError: if Matplotlib is not installed.
    """
    if not found:
        raise ValueError("there is no curve to draw")
    kinds = list(found[0].disturbed)
    if any(list(each.disturbed) != kinds for each in found):
        raise ValueError("detectors were measured with different perturbations")
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


def _label(name: str, scored: Scored, resamples: int, seed: int) -> str:
    auc = metrics(scored.scores, scored.labels).auc
    label = f"{printable(name)}: AUC {auc:.3f}"
    if not resamples:
        return label
    low, high = bootstrap(scored.scores, scored.labels, resamples=resamples, seed=seed).auc
    return label if np.isnan(low) else f"{label} [{low:.3f}, {high:.3f}]"


def _legend_below(axes: Axes, *, columns: int) -> None:
    """Below the axes, where it hides nothing however much there is."""
    place, style = (0.5, -0.12), {"frameon": False, "fontsize": 9, "handlelength": 3}
    axes.legend(loc="upper center", bbox_to_anchor=place, ncols=columns, **style)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = _blank(width, height)
    axes = figure.add_subplot()
    _bare(axes)
    return figure, axes


def _blank(width: float, height: float) -> Figure:
    """A figure of so many inches that no global state knows of."""
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
        words.set_parse_math(False)  # a dollar in a name begins no formula
    # Without the version of Matplotlib in it, the same scores give the same bytes.
    figure.savefig(made, format="png", bbox_inches="tight", metadata={"Software": None})
    return made.getvalue()
