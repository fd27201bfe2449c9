"""Which videos are compared with which, and what is averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.errors import check_name
from mgst_model.evaluate.metrics import FIGURES, Intervals, Metrics, bootstrap, metrics
from mgst_model.evaluate.predictions import Missing, Predictions, VideoScore

Level = Literal["video", "frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fakes and the real videos that they are compared with.

    Attributes:
        name: As tables show it.
        dataset: Data sets that the fakes come from, by the names their layouts give them.
        method: Only fakes of these methods; () for all. Real videos have none and are not chosen by it.
        split: Only fakes and reals of these splits; () for all.
        compression: Only fakes and reals of these compressions; () for all.
        reals: Data sets that the real videos come from; () for those of the fakes.
    """

    name: str
    dataset: tuple[str, ...]
    method: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()

    def select(self, predictions: Predictions) -> Predictions:
        """The videos of this group."""
        common = {"split": self.split or None, "compression": self.compression or None}
        real = predictions.select(label=REAL, dataset=self.reals or self.dataset, **common)
        fake = predictions.select(label=FAKE, dataset=self.dataset, method=self.method or None, **common)
        return Predictions(predictions.model, real.videos + fake.videos, predictions.info)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Groups of videos, each measured by itself, and their average.

    Attributes:
        name: As files and commands call it.
        description: One line for people.
        groups: At least one; no two of one name.
    """

    name: str
    description: str
    groups: tuple[Group, ...]

    @staticmethod
    def of(given: Mapping[str, Any], *, where: object = "") -> Protocol:
        """Makes a protocol of what a TOML file says.

        Args:
            given: Texts ``name`` and ``description``, and a table ``groups`` with a table for every group: the fields
                of :class:`Group` but the name, each a text or a list of texts.
            where: The file, for errors.

        Raises:
            UsageError: for a name that there is not, with the one that may be meant, or a value that does not fit.
        """
        for key in given:
            check_name(str(key), [f.name for f in fields(Protocol)], "option", where)
        name, description, groups = (given.get(f.name) for f in fields(Protocol))
        if not (isinstance(name, str) and name and isinstance(description, str)):
            raise UsageError(
                "has no name or description", where=where, hint='write name = "..." and description = "..."'
            )
        if not (isinstance(groups, Mapping) and groups):
            raise UsageError("has no groups", where=where, hint='write [groups.NAME] and dataset = "..." below it')
        return Protocol(
            name=name,
            description=description,
            groups=tuple(_group(str(key), value, where) for key, value in groups.items()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """What was measured in one group.

    Attributes:
        name: Of the group.
        metrics: None where the group is missing.
        intervals: None where the group is missing, and for frames: those of one video are not independent.
        faceless: Videos of the group in which no face was found.
        lacking: "real videos", "fake videos" or both, where the group is missing; "" otherwise.
    """

    name: str
    metrics: Metrics | None
    intervals: Intervals | None
    faceless: int
    lacking: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a protocol finds in the predictions of one detector.

    Attributes:
        model: Name of the detector.
        protocol: Name of the protocol.
        level: Whether videos or frames were counted.
        missing: What became of videos without a face.
        groups: In the order of the protocol.
        average: Mean of every figure over the groups that are there, with their counts summed. It has no interval:
            groups may share real videos.
    """

    model: str
    protocol: str
    level: Level
    missing: Missing
    groups: tuple[GroupResult, ...]
    average: Metrics

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of the groups that the average is without."""
        return tuple(group.name for group in self.groups if group.metrics is None)

    @property
    def average_name(self) -> str:
        """What to call it: "average", with a note where groups are missing."""
        there = len(self.groups) - len(self.lacking)
        return "average" if not self.lacking else f"average ({there} of {len(self.groups)})"


def protocols_of(videos: Iterable[VideoScore]) -> tuple[Protocol, ...]:
    """Protocols for whatever there is: every data set against its own real videos; then method by method.

    The second is there where a data set has several methods. They are two, so that no average counts a video twice.

    Args:
        videos: Of all detectors that are to be compared.
    """
    seen = {(video.dataset, video.label, video.method) for video in videos}
    methods: dict[str, list[str]] = {}
    for dataset, _, method in sorted(row for row in seen if row[1] == FAKE):
        methods.setdefault(dataset, []).append(method)
    names = sorted(methods) or sorted({row[0] for row in seen})
    by_set = Protocol(
        name="data_sets",
        description="every data set against its own real videos",
        groups=tuple(Group(name=_shown(dataset), dataset=(dataset,)) for dataset in names),
    )
    if all(len(some) == 1 for some in methods.values()):
        return (by_set,)
    groups = tuple(
        Group(name=method if len(methods) == 1 else f"{_shown(dataset)} {method}", dataset=(dataset,), method=(method,))
        for dataset, some in methods.items()
        for method in some
    )
    return by_set, Protocol(name="methods", description="method by method, against the same real videos", groups=groups)


def evaluate(
    predictions: Predictions,
    protocol: Protocol,
    *,
    level: Level = "video",
    missing: Missing = "leave_out",
    threshold: float = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Measures a detector in every group of a protocol.

    Args:
        predictions: Of one detector; videos that are in no group do not matter.
        protocol: The groups.
        level: "video" takes the score of each video; "frame" those of all frames, without intervals.
        missing: What becomes of videos without a face, see :meth:`Predictions.scores`; frames have nothing to say of
            them.
        threshold: Scores above it say fake.
        resamples: Of the bootstrap; 0 for no intervals.
        confidence: Of the intervals.
        seed: Of the bootstrap.

    Raises:
        UsageError: if all groups are missing.
        ImportError: if scikit-learn or SciPy is not installed.
    """

    def measure(group: Group) -> GroupResult:
        chosen = group.select(predictions)
        faceless = len(chosen.faceless())
        scores, labels = chosen.scores(missing) if level == "video" else chosen.frame_scores()
        found = metrics(scores, labels, threshold=threshold)
        lacking = [f"{name} videos" for name, count in (("real", found.real), ("fake", found.fake)) if not count]
        if lacking:
            return GroupResult(
                name=group.name, metrics=None, intervals=None, faceless=faceless, lacking=" and ".join(lacking)
            )
        intervals = None
        if resamples and level == "video":
            options = {"threshold": threshold, "confidence": confidence}
            intervals = bootstrap(scores, labels, resamples=resamples, seed=seed, **options)
        return GroupResult(name=group.name, metrics=found, intervals=intervals, faceless=faceless)

    groups = tuple(measure(group) for group in protocol.groups)
    there = [group.metrics for group in groups if group.metrics is not None]
    if not there:
        named = "; ".join(f"{group.name} has no {group.lacking}" for group in groups)
        hint = f"there are: {_contents(predictions.videos)}"
        what = f"no group of {protocol.name} is in the predictions: {named}"
        raise UsageError(what, where=predictions.model, hint=hint)
    return Evaluation(
        model=predictions.model,
        protocol=protocol.name,
        level=level,
        missing=missing,
        groups=groups,
        average=_mean(there),
    )


def _shown(dataset: str) -> str:
    return dataset or "no data set"


def _mean(found: list[Metrics]) -> Metrics:
    figures = {name: math.fsum(getattr(each, name) for each in found) / len(found) for name in FIGURES}
    return Metrics(**figures, real=sum(each.real for each in found), fake=sum(each.fake for each in found))


def _contents(videos: Iterable[VideoScore], shown: int = 6) -> str:
    """What there is to choose from: data sets with their splits and compressions."""
    sets = sorted({" ".join(filter(None, (v.dataset, v.split, v.compression, v.method))) for v in videos})
    more = f" and {len(sets) - shown} more" if len(sets) > shown else ""
    return (", ".join(sets[:shown]) or "no videos") + more


def _group(name: str, given: object, where: object) -> Group:
    if not isinstance(given, Mapping):
        raise UsageError(f"group {name} is {given!r}, not a table", where=where, hint=f"write [groups.{name}]")
    for key in given:
        check_name(str(key), [f.name for f in fields(Group) if f.name != "name"], f"option groups.{name}.", where)
    if not given.get("dataset"):
        raise UsageError(f"group {name} has no dataset", where=where, hint='such as dataset = "celeb_df_v2"')
    return Group(name=name, **{key: _texts(value, f"groups.{name}.{key}", where) for key, value in given.items()})


def _texts(value: object, name: str, where: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list) and all(isinstance(item, str) for item in values):
        return tuple(values)
    raise UsageError(f"{name} is {value!r}, not a list of names", where=where)
