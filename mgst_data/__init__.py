"""Face video for deepfake detection: extraction, landmarks, augmentation, shards."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgst_data.extract.video import CroppedTrack, extract_video

__all__ = ["CroppedTrack", "__version__", "extract_video"]
__version__ = version("mgst")


def __getattr__(name: str) -> Any:
    # Imported late, because it needs OpenCV, dlib and others, which the augmentations do not need.
    if name in ("CroppedTrack", "extract_video"):
        from mgst_data.extract import video

        return getattr(video, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
