"""Executors of an extraction: this process, several processes, or a Ray cluster."""

from mgst_data.extract.executors.executor import EXECUTORS, Event, Executor, Loss, Opening, Work
from mgst_data.extract.executors.process import ProcessExecutor
from mgst_data.extract.executors.ray import RayExecutor
from mgst_data.extract.executors.serial import SerialExecutor

__all__ = [
    "EXECUTORS",
    "Event",
    "Executor",
    "Loss",
    "Opening",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "Work",
]
