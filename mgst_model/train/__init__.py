"""Training: examples and losses (task), schedule (trainer), batches (data) and resuming (state)."""

from mgst_model.train.assemble import train
from mgst_model.train.data import Loader, make_loaders
from mgst_model.train.experiment import AugmentConfig, DataConfig, Experiment, LossConfig, TrainConfig
from mgst_model.train.launch import make_fabric
from mgst_model.train.task import DetectionTask, Examples, Task, TaskExamples
from mgst_model.train.trainer import Trainer
from mgst_model.train.watcher import StepReport, Stopped, TrainWatcher, Validation

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "DetectionTask",
    "Examples",
    "Experiment",
    "Loader",
    "LossConfig",
    "StepReport",
    "Stopped",
    "Task",
    "TaskExamples",
    "TrainConfig",
    "TrainWatcher",
    "Trainer",
    "Validation",
    "make_fabric",
    "make_loaders",
    "train",
]
