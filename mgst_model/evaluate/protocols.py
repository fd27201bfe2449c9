"""Protocols: which videos are compared, and how averages are formed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mgst_data.core import FAKE, REAL, UsageError
from mgst_data.core.errors import check_name
from mgst_model.evaluate.metrics import FIGURES, Intervals, Metrics, bootstrap, metrics
from mgst_model.evaluate.predictions import Level, Missing, Predictions, VideoScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fake videos and the real videos that they are compared with.

    Attributes:
        name: Name of the group in tables.
        dataset: Data sets of the fakes, by the names that their layouts give them; () for all.
        method: Only fakes of these methods; () for all. Real videos are not filtered by it.
        split: Only videos of these splits; () for all.
        compression: Only videos of these compressions; () for all.
        reals: Data sets of the real videos; () for the data sets of the fakes.
        source: Only videos of these folders of shards, by name; () for all.
    """

    name: str
    dataset: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    compression: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()
    source: tuple[str, ...] = ()

    def select(self, predictions: Predictions) -> Predictions:
        """Returns the videos of this group."""
        common = {name: getattr(self, name) or None for name in ("split", "compression", "source")}
        real = predictions.select(label=REAL, dataset=self.reals or self.dataset or None, **common)
        fake = predictions.select(label=FAKE, dataset=self.dataset or None, method=self.method or None, **common)
        return Predictions(predictions.model, real.videos + fake.videos, predictions.info)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Groups of videos, each measured separately, and their average.

    Attributes:
        name: Name in files and commands.
        description: One line for people.
        groups: One or more groups with different names.
    """

    name: str
    description: str
    groups: tuple[Group, ...]

    @staticmethod
    def of(given: Mapping[str, Any], *, where: object = "") -> Protocol:
        """Builds a protocol from the content of a TOML file.

        Args:
            given: Strings ``name`` and ``description``, and a table ``groups`` with one table per group: the fields of
                :class:`Group` except ``name``, each a string or a list of strings.
            where: The file, for errors.

        Raises:
            UsageError: if a key is unknown (the error suggests a known one), or a value is invalid.
        """
        for key in given:
            check_name(str(key), [f.name for f in fields(Protocol)], "option", where)
        name, description, groups = (given.get(f.name) for f in fields(Protocol))
        if not (isinstance(name, str) and name and isinstance(description, str)):
            raise UsageError(
                "name or description is missing", where=where, hint='write name = "..." and description = "..."'
            )
        if not (isinstance(groups, Mapping) and groups):
            raise UsageError("groups are missing", where=where, hint='write [groups.NAME] and dataset = "..." below it')
        return Protocol(
            name=name,
            description=description,
            groups=tuple(_group(str(key), value, where) for key, value in groups.items()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """Result of one group.

    Attributes:
        name: Name of the group.
        metrics: Metrics; None if the group lacks real or fake videos.
        intervals: Confidence intervals. None if the group lacks videos, and for frames, because frames of one video are
            not independent.
        faceless: Number of videos of the group in which no face was found.
        lacking: "real videos", "fake videos" or both if the group lacks them; "" otherwise.
        seen: Numbers of videos that the network knows, such as "3 trained, 1 person"; "" if there are none.
    """

    name: str
    metrics: Metrics | None
    intervals: Intervals | None
    faceless: int
    lacking: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Result of a protocol for the predictions of one detector.

    Attributes:
        model: Name of the detector.
        protocol: Name of the protocol.
        level: "video", "segment" or "frame": what was counted.
        missing: How videos without a face were counted.
        groups: Results in the order of the protocol.
        average: Mean of every metric over the groups with a result, with the sum of their counts. It has no interval,
            because groups may share real videos.
    """

    model: str
    protocol: str
    level: Level
    missing: Missing
    groups: tuple[GroupResult, ...]
    average: Metrics

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of the groups that are not in the average."""
        return tuple(group.name for group in self.groups if group.metrics is None)

    @property
    def average_name(self) -> str:
        """Label of the average: "average", with a note if groups are missing."""
        there = len(self.groups) - len(self.lacking)
        return "average" if not self.lacking else f"average ({there} of {len(self.groups)})"


def protocols_of(videos: Iterable[VideoScore]) -> tuple[Protocol, ...]:
    """Returns protocols for arbitrary videos: each data set against its own real videos, each source, each method.

    The protocol of sources exists only if there are several folders of shards, and the protocol of methods only if a
    data set has several methods. There are several protocols so that no average counts a video twice.

    Args:
        videos: Videos of all detectors to compare.
    """
    videos = list(videos)
    sources = sorted({video.source for video in videos})
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
    made = [by_set]
    if len(sources) > 1:
        own = tuple(Group(name=_shown(name), dataset=(), source=(name,)) for name in sources)
        description = "every folder of shards against its own real videos"
        made.append(Protocol(name="sources", description=description, groups=own))
    if all(len(some) == 1 for some in methods.values()):
        return tuple(made)
    groups = tuple(
        Group(name=method if len(methods) == 1 else f"{_shown(dataset)} {method}", dataset=(dataset,), method=(method,))
        for dataset, some in methods.items()
        for method in some
    )
    description = "method by method, against the same real videos"
    return (*made, Protocol(name="methods", description=description, groups=groups))


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
        predictions: Predictions of one detector. Videos outside all groups are ignored.
        protocol: Protocol with the groups.
        level: "video" uses the score of each video; "segment" and "frame" use the scores of all segments or frames,
            without intervals. They differ in their labels from the video where it is fake in parts.
        missing: How to count videos without a face, see :meth:`Predictions.scores`. It has an effect on videos only.
        threshold: A score above it means fake.
        resamples: Number of bootstrap resamples; 0 for no intervals.
        confidence: Confidence of the intervals, (0, 1).
        seed: Seed of the bootstrap.

    Raises:
        UsageError: if every group lacks real or fake videos.
        ImportError: if scikit-learn or SciPy is not installed.
    """

    def measure(group: Group) -> GroupResult:
        chosen = group.select(predictions)
        faceless = len(chosen.faceless())
        scores, labels = chosen.at(level, missing)
        counts = Counter(video.seen for video in chosen.videos if video.seen)
        seen = ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
        found = metrics(scores, labels, threshold=threshold)
        lacking = [f"{name} videos" for name, count in (("real", found.real), ("fake", found.fake)) if not count]
        if lacking:
            both = " and ".join(lacking)
            return GroupResult(
                name=group.name, metrics=None, intervals=None, faceless=faceless, lacking=both, seen=seen
            )
        intervals = None
        if resamples and level == "video":
            intervals = bootstrap(
                scores, labels, threshold=threshold, resamples=resamples, confidence=confidence, seed=seed
            )
        return GroupResult(name=group.name, metrics=found, intervals=intervals, faceless=faceless, seen=seen)

    groups = tuple(measure(group) for group in protocol.groups)
    there = [group.metrics for group in groups if group.metrics is not None]
    if not there and all(video.score is None for video in predictions.videos):
        what = f"none of {len(predictions.videos)} videos has a score: no face, or too few consecutive frames"
        hint = "for single frames and frames that are spread over a video, use a network of single frames (preset sbi)"
        raise UsageError(what, where=predictions.model, hint=hint)
    if not there:
        named = "; ".join(f"{group.name} has no {group.lacking}" for group in groups)
        hint = f"the predictions have: {_contents(predictions.videos)}"
        what = f"the predictions have no videos for any group of {protocol.name}: {named}"
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
    """Lists the available data sets with their splits, compressions and methods."""
    sets = sorted({" ".join(filter(None, (v.dataset, v.split, v.compression, v.method))) for v in videos})
    more = f" and {len(sets) - shown} more" if len(sets) > shown else ""
    return (", ".join(sets[:shown]) or "no videos") + more


def _group(name: str, given: object, where: object) -> Group:
    if not isinstance(given, Mapping):
        raise UsageError(f"group {name} must be a table, got {given!r}", where=where, hint=f"write [groups.{name}]")
    for key in given:
        check_name(str(key), [f.name for f in fields(Group) if f.name != "name"], f"option groups.{name}.", where)
    if not (given.get("dataset") or given.get("source")):
        raise UsageError(
            f"group {name} has no dataset", where=where, hint='write, for example, dataset = "celeb_df_v2"'
        )
    return Group(name=name, **{key: _texts(value, f"groups.{name}.{key}", where) for key, value in given.items()})


def _texts(value: object, name: str, where: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list) and all(isinstance(item, str) for item in values):
        return tuple(values)
    raise UsageError(f"{name} must be a name or a list of names, got {value!r}", where=where)
