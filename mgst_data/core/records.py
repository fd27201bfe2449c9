"""Data types between a folder of videos and a shard: records, detections, tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

REAL, FAKE = 0, 1
SPLITS = ("train", "val", "test")
# Name of the data set that the demo renders. It has the layout of FaceForensics++, but none of its videos.
DEMO = "demo"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,120}")
# Times of frames are multiples of a fraction, and times of spans are decimals: they differ by rounding, seconds.
_SAME_TIME = 1e-6
# Default of FrameBatch.damaged: the number of frames is known only when a batch is made.
NO_FRAME = torch.zeros(0, dtype=torch.bool)


def main_track(areas: Mapping[int, float]) -> int:
    """Returns the main face of a video: the track with the largest sum of box areas over its frames.

    Args:
        areas: Sum of the box areas of each track, square pixels of the video, by track number. If two are equal, the
            lower number wins.
    """
    return max(sorted(areas), key=areas.__getitem__)


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video of a data set. Its layout parses the path, and no other code does.

    Attributes:
        key: Key that is unique within a scan: 1 to 120 letters, digits, ``_`` and ``-``.
        path: Location that a reader opens: an absolute path or a URL.
        video: Path relative to the root of the data set, as shown to the user.
        dataset: Name of the data set ("ffpp", "celeb_df_v2", ...).
        split: "train", "val", "test", or "" if the data set defines no split for this video.
        label: 0 real, 1 fake.
        method: Name of the manipulation method; "real" for real videos.
        compression: "raw", "c23", "c40", ...; "" if the data set has only one compression.
        source_key: Source identity of a fake, with the prefix of the collection that the identity comes from
            ("ffpp/003"). "" for real videos, and where it is unknown.
        target_key: Identity that the video shows, in the same form. For a fake, the identity of the video that was
            changed.
        mask_path: Video of the manipulation masks, or "".
        fake_spans: Parts of a fake video that are fake, as (start, end) in seconds: start included, end excluded,
            sorted, without overlap. Empty if the whole video is fake, or if the data set does not say.
        landmarks_path: Folder of prepared landmarks, or "". ``path`` is then a folder of prepared crops, each with one
            aligned face. Every crop has a file with the same stem and the suffix ``.npy``: landmarks (k, 2), pixels of
            the crop.

    Raises:
        ValueError: if a value is not as described.
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
    fake_spans: tuple[tuple[float, float], ...] = ()
    landmarks_path: str = ""

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"label must be 0 (real) or 1 (fake), got {self.label!r}")
        if self.split not in (*SPLITS, ""):
            raise ValueError(f"split must be one of {SPLITS} or '', got {self.split!r}")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"key must be 1 to 120 letters, digits, '_' and '-', got {self.key!r}")
        if self.fake_spans:
            if self.label != FAKE:
                raise ValueError("fake_spans must be empty for a real video")
            times = [time for span in self.fake_spans for time in span]
            if times[0] < 0 or any(a > b for a, b in pairwise(times)):
                raise ValueError(f"fake_spans must be sorted spans without overlap, got {self.fake_spans}")

    @staticmethod
    def unlabelled(path: str, *, key: str) -> VideoRecord:
        """Makes a record for a single video that belongs to no data set. Its label is real, because nothing is known.

        Args:
            path: Path or URL of the video.
            key: Key of the record; see :class:`VideoRecord`.
        """
        return VideoRecord(key, path, path, dataset="", split="", label=REAL, method="real")

    def fake_frames(self, times: Float[Tensor, " t"]) -> Bool[Tensor, " t"]:
        """Returns which frames are fake: of a fake video, the frames in its spans, or all frames if it has no spans.

        Args:
            times: Presentation times of the frames, seconds.
        """
        if not self.fake_spans:
            return torch.full(times.shape, self.label == FAKE)
        starts, ends = (torch.tensor(self.fake_spans, dtype=torch.float64) - _SAME_TIME).unbind(1)
        return ((times[:, None] >= starts) & (times[:, None] < ends)).any(dim=1)

    @property
    def identities(self) -> frozenset[str]:
        """All identities of the video. None of them may appear in another split."""
        return frozenset(key for key in (self.source_key, self.target_key) if key)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Consecutive upright frames of a video.

    Attributes:
        frames: RGB frames. They are stored channels-last, so ``frames.permute(0, 2, 3, 1).numpy()`` copies nothing.
        index: Number of each frame in the video, in presentation order, from 0.
        pts: Presentation time of each frame, seconds.
        fps: Average frame rate of the stream, frames per second; 0 if unknown.
        damage: Reason code of the first fault in the stream up to the end of this batch; "" if there is none.
        damaged: True for damaged frames. By default no frame is damaged.
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
    """Faces that a detector found in a batch of frames, as flat columns of the same length n.

    Attributes:
        frame: Index of the frame within the batch.
        boxes: ``x0, y0, x1, y1`` in pixels of the frame, not clipped to the frame.
        scores: Probability that the box is a face, [0, 1].
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
        """Makes detections without any face."""
        return Detections(torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5, 2))


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One face in consecutive frames of a video: t frames, k landmarks, all in pixels of the frame.

    Attributes:
        id: Number of the face within its video, in order of first appearance.
        frame: Index of each frame in the video, ascending.
        boxes: Boxes of the detector, ``x0, y0, x1, y1``.
        scores: Probability that the box is a face, for each frame, [0, 1].
        points: Five points of the detector.
        landmarks: Points of the landmark model. Their number k depends on the model.
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
        raise ValueError(f"columns must have the same length, got {lengths}")
