"""Training: what is learnt (task), when (loop), on what (data), and how to go on (state)."""

from mgst_model.train.config import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig
from mgst_model.train.launch import make_fabric
from mgst_model.train.loop import StepReport, Stopped, TrainWatcher, Validation, train
from mgst_model.train.task import DetectionTask, Examples

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "DetectionTask",
    "Examples",
    "Experiment",
    "LossConfig",
    "StepReport",
    "Stopped",
    "TrainConfig",
    "TrainWatcher",
    "Validation",
    "make_fabric",
    "train",
]
