"""What an extraction depends on: every value that changes a byte of the output, and nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mgst_data.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractConfig:
    """Options of the extraction. The same configuration and the same videos give the same bytes.

    Attributes:
        size: Side of the crops, pixels: the most for ``upsample`` off, the exact side for on.
        margin: What the crop shows beyond the face's box on each side, in units of the box's longer side. With 0.3, a
            crop of 1.3 times the face, as most detectors are trained on, fits inside even when the face moves.
        upsample: Enlarge crops of small faces to ``size``.
        frames: Frames per chunk; the last chunk of a track has the rest.
        chunks: Chunks per video, evenly spaced; 0 for all.
        tracks: "all" faces of a video or its "main" one, which has the largest sum of areas over its frames.
        min_face: Side of the smallest face, pixels of the video.
        min_frames: Shorter tracks are dropped.
        min_score: Chunks whose median face probability is lower are dropped.
        damaged: "drop" leaves out frames that were decoded from damaged data, "keep" keeps and marks them.
        image_format: "jpg", "png" or "webp" (lossless).
        quality: Of JPEG, 1 to 100.
        masks: Carry along the manipulation masks of data sets that have them.
        reader: Name of a registered video reader.
        detector: Name of a registered face detector.
        landmarks: Name of a registered landmark model.
        landmark_model: File of the landmark model; "" for the one that is installed with this package.
    """

    size: int = 320
    margin: float = 0.3
    upsample: bool = False
    frames: int = 32
    chunks: int = 0
    tracks: Literal["all", "main"] = "all"
    min_face: int = 40
    min_frames: int = 8
    min_score: float = 0.9
    damaged: Literal["drop", "keep"] = "drop"
    image_format: Literal["jpg", "png", "webp"] = "jpg"
    quality: int = 95
    masks: bool = False
    reader: str = "pyav"
    detector: str = "mtcnn"
    landmarks: str = "dlib"
    landmark_model: str = ""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size", 16, 4096),
            ("margin", 0.0, 2.0),
            ("frames", 1, 1000),
            ("chunks", 0, 10**9),
            ("min_face", 12, 10**4),
            ("min_frames", 1, 10**6),
            ("min_score", 0.0, 1.0),
            ("quality", 1, 100),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}, outside {low} to {high}", where="extract options")
        for name, known in (
            ("tracks", ("all", "main")),
            ("damaged", ("drop", "keep")),
            ("image_format", ("jpg", "png", "webp")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}", where="extract options", hint=f"one of {', '.join(known)}"
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
