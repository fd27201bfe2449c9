"""How much of a detector is left when videos have suffered on their way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgst_model.evaluate.tables import Row


@dataclass(frozen=True, slots=True)
class Robustness:
    """Areas under the ROC curve of one detector, by kind and severity of what was done to the videos.

    Attributes:
        model: Name of the detector.
        clean: Of the videos as they are: severity 0.
        disturbed: By kind, then by severity; all kinds at the same severities.
    """

    model: str
    clean: float
    disturbed: Mapping[str, Mapping[int, float]]

    def __post_init__(self) -> None:
        if not self.disturbed or not all(self.disturbed.values()):
            raise ValueError("robustness takes at least one kind at one severity")
        if len({tuple(by_severity) for by_severity in self.disturbed.values()}) > 1:
            raise ValueError("kinds at different severities cannot be averaged")

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities that were measured."""
        return tuple(next(iter(self.disturbed.values())))

    def mean_of(self, kind: str) -> float:
        """Mean over the severities of a kind."""
        return _mean(list(self.disturbed[kind].values()))

    @property
    def mean(self) -> float:
        """Mean over kinds of the means over their severities; clean videos are no part of it."""
        return _mean([self.mean_of(kind) for kind in self.disturbed])

    @property
    def drop(self) -> float:
        """What is lost on average: clean minus mean."""
        return self.clean - self.mean

    def curve(self, kind: str) -> dict[int, float]:
        """Area by severity, from 0 on."""
        return {0: self.clean, **self.disturbed[kind]}


def robustness_rows(found: Sequence[Robustness]) -> list[Row]:
    """A row for each kind: area clean, at every severity, mean over these, and the drop; then the mean over kinds.

    Several detectors come one below the other, with their names in front.

    Raises:
        ValueError: if they were measured at different severities.
    """
    if len({each.severities for each in found}) > 1:
        raise ValueError("detectors were measured at different severities")
    rows: list[Row] = []
    for each in found:
        name: Row = {"model": each.model} if len(found) > 1 else {}
        for kind, areas in each.disturbed.items():
            rows.append({**name, **_row(kind, each.clean, areas)})
        if len(each.disturbed) > 1:
            means = {at: _mean([areas[at] for areas in each.disturbed.values()]) for at in each.severities}
            rows.append({**name, **_row("mean", each.clean, means)})
    return rows


def _row(name: str, clean: float, areas: Mapping[int, float]) -> Row:
    mean = _mean(list(areas.values()))
    by_severity: Row = {f"severity {severity}": area for severity, area in areas.items()}
    return {"perturbation": name, "clean": clean, **by_severity, "mean": mean, "drop": clean - mean}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
