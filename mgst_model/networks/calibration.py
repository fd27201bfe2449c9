"""What a score says about real people: the scores of real videos that a network has not seen."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of real videos, or real pictures, of people who are not in the training set.

    It answers one question: how many real videos score as high as this one. That is not the probability that a video is
    a fake, because that also depends on how many of the videos one looks at are fakes.

    Attributes:
        real: Scores of the real videos in ascending order, at least one, [0, 1].
        people: Number of people in them.

    Raises:
        ValueError: if there are no scores, or they are not in [0, 1] or not ascending.
    """

    real: tuple[float, ...]
    people: int

    def __post_init__(self) -> None:
        if not self.real or not all(isinstance(one, int | float) and 0 <= one <= 1 for one in self.real):
            raise ValueError("calibration needs at least one score, all in [0, 1]")
        if list(self.real) != sorted(self.real):
            raise ValueError("the scores of a calibration must ascend")
        if not isinstance(self.people, int) or self.people < 1:
            raise ValueError(f"people must be at least 1, got {self.people!r}")

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
        return Calibration(tuple(found["real"]), found["people"])

    def false_positive_rate(self, score: float) -> float:
        """Returns the share of the real videos that have at least this score.

        Args:
            score: Score of a video, [0, 1].
        """
        return 1 - bisect_left(self.real, score) / len(self.real)

    def threshold(self, rate: float) -> float:
        """Returns the lowest score above which at most this share of the real videos lies.

        Args:
            rate: Largest false-positive rate, [0, 1].
        """
        allowed = math.floor(rate * len(self.real) + 1e-9)
        return self.real[-1 - allowed] if allowed < len(self.real) else 0.0
