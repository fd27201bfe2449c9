"""Detectors beside one of them, on the same videos: by how much their areas differ, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mgst_model.evaluate.metrics import Estimate, Scored, auc_difference
from mgst_model.evaluate.predictions import Missing, Predictions
from mgst_model.evaluate.protocols import Group, Protocol
from mgst_model.evaluate.tables import Row


def group_difference(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    group: Group,
    *,
    missing: Missing = "leave_out",
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """How far the AUC of one detector lies above that of another, on the videos of a group that all have scored.

    Args:
        first: What one detector says; several times, if it was trained several times.
        second: What the other one says.
        group: The videos.
        missing: What becomes of videos without a face: left out, if any of them has not found one, or 0.5 ("half").
        resamples: Of the interval, which holds 95 %; see :func:`mgst_model.evaluate.metrics.auc_difference`.
        seed: Of the interval.

    Returns:
        Not a number where the group lacks reals or fakes that all have scored.
    """
    common = _common([group.select(each) for each in (*first, *second)], missing)
    return auc_difference(common[: len(first)], common[len(first) :], resamples=resamples, seed=seed)


def difference_rows(
    predictions: Sequence[Predictions],
    protocol: Protocol,
    *,
    missing: Missing = "leave_out",
    resamples: int = 1000,
    seed: int = 0,
) -> list[Row]:
    """A row for every detector but the first, a column for every group: its AUC minus that of the first.

    Args:
        predictions: Of several detectors.
        protocol: The groups.
        missing: What becomes of videos without a face.
        resamples: Of the intervals, which hold 95 %.
        seed: Of the intervals.
    """
    first, *others = predictions
    return [
        {"model": other.model}
        | {
            group.name: group_difference([other], [first], group, missing=missing, resamples=resamples, seed=seed)
            for group in protocol.groups
        }
        for other in others
    ]


def _common(some: Sequence[Predictions], missing: Missing) -> list[Scored]:
    """The scores of the videos that are in all of them, in one order."""
    known = [
        {(video.dataset, video.key): video for video in one.videos if missing == "half" or video.score is not None}
        for one in some
    ]
    keys = sorted(set(known[0]).intersection(*known[1:]))
    return [
        replace(one, videos=tuple(videos[key] for key in keys)).scores(missing)
        for one, videos in zip(some, known, strict=True)
    ]
