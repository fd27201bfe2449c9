from .detector import Detector, load_detector
from .prediction import TrackPrediction, VideoPrediction, WindowScore

__all__ = ["Detector", "TrackPrediction", "VideoPrediction", "WindowScore", "load_detector"]
