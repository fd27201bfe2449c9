"""Training: what is learnt (task), when (loop), on what (data), and how to go on (state)."""

from mgst_model.train.config import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig
from mgst_model.train.launch import make_fabric
from mgst_model.train.loop import train
from mgst_model.train.task import DetectionTask, Examples
from mgst_model.train.watcher import StepReport, Stopped, TrainWatcher, Validation

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
