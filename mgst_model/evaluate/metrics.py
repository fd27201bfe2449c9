"""Metrics of scores (AUC, AP, EER, accuracy, true-positive rates) and their confidence intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mgst_data.core import seed_for
from mgst_model.evaluate.resampling import Estimate, Floats, Ints, Strata, library


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Metrics of a set of scores, in [0, 1]. Fakes are the positive class.

    If one class is missing, all metrics but accuracy are NaN. Without any score, accuracy is NaN too.

    Attributes:
        auc: Area under the ROC curve: how often a fake scores higher than a real sample. Ties count half.
        ap: Average precision. It depends on the share of fakes.
        eer: Equal error rate: the error rate where false positives and false negatives are equally frequent.
        accuracy: Share of correct decisions at the threshold. It depends on the share of fakes.
        tpr_at_1: Largest share of the fakes above a threshold with at most 1 % of the real samples above it. With fewer
            than 100 real samples, none may be above it.
        tpr_at_5: The same for 5 %.
        real: Number of real samples.
        fake: Number of fake samples.
    """

    auc: float
    ap: float
    eer: float
    accuracy: float
    tpr_at_1: float
    tpr_at_5: float
    real: int
    fake: int


class Interval(NamedTuple):
    """Confidence interval of a metric. NaN if it cannot be computed."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Confidence intervals of the metrics of :class:`Metrics`."""

    auc: Interval
    ap: Interval
    eer: Interval
    accuracy: Interval
    tpr_at_1: Interval
    tpr_at_5: Interval


FIGURES = tuple(field.name for field in dataclasses.fields(Intervals))
# False-positive rates of the true-positive rates.
_RATES = (0.01, 0.05)


class Scored(NamedTuple):
    """Scores and labels of the same samples: videos, or frames.

    Attributes:
        scores: Any numbers; higher means more likely fake.
        labels: 0 real, 1 fake.
    """

    scores: Floats
    labels: Ints

    @staticmethod
    def of(scores: Sequence[float] | Floats, labels: Sequence[int] | Ints) -> Scored:
        """Checks scores and labels, and converts them to arrays.

        Args:
            scores: One finite number per sample; higher means more likely fake.
            labels: One label per sample: 0 real, 1 fake.

        Raises:
            ValueError: if the lengths differ, a score is not finite, or a label is neither 0 nor 1.
        """
        made = Scored(np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64))
        if made.scores.ndim != 1 or made.scores.shape != made.labels.shape:
            raise ValueError(
                f"scores and labels must match and have one dimension, got {made.scores.shape} and {made.labels.shape}"
            )
        if not np.isfinite(made.scores).all():
            raise ValueError("scores must be finite, got NaN or infinity")
        if not np.isin(made.labels, (0, 1)).all():
            raise ValueError("labels must be 0 (real) or 1 (fake)")
        return made

    def split(self) -> tuple[Floats, Floats]:
        """Returns the scores of the real samples and the scores of the fake samples."""
        return self.scores[self.labels == 0], self.scores[self.labels == 1]


def metrics(scores: Sequence[float] | Floats, labels: Sequence[int] | Ints, *, threshold: float = 0.5) -> Metrics:
    """Computes AUC, average precision, equal error rate, accuracy, and true-positive rates.

    The equal error rate is read from the ROC curve, with linear interpolation between its points.

    Args:
        scores: One number per sample; higher means more likely fake.
        labels: 0 real, 1 fake.
        threshold: A score above it means fake. A score equal to it means real.

    Raises:
        ValueError: if scores or labels are invalid, see :meth:`Scored.of`.
        ImportError: if scikit-learn is not installed.
    """
    given = Scored.of(scores, labels)
    fake = int(given.labels.sum())
    real = len(given.labels) - fake
    right = (given.scores > threshold) == (given.labels == 1)
    accuracy = float(right.mean()) if len(right) else math.nan
    if not (real and fake):
        unknown = dict.fromkeys(FIGURES, math.nan) | {"accuracy": accuracy}
        return Metrics(**unknown, real=real, fake=fake)
    learn = library("sklearn.metrics")
    false_alarms, hits = roc(given)
    return Metrics(
        auc=float(learn.roc_auc_score(given.labels, given.scores)),
        ap=float(learn.average_precision_score(given.labels, given.scores)),
        # The difference rises from -1 to 1 along the curve. It is 0 where the false-positive rate equals 1 - hits.
        eer=float(np.interp(0.0, false_alarms + hits - 1, false_alarms)),
        accuracy=accuracy,
        tpr_at_1=true_positive_rate(false_alarms, hits, _RATES[0]),
        tpr_at_5=true_positive_rate(false_alarms, hits, _RATES[1]),
        real=real,
        fake=fake,
    )


def true_positive_rate(false_alarms: Floats, hits: Floats, rate: float) -> float:
    """Returns the largest true-positive rate of a ROC curve at a false-positive rate, without interpolation.

    Args:
        false_alarms: False-positive rates, from 0.
        hits: True-positive rates.
        rate: Largest false-positive rate, [0, 1].
    """
    return float(hits[false_alarms <= rate + 1e-9].max(initial=0.0))


def roc(scored: Scored) -> tuple[Floats, Floats]:
    """Returns the ROC curve: false-positive rates and true-positive rates for falling thresholds, each from 0 to 1.

    Args:
        scored: Scores and labels of both classes.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    false_alarms, hits, _ = library("sklearn.metrics").roc_curve(scored.labels, scored.scores, drop_intermediate=False)
    return false_alarms, hits


def bootstrap(
    scores: Sequence[float] | Floats,
    labels: Sequence[int] | Ints,
    *,
    groups: Sequence[Hashable] | None = None,
    threshold: float = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Computes percentile bootstrap intervals of the metrics of :func:`metrics`.

    Real and fake samples are resampled separately, so every resample has the same number of each. All metrics use the
    same resamples. The samples must be independent: videos, not frames of one video. Where they are not, ``groups``
    says which belong together, for example videos of one person: whole groups are resampled, separately for groups
    with real samples, with fake samples, and with both.

    Args:
        scores: One number per sample; higher means more likely fake.
        labels: 0 real, 1 fake.
        groups: Name of the group of each sample, of any type; None for independent samples.
        threshold: Threshold of the accuracy, see :func:`metrics`.
        resamples: Number of resamples.
        confidence: Share of the resamples inside an interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same intervals.

    Returns:
        The intervals. They are NaN if a class has fewer than two samples, or is in fewer than two groups.

    Raises:
        ValueError: if scores or labels are invalid, see :meth:`Scored.of`; or if there is not one group per sample.
        ImportError: if SciPy is not installed.
    """
    given = Scored.of(scores, labels)
    strata = Strata.of(given.labels, groups)
    if not strata.enough:
        return Intervals(**dict.fromkeys(FIGURES, Interval(math.nan, math.nan)))
    # Only the order of the scores matters. Samples with equal scores share a level.
    levels, rank = np.unique(given.scores, return_inverse=True)
    above = int(np.searchsorted(levels, threshold, side="right"))
    order = np.argsort(rank, kind="stable")
    first = np.searchsorted(rank[order], np.arange(len(levels)))

    def figures(times: Ints) -> Floats:
        times = times[:, order]
        real, fake = (np.add.reduceat(times * (given.labels[order] == label), first, axis=-1) for label in (0, 1))
        return _figures(real, fake, above)

    found = strata.percentiles(figures, resamples, confidence, seed_for(seed, "bootstrap"))
    ends = zip(found.low.tolist(), found.high.tolist(), strict=True)
    return Intervals(**{name: Interval(*pair) for name, pair in zip(FIGURES, ends, strict=True)})


def mean_auc(
    some: Sequence[Scored],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Computes the mean AUC of a detector that was trained several times, with a percentile bootstrap interval.

    Args:
        some: Scores of the same samples, one entry per training. Samples are resampled, trainings are not.
        groups: Name of the group of each sample, see :func:`bootstrap`; None for independent samples.
        resamples: Number of resamples; 0 for no interval.
        confidence: Share of the resamples inside the interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same interval.

    Returns:
        The mean AUC and its interval. The AUC is NaN if a class is missing. The interval is NaN if a class has fewer
            than two samples, or is in fewer than two groups.

    Raises:
        ValueError: if there are no scores, the labels differ, or there is not one group per sample.
        ImportError: if SciPy is not installed.
    """
    _check_same([some])
    return _mean_over_pairs(_mean_won(some), some[0].labels, groups, resamples, confidence, seed_for(seed, "auc"))


def auc_difference(
    first: Sequence[Scored],
    second: Sequence[Scored],
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Computes the AUC of one detector minus the AUC of another on the same samples, with a paired interval.

    Each resample of the percentile bootstrap takes the same real and fake samples for both detectors. Samples that are
    hard for both detectors then do not widen the interval. The interval can exclude 0 even where the intervals of the
    two AUCs overlap.

    Args:
        first: Scores of one detector. Several entries if it was trained several times: their mean AUC is used. Samples
            are resampled, trainings are not.
        second: Scores of the other detector, in the same way.
        groups: Name of the group of each sample, see :func:`bootstrap`; None for independent samples.
        resamples: Number of resamples; 0 for no interval.
        confidence: Share of the resamples inside the interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same interval.

    Returns:
        The difference, in [-1, 1], and its interval. The difference is NaN if a class is missing. The interval is NaN
            if a class has fewer than two samples, or is in fewer than two groups.

    Raises:
        ValueError: if a detector has no scores, the labels differ, or there is not one group per sample.
        ImportError: if SciPy is not installed.
    """
    _check_same([first, second])
    surplus = _mean_won(first) - _mean_won(second)
    return _mean_over_pairs(surplus, first[0].labels, groups, resamples, confidence, seed_for(seed, "difference"))


def pair_accuracy(real_scores: Sequence[float] | Floats, fake_scores: Sequence[float] | Floats) -> float:
    """Returns the share of real-fake pairs in which the fake scores higher than its paired real video. Ties count half.

    Both videos show the same person, room and movement, so only the manipulation differs.

    Args:
        real_scores: Scores of the real videos, pair by pair. A real video of several fakes appears several times.
        fake_scores: Scores of the fake videos, in the same order.

    Returns:
        A share in [0, 1]. NaN without a pair.

    Raises:
        ValueError: if the lengths differ, or a score is not finite.
    """
    real, fake = np.asarray(real_scores, dtype=np.float64), np.asarray(fake_scores, dtype=np.float64)
    if real.ndim != 1 or real.shape != fake.shape:
        raise ValueError(
            f"real and fake scores must match and have one dimension, got shapes {real.shape} and {fake.shape}"
        )
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("scores must be finite, got NaN or infinity")
    return float(((fake > real) + 0.5 * (fake == real)).mean()) if len(real) else math.nan


def _check_same(detectors: Sequence[Sequence[Scored]]) -> None:
    """Checks that all scores are of the same samples.

    Raises:
        ValueError: if a detector has no scores, or the labels differ.
    """
    if not all(detectors):
        raise ValueError("there are no scores to compare")
    if any(not np.array_equal(each.labels, detectors[0][0].labels) for some in detectors for each in some):
        raise ValueError("scores of different samples cannot be compared: their labels differ")


def _mean_won(some: Sequence[Scored]) -> Floats:
    """Returns, per fake (row) and real sample (column), the share of the trainings in which the fake scores higher."""
    won: Floats = np.mean([_won(each) for each in some], axis=0)
    return won


def _mean_over_pairs(
    surplus: Floats, labels: Ints, groups: Sequence[Hashable] | None, resamples: int, confidence: float, seed: int
) -> Estimate:
    """Returns the mean over all pairs of a fake (row) and a real sample (column), with its bootstrap interval."""
    strata = Strata.of(labels, groups)
    if not surplus.size:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(surplus.mean())
    if not resamples or not strata.enough:
        return Estimate(value, math.nan, math.nan)

    def mean(times: Ints) -> Floats:
        fakes, reals = times[:, labels == 1], times[:, labels == 0]
        total: Floats = ((fakes @ surplus) * reals).sum(axis=-1) / (fakes.sum(axis=-1) * reals.sum(axis=-1))
        return total[None]

    found = strata.percentiles(mean, resamples, confidence, seed)
    return Estimate(value, float(found.low[0]), float(found.high[0]))


def _figures(real: Ints, fake: Ints, above: int) -> Floats:
    """Computes the metrics of many resamples at once.

    Args:
        real: Number of real samples at each level of the scores, lowest first: (rows, levels).
        fake: The same for fake samples.
        above: Number of levels that are not above the threshold.

    Returns:
        AUC, average precision, equal error rate, accuracy and two true-positive rates: (6, rows).
    """
    # Rates of real and of fake samples above the threshold, for falling thresholds.
    alarms, found = real[:, ::-1].cumsum(axis=-1), fake[:, ::-1].cumsum(axis=-1)
    false_alarms, hits = alarms / alarms[:, -1:], found / found[:, -1:]
    gained = np.diff(hits, axis=-1, prepend=0)
    auc = (gained * (1 - false_alarms + np.diff(false_alarms, axis=-1, prepend=0) / 2)).sum(axis=-1)
    ap = (gained * found / np.maximum(found + alarms, 1)).sum(axis=-1)
    surplus = np.concatenate((np.full((len(hits), 1), -1.0), false_alarms + hits - 1), axis=-1)
    after = (surplus >= 0).argmax(axis=-1)[:, None]
    low, high = (np.take_along_axis(surplus, at, axis=-1) for at in (after - 1, after))
    curve = np.concatenate((np.zeros((len(hits), 1)), false_alarms), axis=-1)
    start, end = (np.take_along_axis(curve, at, axis=-1) for at in (after - 1, after))
    eer = (start - low / (high - low) * (end - start))[:, 0]
    right = real[:, :above].sum(axis=-1) + fake[:, above:].sum(axis=-1)
    accuracy = right / (alarms[:, -1] + found[:, -1])
    caught = [(hits * (false_alarms <= rate + 1e-9)).max(axis=-1) for rate in _RATES]
    return np.stack([auc, ap, eer, accuracy, *caught])


def _won(scored: Scored) -> Floats:
    """Returns 1 where a fake (row) scores above a real sample (column), 0.5 where they tie, and 0 elsewhere."""
    real, fake = scored.split()
    above = np.sign(fake[:, None] - real)
    return (above + 1) / 2
