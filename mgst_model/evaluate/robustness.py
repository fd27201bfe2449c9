"""Robustness: the AUC of a detector on perturbed videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgst_model.evaluate.tables import Row


@dataclass(frozen=True, slots=True)
class Robustness:
    """AUCs of one detector, by kind and severity of the perturbation.

    Attributes:
        model: Name of the detector.
        clean: AUC on unperturbed videos: severity 0.
        disturbed: AUC by kind, then by severity. All kinds have the same severities.
    """

    model: str
    clean: float
    disturbed: Mapping[str, Mapping[int, float]]

    def __post_init__(self) -> None:
        if not self.disturbed or not all(self.disturbed.values()):
            raise ValueError("disturbed must have at least one kind with one severity")
        if len({tuple(by_severity) for by_severity in self.disturbed.values()}) > 1:
            raise ValueError("all kinds in disturbed must have the same severities")

    @property
    def severities(self) -> tuple[int, ...]:
        """The measured severities."""
        return tuple(next(iter(self.disturbed.values())))

    def mean_of(self, kind: str) -> float:
        """Returns the mean AUC over the severities of a kind."""
        return _mean(list(self.disturbed[kind].values()))

    @property
    def mean(self) -> float:
        """Mean over kinds of the means over their severities, without the clean videos."""
        return _mean([self.mean_of(kind) for kind in self.disturbed])

    @property
    def drop(self) -> float:
        """Mean loss of AUC: clean minus mean."""
        return self.clean - self.mean

    def curve(self, kind: str) -> dict[int, float]:
        """Returns the AUC by severity, from 0 on."""
        return {0: self.clean, **self.disturbed[kind]}


def robustness_rows(found: Sequence[Robustness]) -> list[Row]:
    """Returns a row per kind: AUC clean, at every severity, the mean over severities, and the drop.

    A last row has the mean over kinds. With several detectors, their rows follow each other, and each row begins with
    the name of the detector.

    Args:
        found: Results of one or several detectors.

    Raises:
        ValueError: if the detectors were measured at different severities.
    """
    if len({each.severities for each in found}) > 1:
        raise ValueError("the detectors were measured at different severities; use the same for all")
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
