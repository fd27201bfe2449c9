"""The central types between a folder of videos and a shard: records, detections, tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

REAL, FAKE = 0, 1
SPLITS = ("train", "val", "test")
# Name of the data set that the demo renders: in the layout of FaceForensics++, but none of its videos.
DEMO = "demo"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,120}")
# Stands for "no frame of any number": how many there are is known only when a batch is made.
NO_FRAME = torch.zeros(0, dtype=torch.bool)


def main_track(areas: Mapping[int, float]) -> int:
    """The main face of a video: of its tracks, the one with the largest sum of areas over its frames.

    Args:
        areas: Sum of the areas of each track's boxes, square pixels of the video; of equal ones the first track wins.
    """
    return max(sorted(areas), key=areas.__getitem__)


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video of a data set, as its layout understands it. A path is parsed once, there.

    Attributes:
        key: Unique within a scan; letters, digits, ``_`` and ``-`` only, at most 120 of them.
        path: What a reader opens: an absolute path or a URL.
        video: The same relative to the data set's root, as the user knows it.
        dataset: Name of the data set ("ffpp", "celeb_df_v2", ...).
        split: "train", "val", "test", or "" where the data set defines none for this video.
        label: 0 real, 1 fake.
        method: Name of the manipulation; "real" for real videos.
        compression: "raw", "c23", "c40", ... or "" where the data set has one only.
        source_key: Identity whose face was taken, with the prefix of the collection the identity comes
            from ("ffpp/003"); "" for real videos and where it is unknown.
        target_key: Identity that the video shows (for a fake: the video that was altered), likewise.
        mask_path: Video of manipulation masks, or "".
    """

    key: str
    path: str
    video: str
    dataset: str
    split: str
    label: int
    method: str
    compression: str = ""
    source_key: str = ""
    target_key: str = ""
    mask_path: str = ""

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"label is 0 (real) or 1 (fake), not {self.label!r}")
        if self.split not in (*SPLITS, ""):
            raise ValueError(f"split is one of {SPLITS} or '', not {self.split!r}")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"key {self.key!r} is not 1 to 120 letters, digits, '_' and '-'")

    @staticmethod
    def unlabelled(path: str, *, key: str) -> VideoRecord:
        """A video by itself, of no data set; nothing is known of it, so it passes for real."""
        return VideoRecord(key, path, path, dataset="", split="", label=REAL, method="real")

    @property
    def identities(self) -> frozenset[str]:
        """Every identity that must not appear in another split."""
        return frozenset(key for key in (self.source_key, self.target_key) if key)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Consecutive frames of a video, upright.

    Attributes:
        frames: RGB; stored channels-last, so that ``frames.permute(0, 2, 3, 1).numpy()`` copies nothing.
        index: Number of each frame in the video, in order of presentation, from 0.
        pts: Time of presentation, seconds.
        fps: Average rate of the stream, frames per second; 0 where unknown.
        damage: Reason code of what was wrong with the stream up to the end of this batch; "" if nothing was.
        damaged: True for frames that were decoded from damaged data; no frame is by default.
    """

    frames: UInt8[Tensor, "n 3 h w"]
    index: Int[Tensor, " n"]
    pts: Float[Tensor, " n"]
    fps: float
    damage: str = ""
    damaged: Bool[Tensor, " n"] = NO_FRAME

    def __post_init__(self) -> None:
        if self.damaged is NO_FRAME:
            object.__setattr__(self, "damaged", torch.zeros(len(self.frames), dtype=torch.bool))
        _same_length(frames=self.frames, index=self.index, pts=self.pts, damaged=self.damaged)

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        n, _, h, w = self.frames.shape
        return f"FrameBatch({n} frames of {h}x{w})"


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces found in a batch of frames, as flat columns of the same length n.

    Attributes:
        frame: Index of the frame within the batch.
        boxes: ``x0, y0, x1, y1`` in pixels of the frame; not clipped to it.
        scores: Probability of a face, [0, 1].
        points: Left eye, right eye (as the viewer sees them), nose, left and right mouth corner, pixels.
    """

    frame: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, " n"]
    points: Float[Tensor, "n 5 2"]

    def __post_init__(self) -> None:
        _same_length(frame=self.frame, boxes=self.boxes, scores=self.scores, points=self.points)

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> Detections:
        return Detections(self.frame[index], self.boxes[index], self.scores[index], self.points[index])

    def __repr__(self) -> str:
        return f"Detections({len(self)} faces)"

    @staticmethod
    def empty() -> Detections:
        """No face at all."""
        return Detections(torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5, 2))


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One face through consecutive frames of a video; t frames, k landmarks, pixels of the frame.

    Attributes:
        id: Number of the face within its video, in order of first appearance.
        frame: Indices of the frames in the video, ascending.
        boxes: Detector boxes ``x0, y0, x1, y1``.
        scores: Probability of a face per frame, [0, 1].
        points: The detector's five points.
        landmarks: The landmark model's points (K of them; K is data).
    """

    id: int
    frame: Int[Tensor, " t"]
    boxes: Float[Tensor, "t 4"]
    scores: Float[Tensor, " t"]
    points: Float[Tensor, "t 5 2"]
    landmarks: Float[Tensor, "t k 2"]

    def __post_init__(self) -> None:
        _same_length(
            frame=self.frame, boxes=self.boxes, scores=self.scores, points=self.points, landmarks=self.landmarks
        )

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        span = f"frames {int(self.frame[0])}-{int(self.frame[-1])}" if len(self) else "empty"
        return f"FaceTrack(id {self.id}, {span}, {self.landmarks.shape[1]} landmarks)"


def _same_length(**columns: Tensor) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
