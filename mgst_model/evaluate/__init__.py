"""Evaluation: scores of videos in shards, metrics with confidence intervals, protocols, robustness and plots."""

from mgst_model.evaluate.differences import difference_rows, group_difference
from mgst_model.evaluate.joined import read_scores
from mgst_model.evaluate.metrics import (
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
from mgst_model.evaluate.perturbations import PERTURBATIONS, perturb
from mgst_model.evaluate.plots import abstention_png, coverage_png, histogram_png, robustness_png, roc_png
from mgst_model.evaluate.plugged import VIDEO_DETECTORS, PluggedDetector, VideoDetector, plug_detector
from mgst_model.evaluate.predictions import Predictions, VideoScore
from mgst_model.evaluate.protocols import Evaluation, Group, GroupResult, Protocol, evaluate, protocols_of
from mgst_model.evaluate.reals import RealVideo, calibrate, check_unseen, score_reals
from mgst_model.evaluate.reliability import Abstention, Coverage, abstention_curve, coverage
from mgst_model.evaluate.resampling import Estimate, group_interval
from mgst_model.evaluate.robustness import Robustness
from mgst_model.evaluate.score import Disturbance, score_shards
from mgst_model.evaluate.windows import RunScores, score_runs, score_windows, windows_of

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
