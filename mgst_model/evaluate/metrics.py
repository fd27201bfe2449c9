"""Metrics of scores (AUC, AP, EER, accuracy) and their confidence intervals."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mgst_data.core import seed_for

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Largest number of counts in one block of resamples; limits the memory of the bootstrap.
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Metrics of a set of scores, in [0, 1]. Fakes are the positive class.

    If one class is missing, all metrics but accuracy are NaN. Without any score, accuracy is NaN too.

    Attributes:
        auc: Area under the ROC curve: how often a fake scores higher than a real sample. Ties count half.
        ap: Average precision. It depends on the share of fakes.
        eer: Equal error rate: the error rate where false positives and false negatives are equally frequent.
        accuracy: Share of correct decisions at the threshold. It depends on the share of fakes.
        real: Number of real samples.
        fake: Number of fake samples.
    """

    auc: float
    ap: float
    eer: float
    accuracy: float
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


FIGURES = tuple(field.name for field in dataclasses.fields(Intervals))


class Estimate(NamedTuple):
    """A metric and its confidence interval."""

    value: float
    low: float
    high: float


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
    """Computes AUC, average precision, equal error rate and accuracy.

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
        return Metrics(auc=math.nan, ap=math.nan, eer=math.nan, accuracy=accuracy, real=real, fake=fake)
    learn = _library("sklearn.metrics")
    false_alarms, hits = roc(given)
    return Metrics(
        auc=float(learn.roc_auc_score(given.labels, given.scores)),
        ap=float(learn.average_precision_score(given.labels, given.scores)),
        # The difference rises from -1 to 1 along the curve. It is 0 where the false-positive rate equals 1 - hits.
        eer=float(np.interp(0.0, false_alarms + hits - 1, false_alarms)),
        accuracy=accuracy,
        real=real,
        fake=fake,
    )


def roc(scored: Scored) -> tuple[Floats, Floats]:
    """Returns the ROC curve: false-positive rates and true-positive rates for falling thresholds, each from 0 to 1.

    Args:
        scored: Scores and labels of both classes.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    false_alarms, hits, _ = _library("sklearn.metrics").roc_curve(scored.labels, scored.scores, drop_intermediate=False)
    return false_alarms, hits


def bootstrap(
    scores: Sequence[float] | Floats,
    labels: Sequence[int] | Ints,
    *,
    threshold: float = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Computes percentile bootstrap intervals of the metrics of :func:`metrics`.

    Real and fake samples are resampled separately, so every resample has the same number of each. All metrics use the
    same resamples. The samples must be independent: videos, not frames of one video.

    Args:
        scores: One number per sample; higher means more likely fake.
        labels: 0 real, 1 fake.
        threshold: Threshold of the accuracy, see :func:`metrics`.
        resamples: Number of resamples.
        confidence: Share of the resamples inside an interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same intervals.

    Returns:
        The intervals. They are NaN if a class has fewer than two samples.

    Raises:
        ValueError: if scores or labels are invalid, see :meth:`Scored.of`.
        ImportError: if SciPy is not installed.
    """
    given = Scored.of(scores, labels)
    if min((given.labels == 0).sum(), (given.labels == 1).sum()) < 2:
        return Intervals(**dict.fromkeys(FIGURES, Interval(math.nan, math.nan)))
    # Only the order of the scores matters, so ranks are resampled. Equal scores share a rank.
    levels, rank = np.unique(given.scores, return_inverse=True)
    above = int(np.searchsorted(levels, threshold, side="right"))

    def figures(real: Ints, fake: Ints, axis: int = -1) -> Floats:
        return _figures(np.moveaxis(real, axis, -1), np.moveaxis(fake, axis, -1), len(levels), above)

    samples = (rank[given.labels == 0], rank[given.labels == 1])
    found = _percentiles(samples, figures, resamples, confidence, seed_for(seed, "bootstrap"))
    ends = zip(found.low.tolist(), found.high.tolist(), strict=True)
    return Intervals(**{name: Interval(*pair) for name, pair in zip(FIGURES, ends, strict=True)})


def auc_difference(
    first: Sequence[Scored],
    second: Sequence[Scored],
    *,
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
        resamples: Number of resamples; 0 for no interval.
        confidence: Share of the resamples inside the interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same interval.

    Returns:
        The difference, in [-1, 1], and its interval. The difference is NaN if a class is missing. The interval is NaN
            if a class has fewer than two samples.

    Raises:
        ValueError: if a detector has no scores, or the labels differ.
        ImportError: if SciPy is not installed.
    """
    if not (first and second):
        raise ValueError("there are no scores to compare")
    if any(not np.array_equal(each.labels, first[0].labels) for each in (*first, *second)):
        raise ValueError("scores of different samples cannot be compared: their labels differ")
    # An AUC is the mean over all pairs of a fake and a real sample.
    surplus = np.mean([_won(each) for each in first], axis=0) - np.mean([_won(each) for each in second], axis=0)
    if not surplus.size:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(surplus.mean())
    if not resamples or min(surplus.shape) < 2:
        return Estimate(value, math.nan, math.nan)

    def mean(fake: Ints, real: Ints, axis: int = -1) -> Floats:
        fake, real = np.moveaxis(fake, axis, -1), np.moveaxis(real, axis, -1)
        of_fakes, of_reals = _counts(fake, len(surplus)), _counts(real, surplus.shape[1])
        found: Floats = ((of_fakes @ surplus) * of_reals).sum(axis=-1) / surplus.size
        return found.reshape(fake.shape[:-1])

    samples = tuple(np.arange(n) for n in surplus.shape)
    found = _percentiles(samples, mean, resamples, confidence, seed_for(seed, "difference"))
    return Estimate(value, float(found.low), float(found.high))


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


def _percentiles(
    samples: tuple[Ints, ...], statistic: Callable[..., Floats], resamples: int, confidence: float, seed: int
) -> Any:
    """Returns the bootstrap interval (``low``, ``high``) of a statistic; each sample is resampled separately."""
    made = _library("scipy.stats").bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=max(1, _BLOCK // sum(map(len, samples))),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return made.confidence_interval


def _figures(real: Ints, fake: Ints, levels: int, above: int) -> Floats:
    """Computes the metrics of many resamples at once: (..., n) ranks of real and of fake samples to (4, ...)."""
    leading = real.shape[:-1]
    # Rates of real and of fake samples above the threshold, for falling thresholds.
    false_alarms, hits = _rates(real, levels), _rates(fake, levels)
    gained = np.diff(hits, axis=-1, prepend=0)
    auc = (gained * (1 - false_alarms + np.diff(false_alarms, axis=-1, prepend=0) / 2)).sum(axis=-1)
    found, alarms = hits * fake.shape[-1], false_alarms * real.shape[-1]
    ap = (gained * found / np.maximum(found + alarms, 1)).sum(axis=-1)
    surplus = np.concatenate((np.full((len(hits), 1), -1.0), false_alarms + hits - 1), axis=-1)
    after = (surplus >= 0).argmax(axis=-1)[:, None]
    low, high = (np.take_along_axis(surplus, at, axis=-1) for at in (after - 1, after))
    curve = np.concatenate((np.zeros((len(hits), 1)), false_alarms), axis=-1)
    start, end = (np.take_along_axis(curve, at, axis=-1) for at in (after - 1, after))
    eer = (start - low / (high - low) * (end - start))[:, 0]
    right = (real < above).sum(axis=-1) + (fake >= above).sum(axis=-1)
    accuracy = right / (real.shape[-1] + fake.shape[-1])
    return np.stack([figure.reshape(leading) for figure in (auc, ap, eer, accuracy)])


def _rates(ranks: Ints, levels: int) -> Floats:
    """Returns the share of each row at or above every level, highest level first: (..., n) to (rows, levels)."""
    rates: Floats = _counts(ranks, levels)[:, ::-1].cumsum(axis=-1) / ranks.shape[-1]
    return rates


def _counts(numbers: Ints, levels: int) -> Ints:
    """Counts each number below ``levels`` in each row: (..., n) to (rows, levels)."""
    rows = numbers.reshape(-1, numbers.shape[-1])
    places = rows + levels * np.arange(len(rows))[:, None]
    return np.bincount(places.ravel(), minlength=levels * len(rows)).reshape(len(rows), levels)


def _won(scored: Scored) -> Floats:
    """Returns 1 where a fake (row) scores above a real sample (column), 0.5 where they tie, and 0 elsewhere."""
    real, fake = scored.split()
    above = np.sign(fake[:, None] - real)
    return (above + 1) / 2


def _library(name: str) -> ModuleType:
    """Imports a module of the optional dependencies on first use, because it takes a second to load.

    Raises:
        ImportError: if the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"metrics need {name.partition('.')[0]}: pip install 'mgst[train]'") from error
