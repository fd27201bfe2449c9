"""Face detection, tracking, landmarks and crops."""

from mgst_data.faces.centerface import CenterFaceDetector
from mgst_data.faces.crop import Square, stable_square
from mgst_data.faces.detect import DETECTORS, FaceDetector, MTCNNDetector
from mgst_data.faces.landmarks import LANDMARK_MODELS, DlibLandmarks, LandmarkModel, check_landmarks
from mgst_data.faces.refine import BoxRefiner
from mgst_data.faces.smooth import smooth_landmarks
from mgst_data.faces.track import Tracker

__all__ = [
    "DETECTORS",
    "LANDMARK_MODELS",
    "BoxRefiner",
    "CenterFaceDetector",
    "DlibLandmarks",
    "FaceDetector",
    "LandmarkModel",
    "MTCNNDetector",
    "Square",
    "Tracker",
    "check_landmarks",
    "smooth_landmarks",
    "stable_square",
]
