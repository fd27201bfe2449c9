"""Looks at all chunks of a video: which tracks show the manipulated face, and which limits of the video to report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from mgst_data.core.records import FAKE, VideoRecord
from mgst_data.shards.schema import FaceChunk

# Smallest share of a face box that the mask covers in a frame of a manipulated face. Masks of whole faces cover 40 to
# 70 % of the box, masks of a mouth 10 %.
_COVERED = 0.05
# Smallest covered share relative to that of the track with the largest share. The box of a face that is near a
# manipulated face contains a part of its mask.
_COMPARED = 0.5
# Quantile over the frames of a track. Some frames of a fake may be untouched.
_QUANTILE = 0.9


class TrackSurvey:
    """Collects what the chunks of a video say about its tracks.

    A fake video with several faces usually has one manipulated face. With masks, it is the track whose face boxes are
    covered by the mask; the other tracks are real faces. Without masks, it is unknown which face is manipulated.

    Args:
        record: Record of the video.
        by_mask: Whether the chunks have masks that show the manipulated face.

    Attributes:
        tracks: Number of tracks so far.
    """

    def __init__(self, record: VideoRecord, *, by_mask: bool) -> None:
        self._record, self._by_mask = record, by_mask
        self._covered: dict[int, list[float]] = {}
        self._faces_in: Counter[int] = Counter()
        self._lengths: list[int] = []

    @property
    def tracks(self) -> int:
        """Number of tracks so far."""
        return len(self._covered)

    def watch(self, chunks: Iterable[FaceChunk]) -> Iterator[FaceChunk]:
        """Yields the chunks unchanged, and remembers what is needed of them."""
        for chunk in chunks:
            covered = self._covered.setdefault(chunk.track, [])
            if self._by_mask:
                covered += covered_shares(chunk)
            self._faces_in.update(chunk.frame_indices.tolist())
            self._lengths.append(len(chunk))
            yield chunk

    def manipulated(self) -> set[int]:
        """Returns the tracks that may be labelled fake.

        These are the tracks that the mask covers, if any frame has a mask; otherwise all tracks.
        """
        if not any(self._covered.values()):
            return set(self._covered)
        shares = {track: float(np.quantile(found, _QUANTILE)) for track, found in self._covered.items() if found}
        least = max(_COVERED, _COMPARED * max(shares.values()))
        return {track for track, share in shares.items() if share >= least}

    def notes(self, *, longest_run: int) -> list[tuple[str, str]]:
        """Returns reason code and text of the limits of the video.

        Args:
            longest_run: Largest number of frames of a chunk.
        """
        video, tracks = self._record.video, len(self._covered)
        notes = []
        if tracks > 1 and self._record.label == FAKE:
            kept = len(self.manipulated())
            if any(self._covered.values()):
                if kept < tracks:
                    what = f"{tracks - kept} of {tracks} face tracks left out: the mask does not cover them"
                    notes.append(("unchanged_face", f"{video}: {what}"))
            else:
                together = sum(count > 1 for count in self._faces_in.values())
                what = f"{tracks} face tracks in a fake video without a mask, {together} frames with several faces"
                notes.append(("several_faces", f"{video}: {what}; the label may belong to another face"))
        numbers = sorted(self._faces_in)
        gaps = sum(after != before + 1 for before, after in pairwise(numbers))
        longest = max(self._lengths, default=0)
        if gaps and 2 * gaps >= len(numbers) - 1 and longest < longest_run:
            what = f"{len(numbers)} frames with {gaps} gaps between their numbers give {len(self._lengths)} chunks"
            length = "1 frame" if longest == 1 else f"at most {longest} frames"
            notes.append(("spread_frames", f"{video}: {what} of {length}, for networks of single frames"))
        return notes


def covered_shares(chunk: FaceChunk) -> list[float]:
    """Returns the share of the face box that the mask covers, [0, 1], for every frame; empty without masks."""
    shares = []
    for mask, box in zip(chunk.mask_frames(), chunk.boxes.round().long().tolist(), strict=False):
        x0, y0, x1, y1 = (min(max(value, 0), chunk.crop_size) for value in box)
        inside = mask[y0:y1, x0:x1]
        shares.append(float((inside > 127).mean()) if inside.size else 0.0)
    return shares
