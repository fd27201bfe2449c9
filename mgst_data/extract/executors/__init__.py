"""Executors of an extraction: this process, several processes, or a Ray cluster."""

from mgst_data.extract.executors.choose import choose_executor
from mgst_data.extract.executors.executor import (
    EXECUTORS,
    Ending,
    Event,
    Executor,
    Loss,
    Opening,
    Outcome,
    Task,
    Work,
)
from mgst_data.extract.executors.process import ProcessExecutor
from mgst_data.extract.executors.ray import RayExecutor
from mgst_data.extract.executors.serial import SerialExecutor

__all__ = [
    "EXECUTORS",
    "Ending",
    "Event",
    "Executor",
    "Loss",
    "Opening",
    "Outcome",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "Task",
    "Work",
    "choose_executor",
]
