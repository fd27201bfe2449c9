"""Differences in AUC between detectors on the same videos, with paired confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mgst_model.evaluate.metrics import Scored, auc_difference
from mgst_model.evaluate.predictions import Missing, Predictions
from mgst_model.evaluate.protocols import Group, Protocol
from mgst_model.evaluate.resampling import Estimate
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
    """Computes the AUC of one detector minus the AUC of another, on the videos of a group that all of them scored.

    Args:
        first: Predictions of one detector. Several entries if it was trained several times.
        second: Predictions of the other detector, in the same way.
        group: Group that selects the videos.
        missing: How to count videos without a face: "leave_out" leaves a video out if any of the predictions has no
            face, "half" gives it the score 0.5.
        resamples: Number of bootstrap resamples of the 95 % interval, see
            :func:`mgst_model.evaluate.metrics.auc_difference`.
        seed: Seed of the bootstrap.

    Returns:
        The difference. NaN if the group lacks real or fake videos that all predictions scored.
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
    """Returns a row per detector except the first, with its AUC minus the AUC of the first for every group.

    Args:
        predictions: Predictions of several detectors.
        protocol: Protocol with the groups.
        missing: How to count videos without a face: "leave_out" or "half".
        resamples: Number of bootstrap resamples of the 95 % intervals.
        seed: Seed of the bootstrap.
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
    """Returns the scores of the videos that are in all predictions, in the same order."""
    known = [
        {(video.dataset, video.key): video for video in one.videos if missing == "half" or video.score is not None}
        for one in some
    ]
    keys = sorted(set(known[0]).intersection(*known[1:]))
    return [
        replace(one, videos=tuple(videos[key] for key in keys)).scores(missing)
        for one, videos in zip(some, known, strict=True)
    ]
