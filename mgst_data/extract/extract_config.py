"""Configuration of an extraction: exactly the options that change the output."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mgst_data.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractConfig:
    """Options of the extraction. The same configuration and the same videos give bit-identical shards.

    Attributes:
        size: Side of the crops, pixels, 16 to 4096. Without ``upsample`` it is the maximum, with ``upsample`` the exact
            side.
        margin: Margin of the crop around the face box on each side, in units of the longer side of the box, 0 to 2.
            With 0.3, a crop of 1.3 times the face, which most detectors are trained on, fits inside even if the face
            moves.
        upsample: Whether crops of small faces are enlarged to ``size``.
        frames: Frames per chunk, 1 to 1000; the last chunk of a track may have fewer.
        chunks: Chunks per video, evenly spaced; 0 keeps all.
        tracks: "all" keeps all faces of a video, "main" only the one with the largest sum of areas over its frames.
        min_face: Side of the smallest face, pixels of the video, 12 to 10000.
        min_frames: Minimum length of a track, frames; shorter tracks are dropped.
        min_score: Minimum of the median face probability of a chunk, 0 to 1; other chunks are dropped.
        damaged: "drop" omits frames that were decoded from damaged data, "keep" keeps and marks them.
        image_format: "jpg", "png" or "webp" (lossless).
        quality: JPEG quality, 1 to 100.
        masks: Whether to store the manipulation masks of data sets that have them.
        reader: Name of a registered video reader.
        detector: Name of a registered face detector: "mtcnn", "centerface", or that of another package.
        landmarks: Name of a registered landmark model.
        landmark_model: File of the landmark model; "" uses the file that is installed with this package.

    Raises:
        UsageError: if an option is out of its range.
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
                raise UsageError(f"{name} must be in [{low}, {high}], got {value}", where="extract options")
        for name, known in (
            ("tracks", ("all", "main")),
            ("damaged", ("drop", "keep")),
            ("image_format", ("jpg", "png", "webp")),
        ):
            if getattr(self, name) not in known:
                what = f"unknown {name} {getattr(self, name)!r}; known: {', '.join(known)}"
                raise UsageError(what, where="extract options")

    def as_dict(self) -> dict[str, Any]:
        """Returns the options as plain values, for JSON."""
        return asdict(self)
