"""The rows of the wall of tracks: what the page shows, filters and sorts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mgst_data.core.errors import printable
from mgst_data.people import Duplicate
from mgst_data.report.outliers import LIMIT
from mgst_data.report.tracks import TrackFacts

# Columns of a row, in the order in which the page has them. The script wall.js uses the same names.
COLUMNS = (
    "number", "attention", "video", "track", "folder", "dataset", "split", "label", "method", "compression", "frames",
    "fps", "face", "score", "sharpness", "yaw", "pitch", "roll", "doubt", "jitter", "reasons", "size", "about",
)  # fmt: skip
DUPLICATE, OUTLIER = "possible duplicate", "outlier"


def wall_rows(
    tracks: Sequence[TrackFacts],
    unusual: Sequence[Mapping[str, float]],
    copies: Sequence[Duplicate],
    notes: Mapping[tuple[str, str], Sequence[tuple[str, str]]],
    names: Mapping[str, str],
) -> list[list[Any]]:
    """Makes one row for each track; its number is its place.

    Args:
        tracks: Facts about the tracks.
        unusual: For each track, its robust z-scores by name of the value.
        copies: Pairs of videos that may be duplicates.
        notes: Reason code and text of every note on a video, by name of the folder and key of the video.
        names: Name of each folder by its location.

    Returns:
        Rows in the order of ``COLUMNS``. "attention" ranks them: duplicates first, then outliers, then the rest.
    """
    videos = {(track.folder, track.key): printable(track.video) for track in tracks}
    partners: defaultdict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for copy in copies:
        ends = [(names[folder], video) for folder, video in zip(copy.folders, copy.videos, strict=True)]
        for mine, other in (ends, ends[::-1]):
            partners[mine].append((videos[other], copy.share))
    rows = []
    for number, (track, scores) in enumerate(zip(tracks, unusual, strict=True)):
        twins, remarks = partners[track.folder, track.key], notes.get((track.folder, track.key), ())
        share = max((share for _, share in twins), default=0.0)
        reasons = [DUPLICATE] * bool(twins) + [f"{OUTLIER}: {name}" for name in scores]
        about = [f"possible duplicate of {other} ({part:.0%} of the compared frames)" for other, part in twins[:3]]
        about += [f"{name}: {score:g} robust standard deviations from the median" for name, score in scores.items()]
        about += [text for _, text in remarks]
        values = {
            "number": number,
            "attention": round(1000 * share + min(999.0, max(scores.values(), default=0.0)), 1),
            "video": printable(track.video),
            "label": ("real", "fake")[track.label],
            "reasons": reasons + list(dict.fromkeys(reason for reason, _ in remarks)),
            "size": f"{track.width}x{track.height}",
            "about": [printable(line) for line in about],
        }
        rows.append([values[name] if name in values else getattr(track, name) for name in COLUMNS])
    return rows


def limits_in_words() -> str:
    """Returns what an outlier is, for the page."""
    return f"An outlier is more than {LIMIT:g} robust standard deviations away from the median of all tracks."
