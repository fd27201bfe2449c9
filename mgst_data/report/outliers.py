"""Finds tracks that are unlike the others, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mgst_data.report.tracks import TrackFacts

# A value is an outlier if its robust z-score is above this: the distance from the median, in units of 1.4826 times the
# median absolute deviation, which is the standard deviation of a normal distribution. Iglewicz and Hoaglin (1993) use
# 3.5 for single values. The limit is ours: each track has eight values.
LIMIT = 5.0
_NORMAL = 1.4826
# Fewer tracks have no meaningful spread.
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class _Feature:
    """A number of a track. ``floor`` is the smallest standard deviation that it is taken to have."""

    name: str
    words: str
    floor: float
    logarithm: bool = False
    low: bool = True
    high: bool = True
    magnitude: bool = False


_FEATURES = (
    _Feature("face", "face size", 0.1, logarithm=True),
    _Feature("sharpness", "sharpness", 0.1, logarithm=True),
    _Feature("score", "face probability", 0.01, high=False),
    _Feature("doubt", "landmark doubt", 0.01, low=False),
    _Feature("jitter", "landmark jitter", 0.002, low=False),
    _Feature("yaw", "yaw", 4.0, low=False, magnitude=True),
    _Feature("pitch", "pitch", 4.0),
    _Feature("roll", "roll", 4.0),
)


def outliers(tracks: Sequence[TrackFacts]) -> list[dict[str, float]]:
    """Finds the values of tracks that are far from the median of all tracks.

    Face size and sharpness are compared as logarithms. Only a low face probability, and only a high landmark doubt,
    landmark jitter and yaw to either side are outliers.

    Args:
        tracks: All tracks. With fewer than 8, none is an outlier.

    Returns:
        For each track, the robust z-scores above ``LIMIT`` by name of the value ("face size", ...); mostly empty.
    """
    found: list[dict[str, float]] = [{} for _ in tracks]
    for feature in _FEATURES:
        raw = [getattr(track, feature.name) for track in tracks]
        values = np.array([np.nan if value is None else value for value in raw], dtype=float)
        if feature.logarithm:
            values = np.log(np.maximum(values, 1e-3))
        if feature.magnitude:
            values = np.abs(values)
        known = ~np.isnan(values)
        if known.sum() < _FEWEST:
            continue
        middle = np.median(values[known])
        spread = max(_NORMAL * float(np.median(np.abs(values[known] - middle))), feature.floor)
        scores = (values - middle) / spread
        for i in np.flatnonzero(known & (np.abs(scores) > LIMIT)):
            if feature.high if scores[i] > 0 else feature.low:
                found[i][feature.words] = round(float(abs(scores[i])), 1)
    return found
