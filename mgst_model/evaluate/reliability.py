"""Measures whether p-values hold on real videos, and what a detector gains where it leaves out unusual videos."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mgst_data.core import REAL, UsageError
from mgst_model.evaluate.metrics import Interval, bootstrap, metrics
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.resampling import Estimate, Floats, Ints, group_interval
from mgst_model.networks.calibration import BEYOND, Calibration

# Shares of the videos that are answered in an abstention curve, and p-values at which coverage is measured.
ANSWERED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
LEVELS = (0.01, 0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How the p-values of real videos are distributed. Valid ones are at most a in at most the share a of the videos.

    Intervals are over people where the identities of the videos are known, else over videos.

    Attributes:
        p_values: P-value of each real video, ascending.
        people: Number of people, or of videos whose person is not known.
        error: Calibration error: the largest difference between the share of p-values up to a, and a. P-values have
            steps of 1 / (people of the calibration + 1), so that it is not 0 even if all is well.
        excess: The largest amount by which that share is above a: how much too often real videos get a small p-value.
        below: Share of the p-values up to each of the levels 0.01, 0.05, 0.1 and 0.2.
    """

    p_values: tuple[float, ...]
    people: int
    error: Estimate
    excess: Estimate
    below: Mapping[float, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """Metrics if only the most usual videos get a verdict.

    Attributes:
        answered: Share of the videos that get a verdict.
        limits: Whether these are the videos within the limits of the calibration, which ``mgst-predict`` answers.
        auc: AUC on them, with its interval.
        tpr_at_5: True-positive rate at a false-positive rate of 5 % on them, with its interval.
        real: Number of real videos among them.
        fake: Number of fake videos among them.
    """

    answered: float
    limits: bool
    auc: Estimate
    tpr_at_5: Estimate
    real: int
    fake: int


def coverage(predictions: Predictions, *, resamples: int = 1000, seed: int = 0) -> Coverage | None:
    """Computes the p-values of the real videos.

    Args:
        predictions: Scores of a calibrated detector. Videos without a face are left out.
        resamples: Number of bootstrap resamples; 0 for no intervals.
        seed: Seed of the bootstrap.

    Returns:
        The coverage; None if the network has no calibration by person, or there is no real video with a score.

    Raises:
        UsageError: if the calibration is malformed.
    """
    known = _calibrations(predictions)
    reals = [video for video in predictions.videos if video.label == REAL and video.score is not None]
    found = {
        i: p
        for i, video in enumerate(reals)
        if (mine := known.get(_kind(video))) is not None and (p := mine.p_value(float(video.score or 0))) is not None
    }
    if not found:
        return None
    p_values = np.array(list(found.values()))
    groups = [(reals[i].dataset, reals[i].target_key or reals[i].key) for i in found]

    def largest(places: Ints, *, signed: bool) -> float:
        drawn = np.sort(p_values[places])
        at = np.arange(1, len(drawn) + 1) / len(drawn)
        # With ties, the share up to a value counts all of them, and the share below it none.
        last = np.searchsorted(drawn, drawn, side="right") - 1
        first = np.searchsorted(drawn, drawn, side="left")
        above = float((at[last] - drawn).max())
        return max(0.0, above) if signed else max(above, float((drawn - first / len(drawn)).max()))

    def estimate(values: Floats) -> Estimate:
        return group_interval(lambda places: float(values[places].mean()), groups, resamples=resamples, seed=seed)

    options = {"resamples": resamples, "seed": seed}
    return Coverage(
        p_values=tuple(np.sort(p_values).tolist()),
        people=len(set(groups)),
        error=group_interval(lambda places: largest(places, signed=False), groups, **options),
        excess=group_interval(lambda places: largest(places, signed=True), groups, **options),
        below={level: estimate((p_values <= level + 1e-9).astype(np.float64)) for level in LEVELS},
    )


def abstention_curve(predictions: Predictions, *, resamples: int = 1000, seed: int = 0) -> tuple[Abstention, ...]:
    """Computes metrics for falling shares of answered videos: the most unusual ones are left out first.

    How usual a video is, is measured by :meth:`mgst_model.networks.calibration.Calibration.typicality`.

    Args:
        predictions: Scores of a calibrated detector. Videos without a face are left out.
        resamples: Number of bootstrap resamples; 0 for no intervals.
        seed: Seed of the bootstrap.

    Returns:
        One point for each share, and one for the limits of the calibration, from all videos to few. Empty if the
            conditions of the calibration or of the videos are not known. Metrics are NaN where a class is missing.

    Raises:
        UsageError: if the calibration is malformed.
    """
    known = _calibrations(predictions)
    usual = [
        (known[kind].typicality(video.conditions), video)
        for video in predictions.videos
        if video.score is not None and video.conditions and (kind := _kind(video)) in known and known[kind].conditions
    ]
    if not usual:
        return ()
    usual.sort(key=lambda pair: (-pair[0], pair[1].dataset, pair[1].key))
    within = sum(value >= BEYOND for value, _ in usual)
    counts = {(max(1, round(share * len(usual))), False) for share in ANSWERED} | (
        {(within, True)} if within else set()
    )
    made = []
    for count, limits in sorted(counts, reverse=True):
        some = replace(predictions, videos=tuple(video for _, video in usual[:count]))
        made.append(_point(some, count / len(usual), limits, resamples, seed))
    return tuple(made)


def _point(some: Predictions, answered: float, limits: bool, resamples: int, seed: int) -> Abstention:
    scores, labels = some.scores()
    found = metrics(scores, labels)
    unknown = Interval(math.nan, math.nan)
    ends = bootstrap(scores, labels, resamples=resamples, seed=seed) if resamples else None
    return Abstention(
        answered=answered,
        limits=limits,
        auc=Estimate(found.auc, *(ends.auc if ends else unknown)),
        tpr_at_5=Estimate(found.tpr_at_5, *(ends.tpr_at_5 if ends else unknown)),
        real=found.real,
        fake=found.fake,
    )


def _calibrations(predictions: Predictions) -> dict[str, Calibration]:
    """Returns the calibrations of the network by kind.

    Raises:
        UsageError: if one is malformed.
    """
    card = predictions.info.get("network")
    found = {}
    for kind in ("videos", "pictures"):
        try:
            one = Calibration.read(card, kind) if isinstance(card, Mapping) else None
        except ValueError as error:
            hint = "score the videos again, or calibrate the network again with mgst-calibrate"
            raise UsageError(f"the calibration of the network is damaged: {error}", hint=hint) from error
        if one is not None:
            found[kind] = one
    return found


def _kind(video: VideoScore) -> str:
    return "pictures" if len(video.frames) == 1 else "videos"
