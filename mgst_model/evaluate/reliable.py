"""Results for calibrated networks: whether p-values hold on real videos, and metrics without unusual videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mgst_data.core.errors import printable
from mgst_model.evaluate.plots import abstention_png, coverage_png
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.reliability import Abstention, Coverage, abstention_curve, coverage
from mgst_model.evaluate.resampling import Estimate
from mgst_model.evaluate.tables import Row, markdown

COVERAGE = "p-values of real videos"
CURVE = "metrics by share of videos with a verdict"
_COVERAGE_NOTE = (
    "Valid p-values are at most a in at most the share a of the real videos. error: largest difference between this "
    "share and a; excess: largest amount by which it is above a. Intervals are over people where they are known."
)
_CURVE_NOTE = (
    "The videos that are most unlike the calibration are left out first. The row with limits has the videos that "
    "mgst-predict gives a verdict for."
)


@dataclass(frozen=True, slots=True)
class Reliable:
    """The results of one calibrated detector.

    Attributes:
        model: Name of the detector.
        coverage: P-values of the real videos; None if there are none.
        curve: Metrics by share of answered videos; empty if the conditions are not known.
    """

    model: str
    coverage: Coverage | None
    curve: tuple[Abstention, ...]


def measure_reliability(predictions: Sequence[Predictions], *, resamples: int, seed: int) -> tuple[Reliable, ...]:
    """Measures the calibrated detectors. The others are left out.

    Args:
        predictions: Scores of every detector.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Seed of the bootstrap.
    """
    options = {"resamples": resamples, "seed": seed}
    found = (Reliable(one.model, coverage(one, **options), abstention_curve(one, **options)) for one in predictions)
    return tuple(one for one in found if one.coverage or one.curve)


def coverage_rows(found: Sequence[Reliable]) -> list[Row]:
    """Returns a row for each detector with p-values."""
    return [
        {
            "model": printable(one.model),
            "real": len(one.coverage.p_values),
            "people": one.coverage.people,
            "error": one.coverage.error,
            "excess": one.coverage.excess,
            **{f"p <= {level:g}": share for level, share in one.coverage.below.items()},
        }
        for one in found
        if one.coverage
    ]


def curve_rows(found: Sequence[Reliable]) -> list[Row]:
    """Returns a row for each detector and share of answered videos."""
    return [
        {
            "model": printable(one.model),
            "with a verdict": f"{point.answered:.0%}{' (limits)' * point.limits}",
            "auc": point.auc,
            "tpr_at_5": point.tpr_at_5,
            "real": point.real,
            "fake": point.fake,
        }
        for one in found
        for point in one.curve
    ]


def tables(found: Sequence[Reliable]) -> list[tuple[str, str, list[Row]]]:
    """Returns caption, note and rows of the tables that have rows."""
    both = [(COVERAGE, _COVERAGE_NOTE, coverage_rows(found)), (CURVE, _CURVE_NOTE, curve_rows(found))]
    return [table for table in both if table[2]]


def markdown_lines(found: Sequence[Reliable]) -> list[str]:
    """Returns the lines of ``table.md``."""
    return [line for caption, note, rows in tables(found) for line in (f"## {caption}", "", note, "", markdown(rows))]


def pictures(found: Sequence[Reliable]) -> dict[str, bytes]:
    """Returns plots by file name."""
    p_values = {one.model: one.coverage.p_values for one in found if one.coverage}
    curves = {one.model: one.curve for one in found if one.curve}
    made = {"p-values.png": coverage_png(p_values)} if p_values else {}
    return made | ({"abstention.png": abstention_png(curves)} if curves else {})


def as_json(found: Sequence[Reliable]) -> list[dict[str, Any]]:
    """Returns the entries for JSON: each figure is a list of its value and the ends of its interval."""
    made = []
    for one in found:
        about: dict[str, Any] = {"model": printable(one.model)}
        if one.coverage:
            about["p_values"] = {
                "real": len(one.coverage.p_values),
                "people": one.coverage.people,
                "error": _numbers(one.coverage.error),
                "excess": _numbers(one.coverage.excess),
                "at_most": {f"{level:g}": _numbers(share) for level, share in one.coverage.below.items()},
            }
        if one.curve:
            about["abstention"] = [_point(point) for point in one.curve]
        made.append(about)
    return made


def _point(point: Abstention) -> Mapping[str, Any]:
    counts = {"answered": round(point.answered, 4), "limits": point.limits, "real": point.real, "fake": point.fake}
    return {**counts, "auc": _numbers(point.auc), "tpr_at_5": _numbers(point.tpr_at_5)}


def _numbers(values: Estimate) -> list[float | None]:
    """Replaces NaN by None, because JSON has no NaN."""
    return [None if math.isnan(value) else value for value in values]
