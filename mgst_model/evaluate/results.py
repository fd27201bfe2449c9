"""All results of an evaluation, for tables, plots and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgst_data.core.errors import printable
from mgst_model.evaluate.differences import difference_rows
from mgst_model.evaluate.metrics import Scored
from mgst_model.evaluate.predictions import Level, Missing, Predictions, VideoScore
from mgst_model.evaluate.protocols import Evaluation, Protocol
from mgst_model.evaluate.reliable import Reliable
from mgst_model.evaluate.robustness import Robustness
from mgst_model.evaluate.tables import Row

_WAYS = {"leave_out": "videos without a face excluded", "half": "videos without a face scored 0.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All results of an evaluation.

    Attributes:
        predictions: Scores of every detector on the unperturbed videos.
        protocols: Protocols; plots and robustness use the first.
        ways: What happens to videos without a face: the requested way, then the other one if there are such videos.
        evaluations: Metrics of every detector, by name of the protocol and way.
        robustness: Robustness of every detector; empty if not requested.
        level: Whether metrics are computed over videos, over segments or over frames.
        threshold: A score above it means fake.
        resamples: Bootstrap resamples of the intervals.
        seed: Seed of the intervals.
        reliable: P-values and abstention curves of the calibrated detectors.
    """

    predictions: Sequence[Predictions]
    protocols: Sequence[Protocol]
    ways: Sequence[Missing]
    evaluations: Mapping[tuple[str, str], Sequence[Evaluation]]
    robustness: Sequence[Robustness]
    level: Level
    threshold: float
    resamples: int
    seed: int
    reliable: Sequence[Reliable] = ()

    def curves(self) -> tuple[str, dict[str, Scored]]:
        """Returns the title of the ROC curves, and scores and labels of each curve by name.

        One detector has a curve for each group of the first protocol. Several have one each, over all its groups
        together. Groups without real or fake videos are left out.
        """
        protocol = self.protocols[0]
        if len(self.predictions) == 1:
            (one,) = self.predictions
            title = f"{one.model}: {protocol.name}"
            curves = {group.name: self.scores(group.select(one)) for group in protocol.groups}
        else:
            title = protocol.name + (", all groups together" if len(protocol.groups) > 1 else "")
            curves = {one.model: self.scores(of_all_groups(one, protocol)) for one in self.predictions}
        return title, {name: found for name, found in curves.items() if 0 < found.labels.sum() < len(found.labels)}

    def scores(self, videos: Predictions) -> Scored:
        """Returns the scores and labels of videos, segments or frames, depending on the level."""
        return videos.at(self.level, self.ways[0])

    def caption(self, protocol: Protocol, way: str) -> str:
        """Returns the caption of a table.

        Args:
            protocol: Protocol of the table.
            way: What happens to videos without a face.
        """
        faceless = any(one.faceless() for one in self.predictions)
        said = f", {_WAYS[way]}" if faceless and self.level == "video" else ""
        return f"protocol {protocol.name}, over {self.level}s{said}"

    def differences(self, protocol: Protocol, way: Missing) -> list[Row]:
        """Returns a row for each detector but the first: its AUC minus the AUC of the first, with intervals.

        There are no rows for frames, which are not independent, and none without resamples.

        Args:
            protocol: Protocol with one column per group.
            way: What happens to videos without a face.
        """
        if self.level != "video" or not self.resamples or len(self.predictions) < 2:
            return []
        options = {"resamples": self.resamples, "seed": self.seed}
        return difference_rows(self.predictions, protocol, missing=way, **options)

    @property
    def differences_are(self) -> str:
        """Caption of the table of differences."""
        return f"AUC minus the AUC of {printable(self.predictions[0].model)}, on the videos that both have scored"


def of_all_groups(predictions: Predictions, protocol: Protocol) -> Predictions:
    """Returns the videos of all groups of a protocol, each once.

    Args:
        predictions: Scores of a detector.
        protocol: Protocol with the groups.
    """
    videos: dict[tuple[str, str], VideoScore] = {}
    for group in protocol.groups:
        videos |= {(video.dataset, video.key): video for video in group.select(predictions).videos}
    return Predictions(predictions.model, tuple(videos.values()), predictions.info)
