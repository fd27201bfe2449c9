"""What a score says about real people: the scores and the conditions of real videos that a network has not seen."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mgst_model.networks.conditions import CONDITIONS, Condition

# Share of the calibration videos beyond a limit of a condition. Our own choice: few real videos lose their verdict, and
# the limits are values that occur.
BEYOND = 0.01
# Under which assumption a p-value is valid.
ASSUMPTION = "valid for a real video of a person drawn in the same way as the people of the calibration"
Floats = NDArray[np.float64]


class Limits(NamedTuple):
    """Smallest and largest value of a condition at which a verdict is given."""

    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Scores of real videos, or real pictures, of people who are not in the training set.

    It answers one question: how often does a real video score as high as this one? That is not the probability that a
    video is a fake, which also depends on how many of the videos one looks at are fakes.

    A person counts once: each of the videos of a person has the weight 1 / (number of their videos). With people who
    are exchangeable, the p-value is then valid for a video of a new person: it is at most a in at most the share a of
    the cases [Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023].

    Attributes:
        real: Scores of the real videos in ascending order, at least one, [0, 1].
        people: Number of people in them.
        person: Number of the person of each score, in [0, ``people``). Empty if it is not known who is in which video:
            cards of earlier versions.
        conditions: Values of the conditions of each video, by name, see
            :data:`mgst_model.networks.conditions.CONDITIONS`. Empty if they are not known.

    Raises:
        ValueError: if there are no scores, they are not in [0, 1] or not ascending, or the lengths or persons do not
            fit them.
    """

    real: tuple[float, ...]
    people: int
    person: tuple[int, ...] = ()
    conditions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.real or not all(isinstance(one, int | float) and 0 <= one <= 1 for one in self.real):
            raise ValueError("calibration needs at least one score, all in [0, 1]")
        if list(self.real) != sorted(self.real):
            raise ValueError("the scores of a calibration must ascend")
        if not isinstance(self.people, int) or self.people < 1:
            raise ValueError(f"people must be at least 1, got {self.people!r}")
        if self.person and (len(self.person) != len(self.real) or set(self.person) != set(range(self.people))):
            raise ValueError("a calibration must have one person for each score, numbered from 0 to people - 1")
        for name, values in self.conditions.items():
            if len(values) != len(self.real) or not all(_is_number(value) for value in values):
                raise ValueError(f"{name} of a calibration must be one finite number for each score")

    @staticmethod
    def read(info: Mapping[str, Any], kind: str) -> Calibration | None:
        """Reads a calibration from the facts of a card.

        Args:
            info: ``info`` of a :class:`~mgst_model.networks.checkpoint.NetworkCard`.
            kind: "videos" or "pictures".

        Returns:
            The calibration; None if the card has none of this kind.

        Raises:
            ValueError: if it is malformed.
        """
        kinds = info.get("calibration")
        found = kinds.get(kind) if isinstance(kinds, Mapping) else None
        if found is None:
            return None
        if not isinstance(found, Mapping) or not {"real", "people"} <= set(found):
            raise ValueError("a calibration must have 'real' and 'people'")
        person, conditions = found.get("person", ()), found.get("conditions", {})
        lists = [found["real"], person, *(conditions.values() if isinstance(conditions, Mapping) else [None])]
        if not all(isinstance(one, list | tuple) for one in lists):
            raise ValueError("the columns of a calibration must be lists")
        columns = {str(name): tuple(values) for name, values in conditions.items()}
        return Calibration(tuple(found["real"]), found["people"], tuple(person), columns)

    def as_dict(self) -> dict[str, Any]:
        """Returns the entry of a card, which :meth:`read` reads."""
        columns = {name: list(values) for name, values in self.conditions.items()}
        return {"real": list(self.real), "people": self.people, "person": list(self.person), "conditions": columns}

    @property
    def lowest_rate(self) -> float:
        """Smallest p-value, and smallest false-positive rate that a threshold can hold: 1 / (people + 1)."""
        return 1 / (self.people + 1)

    def false_positive_rate(self, score: float) -> float:
        """Returns the share of the real videos that have at least this score.

        Args:
            score: Score of a video, [0, 1].
        """
        return 1 - bisect_left(self.real, score) / len(self.real)

    def p_value(self, score: float) -> float | None:
        """Returns the conformal p-value of a score: (1 + people who score at least as high) / (people + 1).

        A person of whom only some videos score as high counts in part. For a real video of a new person, drawn in the
        same way as those of the calibration, the p-value is at most a with a probability of at most a.

        Args:
            score: Score of a video, [0, 1].

        Returns:
            The p-value, in [1 / (people + 1), 1]; None if it is not known who is in which video.
        """
        if not self.person:
            return None
        return (1 + float(self._from[bisect_left(self.real, score)])) / (self.people + 1)

    def threshold(self, rate: float) -> float:
        """Returns the lowest threshold that holds a false-positive rate for new people.

        A score above it has a p-value of at most ``rate``. If it is not known who is in which video, all videos of the
        calibration have the same weight.

        Args:
            rate: Largest false-positive rate, at least :attr:`lowest_rate`.

        Raises:
            ValueError: if there are too few people for the rate.
        """
        allowed = rate * (self.people + 1) - 1
        if allowed < -1e-9:
            raise ValueError(
                f"a calibration of {self.people} people can hold false-positive rates from {self.lowest_rate:.1%}"
            )
        # All scores from this place on may be above the threshold.
        place = next(i for i, above in enumerate(self._from.tolist()) if above <= allowed + 1e-9)
        return self.real[place - 1] if place else 0.0

    def limits(self, condition: Condition) -> Limits:
        """Returns the limits of a condition: 1 % of the weight of the calibration videos is beyond each of them.

        With few people, these are the smallest and the largest value. The lower one is divided by the slack of the
        condition.

        Args:
            condition: The condition. A side that is no reason for doubt has no limit.
        """
        low, high = self._extremes.get(condition.name, Limits(-np.inf, np.inf))
        return Limits(low / condition.slack if condition.low else -np.inf, high if condition.high else np.inf)

    def doubts(self, values: Mapping[str, float], *, kind: str = "videos") -> tuple[str, ...]:
        """Says why a score cannot be compared with those of the calibration: the video is unlike its videos.

        Args:
            values: Conditions of the video, by name. Unknown ones are left out.
            kind: "videos" or "pictures".

        Returns:
            One reason for each condition beyond its limits; empty if there is none.
        """
        found = []
        for condition in CONDITIONS:
            value = values.get(condition.name)
            if value is None or condition.name not in self.conditions:
                continue
            low, high = self.limits(condition)
            if value < low:
                compared = f"99 % of the calibration {kind}: at least" if condition.slack == 1 else "needed: at least"
                found.append(condition.says(condition.low, value, compared, low))
            elif value > high:
                found.append(condition.says(condition.high, value, f"99 % of the calibration {kind}: at most", high))
        return tuple(found)

    def typicality(self, values: Mapping[str, float]) -> float:
        """Returns how usual a video is: the smallest share of calibration videos that are as extreme, [0, 1].

        A video below 0.01 gets no verdict.

        Args:
            values: Conditions of the video, by name. Unknown ones are left out.
        """
        tails = [1.0]
        for condition in CONDITIONS:
            if condition.name in values and condition.name in self.conditions:
                value = values[condition.name]
                if condition.low:
                    tails.append(self._tail(condition.name, value * condition.slack, upper=False))
                if condition.high:
                    tails.append(self._tail(condition.name, value, upper=True))
        return min(tails)

    def _tail(self, name: str, value: float, *, upper: bool) -> float:
        """Returns the share of the weight of the videos whose value is at least as extreme."""
        column = np.asarray(self.conditions[name], dtype=np.float64)
        beyond = column >= value if upper else column <= value
        return float(self._weight[beyond].sum()) / self.people

    @cached_property
    def _extremes(self) -> dict[str, Limits]:
        """Smallest and largest value of each condition with 1 % of the weight at least as extreme."""
        found = {}
        for name, values in self.conditions.items():
            column = np.asarray(values, dtype=np.float64)
            order = np.argsort(column, kind="stable")
            share = self._weight[order] / self.people
            low = int((share.cumsum() >= BEYOND - 1e-9).argmax())
            high = int((share[::-1].cumsum() >= BEYOND - 1e-9).argmax())
            found[name] = Limits(float(column[order][low]), float(column[order][::-1][high]))
        return found

    @cached_property
    def _weight(self) -> Floats:
        """Weight of each score. The weights of a person sum to 1."""
        if not self.person:
            return np.full(len(self.real), self.people / len(self.real))
        weight: Floats = 1 / np.bincount(self.person).astype(np.float64)
        return weight[list(self.person)]

    @cached_property
    def _from(self) -> Floats:
        """Sum of the weights from each place on, and 0 at the end."""
        return np.concatenate((self._weight[::-1].cumsum()[::-1], [0.0]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
