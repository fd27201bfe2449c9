"""The table of all tracks, ``tracks.csv``."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from mgst_data.export.fields import TRACK_FIELDS, track_fields
from mgst_data.export.tracks import LABELS, Track, TrackFrame
from mgst_data.shards.storage import output_errors

TABLE = "tracks.csv"
# Columns beside those of TRACK_FIELDS, all of them about the exported frames.
COLUMNS = {
    "split": "train, val, test, or unsplit",
    "label": "real, or fake if a frame is fake",
    "frames": "number of exported frames",
    "fakes": "number of fake frames among them",
    "stored": "number of frames in the shards",
    "first_frame": "number of the first exported frame in the video, from 0",
    "last_frame": "number of the last exported frame",
    "start": "time of the first exported frame, seconds",
    "end": "time of the last exported frame, seconds",
    "size": "side of the crops, pixels; of the largest one",
    **{f"box_{edge}": f"{edge} of the face box, pixels of the video; median" for edge in ("x0", "y0", "x1", "y1")},
    "score": "probability of a face, 0 to 1; mean",
    "landmarks": "number of landmarks",
    "invalid": "share of the landmarks that lie outside the frame or jump",
    "damaged": "number of frames that were decoded from damaged data",
    "masks": "number of frames with a manipulation mask",
}


@dataclass(slots=True)
class Count:
    """Numbers of tracks, and of real and fake frames."""

    tracks: int = 0
    real: int = 0
    fake: int = 0


class TrackTable:
    """Writes one row per track, while a format writes its frames.

    Args:
        path: File to write.

    Raises:
        OutputError: if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with output_errors(path):
            self._file = path.open("w", encoding="utf-8", newline="")
            self._rows = csv.DictWriter(self._file, [*TRACK_FIELDS, *COLUMNS])
            self._rows.writeheader()
        self.counts: defaultdict[str, Count] = defaultdict(Count)
        self.datasets: dict[str, set[str]] = defaultdict(set)

    def watched(self, track: Track, frames: Iterator[TrackFrame]) -> Iterator[TrackFrame]:
        """Yields the frames of a track unchanged; when all are used, writes the row of the track.

        Args:
            track: The track.
            frames: Its chosen frames, at least one.

        Raises:
            OutputError: if the file cannot be written.
        """
        seen = []
        for frame in frames:
            # Without its pictures and landmarks, which may take gigabytes.
            seen.append(replace(frame, image=b"", mask=None if frame.mask is None else b"", landmarks=[]))
            yield frame
        row = _row(track, seen, landmarks=len(frame.landmarks))
        with output_errors(self._path):
            self._rows.writerow(track_fields(track) | row)
        count = self.counts[track.split]
        count.tracks += 1
        count.real += len(seen) - row["fakes"]
        count.fake += row["fakes"]
        self.datasets[track.record.dataset].add(track.record.method)

    def close(self) -> None:
        """Closes the file.

        Raises:
            OutputError: if the file cannot be written.
        """
        with output_errors(self._path):
            self._file.close()


def _row(track: Track, frames: Sequence[TrackFrame], *, landmarks: int) -> dict[str, Any]:
    """Returns the values of ``COLUMNS``."""
    fakes = sum(frame.label for frame in frames)
    box = [round(median(edges), 1) for edges in zip(*(frame.frame_box for frame in frames), strict=True)]
    return {
        "split": track.split,
        "label": LABELS[fakes > 0],
        "frames": len(frames),
        "fakes": fakes,
        "stored": track.length,
        "first_frame": frames[0].number,
        "last_frame": frames[-1].number,
        "start": round(frames[0].time, 6),
        "end": round(frames[-1].time, 6),
        "size": max(frame.size for frame in frames),
        **dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), box, strict=True)),
        "score": round(fmean(frame.score for frame in frames), 4),
        "landmarks": landmarks,
        "invalid": round(1 - fmean(fmean(frame.valid) for frame in frames), 4),
        "damaged": sum(frame.damaged for frame in frames),
        "masks": sum(frame.mask is not None for frame in frames),
    }
