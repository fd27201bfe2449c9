"""How well scores tell fake from real, and how sure that is."""

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
# Of the counts that one block of resamples is made of: bounds the memory that a bootstrap takes.
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures of a set of scores, [0, 1], with fakes as the positive class.

    Attributes:
        auc: Area under the ROC curve: how often a fake scores higher than a real one, ties counting half.
        ap: Average precision; depends on the share of fakes.
        eer: Rate of errors where reals taken for fakes and fakes taken for reals are equally frequent.
        accuracy: Share of right answers at the threshold; depends on the share of fakes.
        real: Number of real ones.
        fake: Number of fake ones.

    All but accuracy are not a number where one class is missing; accuracy is not where there is nothing at all.
    """

    auc: float
    ap: float
    eer: float
    accuracy: float
    real: int
    fake: int


class Interval(NamedTuple):
    """Where a figure lies with the confidence asked for; not a number where it cannot be told."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """An interval for each of the figures of :class:`Metrics`."""

    auc: Interval
    ap: Interval
    eer: Interval
    accuracy: Interval


FIGURES = tuple(field.name for field in dataclasses.fields(Intervals))


class Estimate(NamedTuple):
    """A figure and the interval it lies in."""

    value: float
    low: float
    high: float


class Scored(NamedTuple):
    """Scores and labels of the same things: videos, or frames.

    Attributes:
        scores: Anything that is higher for what is more likely fake.
        labels: 0 real, 1 fake.
    """

    scores: Floats
    labels: Ints

    @staticmethod
    def of(scores: Sequence[float] | Floats, labels: Sequence[int] | Ints) -> Scored:
        """Checks both and makes arrays of them.

        Raises:
            ValueError: if they differ in length, a score is not finite, or a label is neither 0 nor 1.
        """
        made = Scored(np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64))
        if made.scores.ndim != 1 or made.scores.shape != made.labels.shape:
            raise ValueError(f"{made.scores.shape} scores do not match {made.labels.shape} labels")
        if not np.isfinite(made.scores).all():
            raise ValueError("a score is not finite")
        if not np.isin(made.labels, (0, 1)).all():
            raise ValueError("labels are 0 (real) or 1 (fake)")
        return made

    def split(self) -> tuple[Floats, Floats]:
        """Scores of the reals, scores of the fakes."""
        return self.scores[self.labels == 0], self.scores[self.labels == 1]


def metrics(scores: Sequence[float] | Floats, labels: Sequence[int] | Ints, *, threshold: float = 0.5) -> Metrics:
    """AUC, average precision, equal error rate and accuracy.

    The rate of equal errors is read off the ROC curve, with straight lines between its points.

    Args:
        scores: Higher is more fake.
        labels: 0 real, 1 fake.
        threshold: Scores above it say fake; a score that equals it says real.

    Raises:
        ValueError: see :meth:`Scored.of`.
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
        # Rises from -1 to 1 along the curve; 0 where false alarms and misses, 1 - hits, are equal.
        eer=float(np.interp(0.0, false_alarms + hits - 1, false_alarms)),
        accuracy=accuracy,
        real=real,
        fake=fake,
    )


def roc(scored: Scored) -> tuple[Floats, Floats]:
    """The ROC curve: shares of reals and of fakes above a threshold that walks down, each from 0 to 1.

    Takes both classes; raises ImportError if scikit-learn is not installed.
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
    """Percentile bootstrap intervals of the figures of :func:`metrics`.

    Reals and fakes are resampled apart, so that every resample has as many of each as there are, and all figures are
    taken of the same resamples. What is resampled is taken as independent: videos, not frames of one video.

    Args:
        scores: Higher is more fake.
        labels: 0 real, 1 fake.
        threshold: As in :func:`metrics`.
        resamples: Number of resamples.
        confidence: Share of the resamples inside an interval, (0, 1).
        seed: The same seed gives the same intervals.

    Returns:
        Intervals; not a number where a class has fewer than two members.

    Raises:
        ValueError: see :meth:`Scored.of`.
        ImportError: if SciPy is not installed.
    """
    given = Scored.of(scores, labels)
    if min((given.labels == 0).sum(), (given.labels == 1).sum()) < 2:
        return Intervals(**dict.fromkeys(FIGURES, Interval(math.nan, math.nan)))
    # Only the order of scores matters, so that their ranks are resampled; equal scores share a rank.
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
    """How far the AUC of one detector lies above that of another on the same things, with a paired interval.

    Each resample of the percentile bootstrap takes the same reals and the same fakes for both, so that what is hard for
    both does not widen the interval: it may be clear of 0 where the intervals of the two AUCs overlap.

    Args:
        first: What one detector says of the things; several times, if it was trained several times: then its mean AUC
            counts. Things are resampled, not trainings.
        second: What the other one says.
        resamples: Number of resamples; 0 for no interval.
        confidence: Share of the resamples inside the interval, (0, 1).
        seed: The same seed gives the same interval.

    Returns:
        The difference, [-1, 1]; not a number where a class is missing. Nor are its ends where a class has fewer than
        two members.

    Raises:
        ValueError: if one of them says nothing, or their labels differ.
        ImportError: if SciPy is not installed.
    """
    if not (first and second):
        raise ValueError("there are no scores to compare")
    if any(not np.array_equal(each.labels, first[0].labels) for each in (*first, *second)):
        raise ValueError("scores of different things cannot be compared: their labels differ")
    # An AUC is the mean over all pairs of a fake and a real.
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
    """Share of pairs in which the fake scores higher than the real video it was made from; ties count half.

    Both show the same person, room and movement, so that nothing but the forgery tells them apart.

    Args:
        real_scores: Of the originals, pair by pair; one that several fakes were made from appears several times.
        fake_scores: Of the fakes.

    Returns:
        [0, 1]; not a number without a pair.

    Raises:
        ValueError: if they differ in length or a score is not finite.
    """
    real, fake = np.asarray(real_scores, dtype=np.float64), np.asarray(fake_scores, dtype=np.float64)
    if real.ndim != 1 or real.shape != fake.shape:
        raise ValueError(f"{real.shape} real scores do not match {fake.shape} fake ones")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("a score is not finite")
    return float(((fake > real) + 0.5 * (fake == real)).mean()) if len(real) else math.nan


def _percentiles(
    samples: tuple[Ints, ...], statistic: Callable[..., Floats], resamples: int, confidence: float, seed: int
) -> Any:
    """Ends, ``low`` and ``high``, of what holds a share of the resamples; each sample is resampled by itself."""
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
    """The figures of many resamples at once: (..., n) ranks of reals and of fakes to (4, ...)."""
    leading = real.shape[:-1]
    # Walking the threshold down, level by level: rates of reals and of fakes above it.
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
    """Share of each row at or above every level, from the highest down: (..., n) to (rows, levels)."""
    rates: Floats = _counts(ranks, levels)[:, ::-1].cumsum(axis=-1) / ranks.shape[-1]
    return rates


def _counts(numbers: Ints, levels: int) -> Ints:
    """How often each number below ``levels`` is in each row: (..., n) to (rows, levels)."""
    rows = numbers.reshape(-1, numbers.shape[-1])
    places = rows + levels * np.arange(len(rows))[:, None]
    return np.bincount(places.ravel(), minlength=levels * len(rows)).reshape(len(rows), levels)


def _won(scored: Scored) -> Floats:
    """1 where a fake (row) scores above a real one (column), a half where they tie, 0 where it scores below."""
    real, fake = scored.split()
    above = np.sign(fake[:, None] - real)
    return (above + 1) / 2


def _library(name: str) -> ModuleType:
    """A module of the optional dependencies, by name: they take a second to load, and most commands never need them."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"metrics need {name.partition('.')[0]}: pip install 'mgst[train]'") from error
