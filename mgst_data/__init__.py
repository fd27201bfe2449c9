"""Face video for deepfake detection: extraction, landmarks, augmentation, shards."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgst_data.extract.video import CroppedTrack, extract_video

__all__ = ["CroppedTrack", "__version__", "extract_video"]
__version__ = version("mgst")


def __getattr__(name: str) -> Any:
    # Only now: it imports OpenCV, dlib and others, which somebody who wants the augmentations does not need.
    if name in ("CroppedTrack", "extract_video"):
        from mgst_data.extract import video

        return getattr(video, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
