"""Scores a video with one object: ``load_detector(weights).predict("video.mp4").score``.

Heavy modules are imported on first use of a name, because the process that extracts faces imports this package, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgst_model.predict.detector import Detector, load_detector
    from mgst_model.predict.prediction import TrackPrediction, VideoPrediction, WindowScore

_HOMES = {
    "Detector": "detector",
    "TrackPrediction": "prediction",
    "VideoPrediction": "prediction",
    "WindowScore": "prediction",
    "load_detector": "detector",
}

__all__ = ["Detector", "TrackPrediction", "VideoPrediction", "WindowScore", "load_detector"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
