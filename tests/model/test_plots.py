"""Plots show the measured values, leave no global state, and name missing libraries."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import videos
from PIL import Image

from mgst_model.evaluate import plots
from mgst_model.evaluate.metrics import Scored, metrics
from mgst_model.evaluate.plots import COLOURS, histogram_png, roc_png


def scored(real: int = 40, fake: int = 40, **options: float) -> Scored:
    return Scored.of(*videos.draw(real, fake, **options))


def picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has_colour(image: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(image.astype(int) - wanted).max(axis=2) < 8).sum() > 20)


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Collects the figures of the PNG files."""
    made, real = [], plots._png
    monkeypatch.setattr(plots, "_png", lambda figure: made.append(figure) or real(figure))
    return made


def test_a_curve_has_its_area_and_interval_in_the_legend(drawn):
    curves = {"ours": scored(apart=2.0), "baseline": scored(seed=1, apart=0.5)}
    image = picture(roc_png(curves, title="cross data set", resamples=100))
    assert has_colour(image, COLOURS[0])
    assert has_colour(image, COLOURS[1])
    assert not has_colour(image, COLOURS[2])
    (axes,) = drawn[0].axes
    for (name, each), label in zip(curves.items(), axes.get_legend_handles_labels()[1], strict=True):
        assert label.startswith(f"{name}: AUC {metrics(*each).auc:.3f} [0.")
    assert axes.get_title() == "cross data set"


def test_curves_are_distinguishable_without_colours(drawn):
    roc_png({str(i): scored(seed=i) for i in range(8)}, resamples=0)
    styles = {(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].get_lines()[1:]}
    assert len(styles) == 8


def test_a_histogram_shows_both_classes_and_the_threshold(drawn):
    image = picture(histogram_png(scored(30, 90), title="ours", threshold=0.4))
    assert has_colour(image, COLOURS[0])
    assert has_colour(image, COLOURS[1])
    labels = drawn[0].axes[0].get_legend_handles_labels()[1]
    assert sorted(labels) == ["fake (n = 90)", "real (n = 30)", "threshold 0.4"]


def test_a_histogram_of_one_class_is_drawn(drawn):
    histogram_png(scored(10, 0))
    assert sorted(drawn[0].axes[0].get_legend_handles_labels()[1]) == ["real (n = 10)", "threshold 0.5"]


def test_the_same_scores_give_the_same_bytes():
    assert roc_png({"a": scored()}, resamples=20) == roc_png({"a": scored()}, resamples=20)
    assert histogram_png(scored()) == histogram_png(scored())


def test_names_are_not_parsed_as_formulas():
    picture(roc_png({"50 $ of\nx^2 $ \\frac{": scored()}, title="a_$_b $", resamples=0))
    picture(histogram_png(scored(), title="$x^"))


def test_no_global_state_is_left_behind():
    before = dict(mpl.rcParams)
    histogram_png(scored())
    assert dict(mpl.rcParams) == before


def test_plot_libraries_are_imported_on_first_use_and_pyplot_never():
    code = """if True:
        import sys
        from mgst_model.evaluate import metrics, plots
        print([name for name in ("matplotlib", "sklearn", "scipy") if name in sys.modules])
        plots.histogram_png(metrics.Scored.of([0.5], [0]))
        print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]


def test_invalid_data_is_rejected():
    with pytest.raises(ValueError, match="no curve"):
        roc_png({})
    with pytest.raises(ValueError, match="a: a ROC curve needs real and fake"):
        roc_png({"a": scored(5, 0)})
    for scores in ([], [1.5]):
        with pytest.raises(ValueError, match="all scores in"):
            histogram_png(Scored.of(scores, [0] * len(scores)))


def test_a_missing_library_is_reported_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"mgst\[train\]"):
        histogram_png(scored())
