"""Measures the steps of a real training from shards: segments per second, and the time of each phase."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mgst_cli.common.tables import preset_file
from mgst_cli.train.build import build_experiment
from torch.utils.flop_counter import FlopCounterMode

from mgst_model.networks import NetworkConfig, build_network
from mgst_model.train import Experiment, StepReport, TrainWatcher, Validation, make_fabric, train
from mgst_model.train.clock import PHASES


class Enough(Exception):  # noqa: N818 (it is not an error)
    """Ends a training after the measured steps."""


class Collector(TrainWatcher):
    """Collects the reports of some steps after the warm-up steps."""

    def __init__(self, steps: int, warmup: int) -> None:
        self.reports: list[StepReport] = []
        self._steps, self._warmup = steps, warmup

    def see(self, report: StepReport | Validation) -> None:
        """Adds the report of a step.

        Raises:
            Enough: after the last step.
        """
        if isinstance(report, StepReport) and report.step > self._warmup:
            self.reports.append(report)
            if len(self.reports) == self._steps:
                raise Enough


def measure_steps(
    shards: str, preset: str, overrides: Sequence[str], *, device: str, steps: int, warmup: int
) -> dict[str, Any]:
    """Trains for some steps and measures the time of each phase.

    Args:
        shards: Folder of shards with the splits train and val.
        preset: Name of a file of configs/train.
        overrides: Changed options, in the form of ``mgst-train --set``.
        device: "cpu" or "cuda".
        steps: Number of measured steps.
        warmup: Number of steps before them, in which workers start and kernels are selected.
    """
    experiment = build_experiment(preset_file(preset), {}, ["train.epochs=1000", *overrides])
    fabric = make_fabric(experiment, device=device)
    collector = Collector(steps, warmup)
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(Enough):
        train(experiment, shards, Path(scratch, "run"), fabric=fabric, watcher=collector)
    seconds = [sum(report.seconds.values()) for report in collector.reports]
    shares = {
        phase: round(sum(report.seconds[phase] for report in collector.reports) / sum(seconds), 4) for phase in PHASES
    }
    found = {
        "preset": preset,
        "overrides": list(overrides),
        "steps": len(seconds),
        "segments_per_step": collector.reports[0].segments,
        "seconds_per_step": {"median": statistics.median(seconds), "low": min(seconds), "high": max(seconds)},
        "segments_per_second": collector.reports[0].segments / statistics.median(seconds),
        "shares": shares,
        "data_and_augmentation": round(shares["data"] + shares["augmentation"], 4),
    }
    if fabric.device.type == "cuda":
        found |= _use_of_the_card(experiment, collector.reports, fabric.device)
    return found


def _use_of_the_card(experiment: Experiment, reports: list[StepReport], device: torch.device) -> dict[str, Any]:
    """Measures the operations per second of the network, relative to those of one large matrix product."""
    median = statistics.median(report.seconds["forward"] + report.seconds["backward"] for report in reports)
    operations = count_operations(experiment.network, experiment.data.frames, experiment.data.size)
    reached = operations * reports[0].segments / median
    peak = plain_product(device)
    return {"tflops": reached / 1e12, "plain_product_tflops": peak / 1e12, "share_of_plain_product": reached / peak}


def count_operations(config: NetworkConfig, frames: int, size: int) -> int:
    """Returns the floating-point operations of one segment, forward and backward."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(_random(config)).train()
    with FlopCounterMode(display=False) as counter:
        output = network(torch.zeros(1, frames, 3, size, size))
        parts = [part.float().mean() for part in output if part is not None]
        torch.stack(parts).sum().backward()
    return int(counter.get_total_flops())


def _random(config: NetworkConfig) -> NetworkConfig:
    return NetworkConfig(**{name: getattr(config, name) for name in config.__slots__} | {"pretrained": "random"})


def plain_product(device: torch.device, *, side: int = 8192, repeats: int = 50) -> float:
    """Returns the operations per second of a product of two bfloat16 matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(10):
        a @ b
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        a @ b
    end.record()
    torch.cuda.synchronize()
    return 2 * side**3 * repeats / (start.elapsed_time(end) / 1000)
