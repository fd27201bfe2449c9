"""Computes the figures: AUC by kind of fake, pairs, and false positives, with intervals over people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgst_data.core import FAKE, REAL, UsageError
from mgst_model.evaluate.metrics import Scored, auc_difference, mean_auc, metrics
from mgst_model.evaluate.predictions import Predictions
from mgst_model.evaluate.resampling import Estimate, group_interval

from .kit import Kit, Labelled, Video
from .names import GROUPS

# False-positive rate on real clips of val that sets the threshold.
WANTED = 0.1
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of one row for the videos of a split: n videos, s seeds.

    Attributes:
        videos: The videos that have a score with every seed.
        rows: Their lines of the table.
        groups: Their people, see :attr:`Kit.groups`.
        scores: Scores: (s, n).
        faceless: Number of videos without a score.
    """

    videos: tuple[Video, ...]
    rows: tuple[Labelled, ...]
    groups: tuple[str, ...]
    scores: Floats
    faceless: int

    @staticmethod
    def of(kit: Kit, folder: str, split: str, some: Sequence[Predictions]) -> Scores:
        """Joins predictions with the table.

        Args:
            kit: Clips and stills.
            folder: "clips" or "stills".
            split: Split of the videos.
            some: Predictions, one for each seed.

        Raises:
            UsageError: if no video of the split has a score.
        """
        found = [{video.key: video.score for video in one.videos} for one in some]
        wanted = kit.of(folder, split)
        videos = tuple(video for video in wanted if all(one.get(video[1]) is not None for one in found))
        if not videos:
            raise UsageError(f"no video of {folder} in {split} has a score", where=kit.shards / folder)
        scores = np.array([[one[video[1]] for video in videos] for one in found], dtype=np.float64)
        rows = tuple(wanted[video] for video in videos)
        groups = tuple(kit.groups[video] for video in videos)
        return Scores(videos, rows, groups, scores, len(wanted) - len(videos))

    @property
    def labels(self) -> Ints:
        """Label of each video."""
        return np.array([row.label for row in self.rows])

    @property
    def reals(self) -> Scores:
        """The real videos."""
        return self.at((self.labels == REAL).nonzero()[0])

    def at(self, places: Ints) -> Scores:
        """Returns the videos at some places."""
        videos, rows, groups = ([some[i] for i in places] for some in (self.videos, self.rows, self.groups))
        return Scores(tuple(videos), tuple(rows), tuple(groups), self.scores[:, places], self.faceless)

    def of_kinds(self, kinds: Sequence[str]) -> Scores:
        """Returns all real videos, and the fakes of some kinds."""
        chosen = [i for i, row in enumerate(self.rows) if row.label == REAL or row.kind in kinds]
        return self.at(np.array(chosen))

    def scored(self) -> list[Scored]:
        """Returns scores and labels, one entry for each seed."""
        return [Scored.of(mine, self.labels) for mine in self.scores]

    def __len__(self) -> int:
        return len(self.videos)


def of_kinds(scores: Scores) -> dict[str, Any]:
    """Computes the figures of each kind of fake, and of the two groups, against all real videos of the split.

    Args:
        scores: Scores of one row.

    Returns:
        By kind: numbers of fakes and of people in them; ``auc``: mean over the seeds with interval; ``seeds`` and
        ``deviation``: AUC of each seed and their standard deviation; ``pairs``: share of the fakes that score above
        their paired real video, with interval; ``auc_of_pairs``: AUC of these fakes against all real videos;
        ``paired``: their number. Kinds without fakes are left out.
    """
    found: dict[str, Any] = {}
    for name, kinds in GROUPS.items():
        mine = scores.of_kinds(kinds)
        fakes = [i for i, row in enumerate(mine.rows) if row.label == FAKE]
        if not fakes:
            continue
        seeds = [metrics(*each).auc for each in mine.scored()]
        found[name] = {
            "fakes": len(fakes),
            "people": len({mine.groups[i] for i in fakes}),
            "auc": rounded(mean_auc(mine.scored(), groups=mine.groups)),
            "seeds": [round(value, 4) for value in seeds],
            "deviation": round(statistics.stdev(seeds), 4) if len(seeds) > 1 else None,
            **_of_pairs(mine),
        }
    return found


def _of_pairs(scores: Scores) -> dict[str, Any]:
    """Compares fakes with their paired real videos; a fake of several real videos counts their mean."""
    of_pair: dict[str, list[int]] = {}
    for i, row in enumerate(scores.rows):
        if row.label == REAL and row.pair:
            of_pair.setdefault(row.pair, []).append(i)
    paired = [i for i, row in enumerate(scores.rows) if row.label == FAKE and row.pair in of_pair]
    if not paired:
        return {"pairs": None, "auc_of_pairs": None, "paired": 0}
    won = []
    for i in paired:
        fake, reals = scores.scores[:, [i]], scores.scores[:, of_pair[scores.rows[i].pair]]
        won.append(((np.sign(fake - reals) + 1) / 2).mean())
    share = np.array(won)
    estimate = group_interval(lambda places: float(share[places].mean()), [scores.groups[i] for i in paired])
    reals = (scores.labels == REAL).nonzero()[0].tolist()
    both = scores.at(np.array([*reals, *paired]))
    auc = mean_auc(both.scored(), groups=both.groups)
    return {"pairs": rounded(estimate), "auc_of_pairs": rounded(auc), "paired": len(paired)}


def differences(first: Scores, second: Scores) -> dict[str, list[float | None]]:
    """Computes the AUC of a row minus that of another, by kind, on the videos that both have scored.

    Args:
        first: Scores of the row.
        second: Scores of the row that it is compared with.
    """
    there = set(second.videos)
    common = [video for video in first.videos if video in there]
    places = [np.array([one.videos.index(video) for video in common]) for one in (first, second)]
    both = [one.at(mine) for one, mine in zip((first, second), places, strict=True)]
    found = {}
    for name, kinds in GROUPS.items():
        mine, other = (one.of_kinds(kinds) for one in both)
        if (mine.labels == FAKE).any():
            found[name] = rounded(auc_difference(mine.scored(), other.scored(), groups=mine.groups))
    return found


def thresholds(val: Scores, wanted: float = WANTED) -> Floats:
    """Returns, for each seed, the smallest score with at most a wanted share of the real videos above it.

    Args:
        val: Scores of the split val.
        wanted: The share.
    """
    found: Floats = np.quantile(val.reals.scores, 1 - wanted, axis=1, method="higher")
    return found


def false_positives(scores: Scores, threshold: Floats) -> dict[str, Any]:
    """Computes the false-positive rate on real videos: mean over the seeds, with an interval over people.

    Args:
        scores: Scores; fakes are ignored.
        threshold: Threshold of each seed.
    """
    real = scores.reals
    above = (real.scores > threshold[:, None]).mean(axis=0)
    rate = group_interval(lambda places: float(above[places].mean()), real.groups)
    return {"rate": rounded(rate), "videos": len(real), "people": len(set(real.groups))}


def rounded(estimate: Estimate) -> list[float | None]:
    """Returns a figure and its interval for JSON; None for what is unknown."""
    return [None if np.isnan(value) else round(float(value), 4) for value in estimate]


def row_figures(
    val: Mapping[str, Scores], test: Mapping[str, Scores] | None, compared: Mapping[str, str]
) -> dict[str, Any]:
    """Computes the figures of rows.

    Args:
        val: Scores for the split val by row.
        test: Scores for the split test by row; None to describe val.
        compared: Row that each row is compared with, or "".

    Returns:
        ``split``, the numbers of real videos and of people in them, and by row: ``kinds``, ``minus`` (name of the other
        row) and ``differences`` if that row is there, and for the test ``false_positives``.
    """
    shown = val if test is None else test
    some = next(iter(shown.values()))
    rows: dict[str, Any] = {}
    for name, scores in shown.items():
        rows[name] = {"kinds": of_kinds(scores), "faceless": scores.faceless}
        other = shown.get(compared.get(name, ""))
        if other is not None and other is not scores:
            rows[name] |= {"minus": compared[name], "differences": differences(scores, other)}
        if test is not None:
            rows[name]["false_positives"] = false_positives(scores, thresholds(val[name]))
    reals = {"reals": len(some.reals), "real_people": len(set(some.reals.groups))}
    return {"split": "val" if test is None else "test", **reals, "rows": rows}
