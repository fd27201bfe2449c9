from .differences import difference_rows, group_difference
from .joined import read_scores
from .metrics import (
    Interval,
    Intervals,
    Metrics,
    Scored,
    auc_difference,
    bootstrap,
    mean_auc,
    pair_accuracy,
    roc,
)
from .perturbations import PERTURBATIONS, perturb
from .plots import abstention_png, coverage_png, histogram_png, robustness_png, roc_png
from .plugged import VIDEO_DETECTORS, PluggedDetector, VideoDetector, plug_detector
from .predictions import Predictions, VideoScore
from .protocols import Evaluation, Group, GroupResult, Protocol, evaluate, protocols_of
from .reals import RealVideo, calibrate, check_unseen, score_reals
from .reliability import Abstention, Coverage, abstention_curve, coverage
from .resampling import Estimate, group_interval
from .robustness import Robustness
from .score import Disturbance, score_shards
from .windows import RunScores, score_runs, score_windows, windows_of

__all__ = [
    "PERTURBATIONS",
    "VIDEO_DETECTORS",
    "Abstention",
    "Coverage",
    "Disturbance",
    "Estimate",
    "Evaluation",
    "Group",
    "GroupResult",
    "Interval",
    "Intervals",
    "Metrics",
    "PluggedDetector",
    "Predictions",
    "Protocol",
    "RealVideo",
    "Robustness",
    "RunScores",
    "Scored",
    "VideoDetector",
    "VideoScore",
    "abstention_curve",
    "abstention_png",
    "auc_difference",
    "bootstrap",
    "calibrate",
    "check_unseen",
    "coverage",
    "coverage_png",
    "difference_rows",
    "evaluate",
    "group_difference",
    "group_interval",
    "histogram_png",
    "mean_auc",
    "pair_accuracy",
    "perturb",
    "plug_detector",
    "protocols_of",
    "read_scores",
    "robustness_png",
    "roc",
    "roc_png",
    "score_reals",
    "score_runs",
    "score_shards",
    "score_windows",
    "windows_of",
]
