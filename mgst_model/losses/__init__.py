"""Losses of the detector: pure functions of tensors, one loss for each grain."""

from mgst_model.losses.average import Average, identity
from mgst_model.losses.frame_loss import Prototype, frame_distance, frame_loss, paired_margin_loss, single_centre_loss
from mgst_model.losses.patch_loss import (
    boundary_regression_loss,
    boundary_targets,
    patch_loss,
    patch_targets,
    temporal_targets,
)
from mgst_model.losses.segment_loss import segment_loss

__all__ = [
    "Average",
    "Prototype",
    "boundary_regression_loss",
    "boundary_targets",
    "frame_distance",
    "frame_loss",
    "identity",
    "paired_margin_loss",
    "patch_loss",
    "patch_targets",
    "segment_loss",
    "single_centre_loss",
    "temporal_targets",
]
