"""The bootstrap: resamples of independent samples, or of groups of samples that belong together."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Hashable, Sequence
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


class Estimate(NamedTuple):
    """A metric and its confidence interval."""

    value: float
    low: float
    high: float


def group_interval(
    statistic: Callable[[Ints], float],
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Computes any figure of samples, with a percentile bootstrap interval over groups of samples.

    Args:
        statistic: Computes the figure from the numbers of the samples that are in a resample; NaN if it cannot.
        groups: Name of the group of each sample, of any type. Whole groups are resampled.
        resamples: Number of resamples; 0 for no interval.
        confidence: Share of the resamples inside the interval, (0, 1).
        seed: Seed of the bootstrap. The same seed gives the same interval.

    Returns:
        The figure of all samples and its interval, which is NaN with fewer than two groups. Resamples without a figure
            are left out.
    """
    group = numbered(groups)
    value = statistic(np.arange(len(group)))
    size = np.bincount(group)
    order, start = np.argsort(group, kind="stable"), size.cumsum() - size
    random = np.random.default_rng(seed_for(seed, "groups"))
    found = []
    for _ in range(resamples if len(size) > 1 else 0):
        drawn = random.integers(len(size), size=len(size))
        # Places of the members of the drawn groups, group by group.
        shift = np.repeat(start[drawn] - (size[drawn].cumsum() - size[drawn]), size[drawn])
        found.append(statistic(order[shift + np.arange(len(shift))]))
    known = [figure for figure in found if not math.isnan(figure)]
    if not known:
        return Estimate(value, math.nan, math.nan)
    outside = 50 * (1 - confidence)
    low, high = np.percentile(known, (outside, 100 - outside))
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """Groups of samples, by the labels that they have. The groups of one stratum are resampled together.

    Attributes:
        group: Number of the group of each sample.
        strata: Numbers of the groups with only real samples, with only fake samples, and with both; without empty ones.
        enough: Whether each label is in two groups, and a stratum has two groups.
    """

    group: Ints
    strata: tuple[Ints, ...]
    enough: bool

    @staticmethod
    def of(labels: Ints, groups: Sequence[Hashable] | None) -> Strata:
        """Divides groups by the labels of their samples.

        Args:
            labels: 0 real, 1 fake, of each sample.
            groups: Name of the group of each sample; None if every sample is a group.

        Raises:
            ValueError: if there is not one group per sample.
        """
        if groups is not None and len(groups) != len(labels):
            raise ValueError(f"there must be one group per sample, got {len(groups)} groups for {len(labels)} samples")
        group = np.arange(len(labels)) if groups is None else numbered(groups)
        has = np.zeros((2, int(group.max(initial=-1)) + 1), dtype=np.bool_)
        has[labels, group] = True
        kinds = ((True, False), (False, True), (True, True))
        strata = [np.flatnonzero((has[0] == real) & (has[1] == fake)) for real, fake in kinds]
        enough = has.sum(axis=1).min() >= 2 and max(map(len, strata)) >= 2
        return Strata(group, tuple(some for some in strata if len(some)), bool(enough))

    def percentiles(self, figures: Callable[[Ints], Floats], resamples: int, confidence: float, seed: int) -> Any:
        """Returns the bootstrap interval (``low``, ``high``) of figures.

        Args:
            figures: Computes (k, rows) figures from how often each sample is in a resample: (rows, n).
            resamples: Number of resamples.
            confidence: Share of the resamples inside the interval.
            seed: Seed of the bootstrap.
        """
        count = sum(map(len, self.strata))
        # SciPy refuses samples of one; a stratum of one group is the same in every resample.
        alone = np.concatenate([np.zeros(0, dtype=np.int64), *(some for some in self.strata if len(some) == 1)])

        def statistic(*drawn: Ints, axis: int = -1) -> Floats:
            rows = np.concatenate([np.moveaxis(some, axis, -1) for some in drawn], axis=-1)
            times = counts(rows, count)
            times[:, alone] = 1
            found = figures(times[:, self.group])
            return found.reshape(*found.shape[:-1], *rows.shape[:-1])

        made = library("scipy.stats").bootstrap(
            tuple(some for some in self.strata if len(some) > 1),
            statistic,
            n_resamples=resamples,
            batch=max(1, _BLOCK // len(self.group)),
            vectorized=True,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        return made.confidence_interval


def numbered(groups: Sequence[Hashable]) -> Ints:
    """Numbers groups in the order in which they appear."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def counts(numbers: Ints, levels: int) -> Ints:
    """Counts each number in each row.

    Args:
        numbers: Numbers from 0, each below ``levels``: (..., n).
        levels: Number of different numbers.

    Returns:
        How often each number occurs in each row: (rows, levels).
    """
    rows = numbers.reshape(-1, numbers.shape[-1])
    places = rows + levels * np.arange(len(rows))[:, None]
    return np.bincount(places.ravel(), minlength=levels * len(rows)).reshape(len(rows), levels)


def library(name: str) -> ModuleType:
    """Imports a module of the optional dependencies on first use, because it takes a second to load.

    Raises:
        ImportError: if the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"metrics need {name.partition('.')[0]}: pip install 'mgst[train]'") from error
